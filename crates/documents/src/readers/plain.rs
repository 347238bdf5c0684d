//! TXT and Markdown: the text is kept as it is, but for presentational HTML tags inside it.

use crate::{
    Limits, ReadError,
    blocks::{Body, Builder},
    text,
};
use regex::Regex;
use std::sync::LazyLock;

/// Tags that converters leave in Markdown. Others stay: `<개정 2020. 1. 1.>` is text.
static TAGS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)</?(?:br|ul|ol|li|p|div|span|b|i|u|strong|em|sup|sub|font)(?:\s[^<>]{0,200})?/?>").ok()
});

pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Body, ReadError> {
    let decoded = text::decode(bytes).ok_or_else(|| ReadError::unsupported("알 수 없는 이진 파일"))?;
    let mut builder = Builder::new(limits.text_chars);
    let mut text = text::normalise(&decoded).into_owned();
    if let Some(tags) = TAGS.as_ref()
        && tags.is_match(&text)
    {
        text = tags.replace_all(&text, " ").into_owned();
    }
    builder.markdown(&text);
    builder.finish()
}
