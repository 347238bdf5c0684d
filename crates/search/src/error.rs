//! What can go wrong with the index.

use std::path::{Path, PathBuf};

/// Why the index could not do what was asked. Messages are Korean: they reach the operator.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// Made by another analyser version, or damaged: call [`crate::Index::recreate`] and add every passage again.
    #[error("검색 색인을 다시 만들어야 합니다: {reason}")]
    NeedsRebuild { reason: String },
    /// Another process has the index open.
    #[error("다른 프로그램이 검색 색인을 쓰고 있습니다. 그 프로그램을 끝내고 다시 시작해 주세요: {}", .0.display())]
    InUse(PathBuf),
    /// A file could not be read or written.
    #[error("검색 색인 파일을 읽거나 쓰지 못했습니다. 디스크 공간과 권한을 확인해 주세요: {} ({source})", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    /// The engine refused or broke off; what was being written counts as not written.
    #[error("검색 엔진이 요청을 처리하지 못했습니다. 디스크 공간을 확인하고 다시 시도해 주세요: {0}")]
    Engine(String),
    /// The vectors are not of a model that the index keeps, or not of its dimension.
    #[error("검색 색인이 이 임베딩 모델의 벡터를 받지 않습니다. 임베딩 모델 설정을 확인해 주세요: {0}")]
    Vectors(String),
    /// The settings of the Qdrant server cannot be used.
    #[error("검색 서버 설정을 고쳐 주세요: {0}")]
    Settings(String),
    /// The Qdrant server does not answer, or not in time; a write may have been carried out all the same.
    #[error("검색 서버에 닿지 못했습니다. 서버가 켜져 있는지, 주소와 인증서가 맞는지 확인해 주세요: {0}")]
    Unreachable(String),
    /// The Qdrant server does not take the key.
    #[error("검색 서버가 열쇠를 받지 않습니다. API 키를 확인해 주세요.")]
    Refused,
    /// The Qdrant server answered that it could not do it.
    #[error("검색 서버가 요청을 처리하지 못했습니다. 서버의 기록과 디스크 공간을 확인해 주세요: {0}")]
    Server(String),
    /// Another program opened the same collections on the server after this one did.
    #[error("다른 마당이 이 색인을 쓰기 시작했습니다. 같은 홈 폴더를 복사해 두 곳에서 켰다면 한쪽을 멈춰 주세요.")]
    Taken,
}

impl SearchError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn rebuild(reason: impl Into<String>) -> Self {
        Self::NeedsRebuild { reason: reason.into() }
    }
}
