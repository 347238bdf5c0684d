//! Where a decoder computes.

use crate::error::ModelError;
use candle_core::Device;
use std::str::FromStr;

/// Environment variable that says it for the whole program: `cpu`, `gpu`, `gpu:1`.
const VARIABLE: &str = "MADANG_DEVICE";

/// Processors, or one of the machine's graphics processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Place {
    /// What `MADANG_DEVICE` says; else the first graphics processor where this program can use one, else processors.
    #[default]
    Usual,
    Cpu,
    /// CUDA's number of the device.
    Gpu(usize),
    /// candle's tensors in main memory: what a graphics processor computes, without one. Slower than `Cpu`; for tests.
    Tensors,
}

impl Place {
    /// The device of the tensors; `None`: the kernels compute on processors.
    ///
    /// # Errors
    /// This program was built without graphics processors, the device is not there, or the variable makes no sense.
    pub(super) fn device(self) -> Result<Option<Device>, ModelError> {
        match self {
            Self::Usual => match std::env::var(VARIABLE) {
                Ok(text) => text
                    .parse::<Self>()
                    .map_err(|why| ModelError::device(format!("{VARIABLE}={text}: {why}")))?
                    .device(),
                Err(_) if cfg!(feature = "cuda") => Ok(first_gpu()),
                Err(_) => Ok(None),
            },
            Self::Cpu => Ok(None),
            Self::Tensors => Ok(Some(Device::Cpu)),
            Self::Gpu(number) if cfg!(feature = "cuda") => Device::new_cuda(number)
                .map(Some)
                .map_err(|e| ModelError::device(format!("그래픽 처리 장치 {number}번 ({e})"))),
            Self::Gpu(_) => Err(ModelError::device(
                "이 실행 파일은 그래픽 처리 장치를 쓰지 못합니다. cuda 기능을 켜고 지은 madang-cuda를 실행하거나 cpu를 고르세요",
            )),
        }
    }
}

/// Nobody asked for it, so a machine without one is no error.
fn first_gpu() -> Option<Device> {
    Device::new_cuda(0)
        .inspect_err(|error| tracing::warn!(%error, "no graphics processor can be used; processors compute"))
        .ok()
}

impl FromStr for Place {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "cpu, gpu, gpu:1 가운데 하나로 적어 주세요";
        match text {
            "cpu" => Ok(Self::Cpu),
            "gpu" => Ok(Self::Gpu(0)),
            _ => text.strip_prefix("gpu:").and_then(|n| n.parse().ok()).map(Self::Gpu).ok_or(wrong),
        }
    }
}
