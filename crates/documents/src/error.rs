//! Why a file was not read, in Korean words that say what to do next. Mapping from a library's error lives beside
//! the reader that uses the library.

use serde::{Deserialize, Serialize};

/// A file that gave no text. Stable `kind` names are stored with the document; the message is for its owner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ReadError {
    /// No bytes, or a sound document without a single letter or digit.
    #[error("읽을 글자가 없는 문서입니다. 그림만 들어 있다면 글자가 있는 원본을 올려 주세요.")]
    Empty,
    /// Not a document that can be read; `what` names what it seems to be.
    #[error(
        "읽을 수 없는 형식입니다({what}). HWP, HWPX, PDF, DOCX, XLSX, PPTX, ODT, ODS, EML, HTML, TXT, CSV 가운데 하나로 저장해 올려 주세요."
    )]
    Unsupported { what: String },
    /// Encrypted or under rights management.
    #[error("암호나 보안이 걸린 문서입니다. 암호를 푼 문서로 다시 저장해 올려 주세요.")]
    PasswordProtected,
    /// 배포용 HWP: its visible text is a notice, its body is sealed against copying.
    #[error("배포용 한글 문서라 본문을 꺼낼 수 없습니다. 작성한 부서에서 일반 문서(HWPX)를 받아 올려 주세요.")]
    Distribution,
    /// A PDF of pictures without a text layer.
    #[error("글자 정보가 없는 스캔 PDF입니다. 문자 인식(OCR)을 거친 PDF나 원본 문서를 올려 주세요.")]
    Scanned,
    /// Broken, cut short, or not what its structure says.
    #[error("파일이 손상되어 읽을 수 없습니다. 원래 프로그램에서 열어 다시 저장한 뒤 올려 주세요.")]
    Damaged,
    /// More bytes, text or memory than the limits allow.
    #[error("문서가 너무 큽니다. 장이나 시트를 나누어 여러 파일로 올려 주세요.")]
    TooLarge,
    /// Structure nested deeper than any honest document.
    #[error("문서 구조가 지나치게 깊어 읽지 않았습니다. 원래 프로그램에서 새 문서로 옮겨 저장한 뒤 올려 주세요.")]
    TooDeep,
    /// Inflates to far more than an honest document would.
    #[error("압축을 풀면 비정상적으로 커지는 파일이라 읽지 않았습니다. 파일의 출처를 확인해 주세요.")]
    ZipBomb,
    /// HWP 3.x, the format before 2000.
    #[error("한글 3.x 옛 문서입니다. 한글에서 열어 HWPX로 다시 저장한 뒤 올려 주세요.")]
    Hwp3,
    /// Took longer than the limits allow.
    #[error("읽는 데 너무 오래 걸려 멈췄습니다. 문서를 나누거나 다른 형식으로 저장해 올려 주세요.")]
    Timeout,
    /// The reading process could not be started or spoken to; the file itself may be fine.
    #[error("문서 읽기 프로그램을 실행하지 못했습니다. 잠시 뒤 다시 시도하고, 되풀이되면 운영자에게 알려 주세요.")]
    Unavailable { detail: String },
}

impl ReadError {
    /// Stable name, as in JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            ReadError::Empty => "empty",
            ReadError::Unsupported { .. } => "unsupported",
            ReadError::PasswordProtected => "password_protected",
            ReadError::Distribution => "distribution",
            ReadError::Scanned => "scanned",
            ReadError::Damaged => "damaged",
            ReadError::TooLarge => "too_large",
            ReadError::TooDeep => "too_deep",
            ReadError::ZipBomb => "zip_bomb",
            ReadError::Hwp3 => "hwp3",
            ReadError::Timeout => "timeout",
            ReadError::Unavailable { .. } => "unavailable",
        }
    }

    /// Would the same bytes perhaps be read on another try?
    pub fn is_transient(&self) -> bool {
        matches!(self, ReadError::Unavailable { .. })
    }

    /// Decided by what the file is rather than met in the middle of reading it: whoever read it is unharmed.
    pub(crate) fn is_plain_refusal(&self) -> bool {
        matches!(
            self,
            ReadError::Empty
                | ReadError::Unsupported { .. }
                | ReadError::PasswordProtected
                | ReadError::Distribution
                | ReadError::Scanned
                | ReadError::Hwp3
        )
    }

    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        ReadError::Unsupported { what: what.into() }
    }
}
