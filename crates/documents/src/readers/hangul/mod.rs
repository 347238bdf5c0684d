//! HWP 5 and HWPX. The bodies are walked here, because notes, text boxes, running heads and line positions have their
//! places in the structure; styles, numbering and the judgement of headings come from unhwp.

mod equation;
mod flow;
mod hwp5;
mod hwpx;
mod pages;
mod seal;

use crate::{
    DistributionPolicy, Limits, ReadError, archive,
    blocks::{Body, Builder},
};
use flow::Section;
use unhwp::{Document, ErrorKind, ParseOptions, model::StyleRegistry};

pub(super) fn read_hwp(bytes: &[u8], limits: &Limits) -> Result<Body, ReadError> {
    let header = archive::hwp_header(bytes)?;
    if header.distribution && limits.distribution == DistributionPolicy::Refuse {
        return Err(ReadError::Distribution);
    }
    let (styles, plain) = styles(bytes)?;
    let sections = hwp5::sections(bytes, header, &styles, limits)?;
    let mut body = written(sections, styles, plain, limits)?;
    if header.distribution {
        body.warnings
            .push("배포용 문서의 본문을 풀어 읽었습니다. 인용과 공유가 허락된 문서인지 확인해 주세요.".to_owned());
    }
    Ok(body)
}

pub(super) fn read_hwpx(bytes: &[u8], limits: &Limits) -> Result<Body, ReadError> {
    let (styles, plain) = styles(bytes)?;
    let sections = hwpx::sections(bytes, &styles, limits)?;
    written(sections, styles, plain, limits)
}

/// Styles of the document; `false` when they could not be read, which costs headings but no text.
fn styles(bytes: &[u8]) -> Result<(StyleRegistry, bool), ReadError> {
    let options = ParseOptions { parallel: false, ..ParseOptions::default().structure_only().lenient() };
    match unhwp::parse_bytes_with_options(bytes, &options) {
        Ok(Document { styles, .. }) => Ok((styles, true)),
        Err(error) if error.kind() == ErrorKind::Encrypted => Err(ReadError::PasswordProtected),
        Err(_) => Ok((StyleRegistry::default(), false)),
    }
}

/// Sections as a format's walker leaves them, and whether anything was broken on the way.
#[derive(Default)]
struct Walked {
    sections: Vec<Section>,
    broken: bool,
    /// Line positions were there and made sense.
    pages_known: bool,
}

fn written(walked: Walked, styles: StyleRegistry, plain: bool, limits: &Limits) -> Result<Body, ReadError> {
    let mut builder = Builder::new(limits.text_chars);
    flow::push(&mut builder, walked.sections, styles, walked.pages_known);
    if walked.broken {
        if builder.is_empty() {
            return Err(ReadError::Damaged);
        }
        builder.warnings.push("파일 일부가 손상되어 읽지 못한 부분이 있습니다.".to_owned());
    } else if !plain && !builder.is_empty() {
        builder.warnings.push("서식 정보가 손상되어 제목을 다 알아보지 못했습니다.".to_owned());
    }
    builder.finish()
}
