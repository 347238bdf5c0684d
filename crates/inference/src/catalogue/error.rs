//! Why a model does not come onto the shelf, or the shelf cannot be read. Messages are Korean, for whoever installs
//! models.

use super::ModelKind;
use crate::embed::EmbedError;
use crate::{ChatError, ModelError};
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    #[error("{} 파일이 손상되었습니다: {what}. 지우지 않았으니 고치거나 백업에서 되돌린 뒤 다시 해 주세요.", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("모델 목록을 읽을 수 없습니다: {what}. {} 파일을 고쳐 주세요.", path.display())]
    Catalogue { path: PathBuf, what: String },
    #[error("다른 명령이 모델 목록을 고치고 있습니다. 그 일이 끝난 뒤에 다시 해 주세요.")]
    Locked,
    #[error(
        "모델 이름 ‘{0}’은(는) 쓸 수 없습니다. 소문자, 숫자, . - _ 로 64자까지, 글자나 숫자로 시작하게 적어 주세요."
    )]
    Name(String),
    #[error("이름 ‘{0}’은(는) 다른 모델이 이미 씁니다. --name으로 다른 이름을 정하거나 먼저 지워 주세요.")]
    NameTaken(String),
    #[error("같은 파일이 이미 ‘{0}’(으)로 들어와 있습니다. 아무것도 바꾸지 않았습니다.")]
    Already(String),
    #[error("‘{0}’ 모델이 없습니다. madang models list로 이름을 확인해 주세요.")]
    Unknown(String),
    #[error("‘{name}’은(는) 지금 {}({role})에 쓰입니다. 먼저 다른 모델을 정하거나 --force를 붙여 주세요.", role.label())]
    InUse { name: String, role: ModelKind },
    #[error("‘{name}’은(는) {}용 모델이라 {role} 역할을 맡을 수 없습니다.", kind.label())]
    WrongKind { name: String, kind: ModelKind, role: ModelKind },
    #[error("SHA-256은 16진수 64자리입니다: ‘{0}’")]
    NotAHash(String),
    #[error(
        "가중치가 여러 파일로 나뉜 모델은 SHA-256 하나로 확인할 수 없습니다. --sha256 없이 넣은 뒤, models/installed.toml에 적힌 파일마다의 값을 출처의 값과 견주어 주세요."
    )]
    Sharded,
    #[error(
        "{what}의 SHA-256이 다릅니다.\n  기대한 값 {expected}\n  실제 값   {found}\n파일이 바뀌었거나 옮기다 깨졌습니다. 들여놓지 않았으니 출처에서 다시 옮겨 주세요."
    )]
    Differs { what: String, expected: String, found: String },
    #[error("디스크가 모자랍니다: {} 필요, {} 남음. 자리를 비운 뒤 다시 해 주세요.", human(*needed), human(*free))]
    NoRoom { needed: u64, free: u64 },
    #[error("{} 은(는) 모델 파일이 아닙니다: {why}", path.display())]
    NotAModel { path: PathBuf, why: String },
    #[error("{} 은(는) 바로가기(심볼릭 링크)입니다. 모델 폴더에는 파일 자체만 둘 수 있습니다.", .0.display())]
    Link(PathBuf),
    #[error("멈췄습니다. 들여놓다 만 것은 지웠습니다.")]
    Stopped,
    #[error("설정을 쓸 수 없습니다: {0}")]
    Setting(String),
    /// A server that is not added; `field` of its form.
    #[error("{why}")]
    Server { field: &'static str, why: String },
    #[error("‘{0}’ 서버가 없습니다. 다른 사람이 먼저 뺐을 수 있으니 화면을 새로 고쳐 주세요.")]
    UnknownServer(String),
    #[error("이대로면 ‘{name}’ 서버({url})가 내부망 밖에 남습니다. 그 서버를 먼저 빼거나 그 망을 남겨 주세요.")]
    LeftOutside { name: String, url: String },
    #[error("모델이 열리지만 계산하지 못합니다: {0}")]
    Probe(String),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("{}: {source}. 경로와 권한을 확인해 주세요.", path.display())]
    Io { path: PathBuf, source: std::io::Error },
}

impl ShelfError {
    pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

impl From<ChatError> for ShelfError {
    fn from(error: ChatError) -> Self {
        Self::Probe(error.to_string())
    }
}

impl From<EmbedError> for ShelfError {
    fn from(error: EmbedError) -> Self {
        Self::Probe(error.to_string())
    }
}

/// Bytes for people, in powers of 1,000 as disks are sold.
pub fn human(bytes: u64) -> String {
    const UNITS: [(f64, &str); 3] = [(1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    let unit = UNITS.into_iter().find(|(size, _)| bytes as f64 >= *size);
    unit.map_or_else(|| format!("{bytes} B"), |(size, unit)| format!("{:.1} {unit}", bytes as f64 / size))
}
