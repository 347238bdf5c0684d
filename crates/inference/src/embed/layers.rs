//! The small parts that encoders are made of, taken from the weights by name and shape.

use super::weights::Weights;
use crate::ModelError;
use candle_core::{DType, Device, Result, Tensor};

/// y = x · Wᵀ + b, with W as `[out, in]`.
pub(super) struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// `{name}.weight` and, with `bias`, `{name}.bias`.
    pub fn load(
        weights: &Weights,
        name: &str,
        input: usize,
        output: usize,
        bias: bool,
    ) -> std::result::Result<Self, ModelError> {
        let weight = weights.f32(&format!("{name}.weight"), &[output, input])?;
        let bias = bias.then(|| weights.f32(&format!("{name}.bias"), &[output])).transpose()?;
        Ok(Self { weight, bias })
    }

    /// `[rows, in]` to `[rows, out]`.
    pub fn forward(&self, rows: &Tensor) -> Result<Tensor> {
        let product = rows.matmul(&self.weight.t()?)?;
        match &self.bias {
            Some(bias) => product.broadcast_add(bias),
            None => Ok(product),
        }
    }
}

/// Layer normalisation over the last dimension (Ba et al., 2016).
pub(super) struct Norm {
    scale: Tensor,
    shift: Tensor,
    epsilon: f32,
}

impl Norm {
    /// `{name}.weight` and `{name}.bias`, or their old names `gamma` and `beta`; a shift of 0 without `bias`.
    pub fn load(
        weights: &Weights,
        name: &str,
        size: usize,
        epsilon: f64,
        bias: bool,
    ) -> std::result::Result<Self, ModelError> {
        let old = weights.contains(&format!("{name}.gamma"));
        let (scale, shift) = if old { ("gamma", "beta") } else { ("weight", "bias") };
        let scale = weights.f32(&format!("{name}.{scale}"), &[size])?;
        let shift = match bias {
            true => weights.f32(&format!("{name}.{shift}"), &[size])?,
            false => Tensor::zeros(size, DType::F32, &Device::Cpu).map_err(|e| ModelError::damaged(e.to_string()))?,
        };
        Ok(Self { scale, shift, epsilon: epsilon as f32 })
    }

    pub fn forward(&self, rows: &Tensor) -> Result<Tensor> {
        candle_nn::ops::layer_norm(rows, &self.scale, &self.shift, self.epsilon)
    }
}

/// Activations by the names that `config.json` gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activation {
    /// x·Φ(x), by the error function.
    Gelu,
    /// Its approximation by tanh.
    GeluTanh,
    Relu,
    Silu,
    Tanh,
    Identity,
}

impl Activation {
    /// # Errors
    /// [`ModelError::Unsupported`] with the name.
    pub fn named(name: &str) -> std::result::Result<Self, ModelError> {
        Ok(match name {
            "gelu" | "gelu_python" => Self::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Self::GeluTanh,
            "relu" => Self::Relu,
            "silu" | "swish" => Self::Silu,
            "tanh" => Self::Tanh,
            other => return Err(ModelError::unsupported(format!("활성 함수 {other}"))),
        })
    }

    pub fn forward(self, rows: &Tensor) -> Result<Tensor> {
        match self {
            Self::Gelu => rows.gelu_erf(),
            Self::GeluTanh => rows.gelu(),
            Self::Relu => rows.relu(),
            Self::Silu => rows.silu(),
            Self::Tanh => rows.tanh(),
            Self::Identity => Ok(rows.clone()),
        }
    }
}

/// A table of one row per token, kept as the file has it.
pub(super) struct Table(Tensor);

impl Table {
    pub fn load(weights: &Weights, name: &str, rows: usize, size: usize) -> std::result::Result<Self, ModelError> {
        Ok(Self(weights.table(name, &[rows, size])?))
    }

    /// The rows of `ids`, as f32.
    pub fn rows(&self, ids: &[u32]) -> Result<Tensor> {
        let ids = Tensor::new(ids, &Device::Cpu)?;
        self.0.index_select(&ids, 0)?.to_dtype(DType::F32)
    }
}
