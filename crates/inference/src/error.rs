//! Why a model file cannot be used. What goes wrong while a loaded model works has errors of its own.

use std::path::{Path, PathBuf};

/// A model's files are refused. Messages are Korean, for whoever installs models; `what` names the file, tensor or
/// setting.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Sound, but of a kind that is not known here; nothing is guessed.
    #[error("이 모델은 지원하지 않습니다: {what}. 모델 목록에 있는 모델을 골라 주세요.")]
    Unsupported { what: String },
    /// Missing, cut off or contradicting itself.
    #[error("모델 파일이 빠졌거나 손상되었습니다: {what}. 모델 파일을 다시 옮겨 주세요.")]
    Damaged { what: String },
    /// Where the model was to compute cannot do it.
    #[error("모델을 계산할 장치를 쓸 수 없습니다: {what}.")]
    Device { what: String },
    /// Could not be read.
    #[error("모델 파일을 읽지 못했습니다. 경로와 권한을 확인해 주세요: {} ({source})", path.display())]
    Io { path: PathBuf, source: std::io::Error },
}

impl ModelError {
    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into() }
    }

    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }

    pub(crate) fn device(what: impl Into<String>) -> Self {
        Self::Device { what: what.into() }
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}
