//! Why a file was not fetched. Messages are Korean, for whoever runs the command, and say what to do.

use crate::destination::DestinationError;
use madang_store::StoreError;
use madang_store::downloads::DownloadState;
use std::path::{Path, PathBuf};

/// A file was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    #[error(
        "{0}은(는) 내려받기가 허용된 곳이 아닙니다. 아무것도 보내지 않았습니다.\n허용하려면 관리자가 이 기계에서 실행합니다: madang models allow-host {0}"
    )]
    NotAllowed(String),
    #[error("‘{0}’은(는) 호스트 이름이 아닙니다. huggingface.co나 mirror.city.local:8443처럼 적어 주세요.")]
    HostName(String),
    /// The address itself; nothing was sent there.
    #[error("{0}")]
    Address(String),
    /// The name does not resolve: most likely there is no network.
    #[error("{0}의 주소를 찾지 못했습니다.")]
    Unresolved(String),
    #[error("받는 곳이 보낸 안내 주소를 쓸 수 없습니다: {0}.")]
    Redirect(String),
    #[error("다른 주소로 세 번 넘게 안내받아 그만두었습니다. --from으로 파일이 있는 주소를 적어 주세요.")]
    TooManyHops,
    /// No connection came about; nothing was asked.
    #[error("연결하지 못했습니다: {0}.")]
    NotConnected(String),
    #[error("받는 곳이 상태 {0}(으)로 답했습니다. 주소와 판을 확인해 주세요.")]
    Status(u16),
    #[error("받는 곳이 압축한 내용({0})을 보냈습니다. 원본 그대로 주는 주소를 써 주세요.")]
    Encoded(String),
    #[error("파일이 {}보다 큽니다({}). 받지 않았습니다.", size(*most), size(*said))]
    TooLarge { said: u64, most: u64 },
    #[error(
        "파일의 크기가 다릅니다: 모델 목록에는 {expected}바이트, 받는 곳에는 {found}바이트입니다. 받지 않았습니다."
    )]
    OtherSize { expected: u64, found: u64 },
    #[error("디스크가 모자랍니다: {} 필요, {} 남음. 자리를 비운 뒤 다시 해 주세요.", size(*needed), size(*free))]
    NoRoom { needed: u64, free: u64 },
    #[error("{0}초 동안 아무것도 오지 않아 그만두었습니다. 다시 실행하면 받은 데서 이어 받습니다.")]
    Stalled(u64),
    #[error("받다가 끊어졌습니다: {0}. 다시 실행하면 받은 데서 이어 받습니다.")]
    Broken(String),
    #[error("이어 받을 수 없게 되었습니다. 다시 실행하면 처음부터 받습니다.")]
    Changed,
    #[error("멈췄습니다. 다시 실행하면 받은 데서 이어 받습니다.")]
    Stopped,
    #[error(
        "외부로 나가는 일이 모두 멈춰 있습니다(비상 정지). 보안담당이 다시 연 뒤에 실행하면 받은 데서 이어 받습니다."
    )]
    OutsideStopped,
    #[error(
        "받은 파일의 SHA-256이 다릅니다.\n  기대한 값 {expected}\n  실제 값   {found}\n파일이 바뀌었거나 다른 파일입니다. 지웠고 들여놓지 않았습니다."
    )]
    Differs { expected: String, found: String },
    #[error("받지 않았습니다. 받으려면 물음에 y로 답하거나, 묻지 않도록 --yes를 붙여 주세요.")]
    Declined,
    /// What came names what it should not; Korean.
    #[error("받은 파일이 이 모델의 것이 아닙니다: {0}")]
    Contents(String),
    #[error("다른 명령이 지금 모델을 내려받고 있습니다. 끝난 뒤에 다시 해 주세요.")]
    Busy,
    #[error("인증기관 인증서를 읽을 수 없습니다. PEM 형식의 파일인지 확인해 주세요: {0}")]
    Certificate(String),
    /// The intent could not be written, and so nothing left.
    #[error("원장에 적지 못해 내려받지 않았습니다: {0}")]
    NotRecorded(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{}: {source}. 경로와 권한을 확인해 주세요.", path.display())]
    Io { path: PathBuf, source: std::io::Error },
}

impl DownloadError {
    pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    /// The address of a file, in words that fit one.
    pub(super) fn address(error: DestinationError) -> Self {
        match error {
            DestinationError::Malformed => Self::Address("받을 주소를 읽을 수 없습니다.".to_owned()),
            DestinationError::NotHttps => Self::Address("받을 주소는 https://로 시작해야 합니다.".to_owned()),
            DestinationError::UserInfo => {
                Self::Address("받을 주소에 사용자 이름이나 비밀번호를 넣을 수 없습니다.".to_owned())
            }
            DestinationError::Extra => Self::Address("받을 주소에 #가 붙은 부분을 넣을 수 없습니다.".to_owned()),
            DestinationError::Forbidden(ip) => Self::Address(format!(
                "{ip}은(는) 기관 내부나 특수 용도의 주소라서 바깥에서 받을 곳으로 쓸 수 없습니다. 기관의 미러라면 --from으로 그 주소를 적어 주세요."
            )),
            DestinationError::Unresolved(host) => Self::Unresolved(host),
        }
    }

    /// There is no way there: the file has to be carried in.
    pub fn is_offline(&self) -> bool {
        matches!(self, Self::Unresolved(_) | Self::NotConnected(_))
    }

    /// How a request that ended so is recorded. What is not sure to have stayed inside counts as sent.
    pub(super) fn state(&self) -> DownloadState {
        match self {
            Self::NotConnected(_) => DownloadState::Failed,
            Self::Stalled(_) | Self::Broken(_) | Self::Stopped | Self::OutsideStopped | Self::Io { .. } => {
                DownloadState::Stopped
            }
            _ => DownloadState::Refused,
        }
    }
}

/// Bytes for people, in powers of 1,000 as disks are sold.
fn size(bytes: u64) -> String {
    const UNITS: [(f64, &str); 3] = [(1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    let unit = UNITS.into_iter().find(|(size, _)| bytes as f64 >= *size);
    unit.map_or_else(|| format!("{bytes}바이트"), |(size, unit)| format!("{:.1} {unit}", bytes as f64 / size))
}
