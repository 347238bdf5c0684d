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
    builder.markdown(&short_rules(&text));
    builder.finish()
}

/// The rule under a table's header is as wide as its widest cell in some sources; it says nothing.
fn short_rules(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        if line.starts_with('|') && line.contains("---") && line.chars().all(|c| matches!(c, '|' | '-' | ':' | ' ')) {
            let cells = line.trim().trim_matches('|').split('|').count();
            out.push('|');
            out.push_str(&" --- |".repeat(cells));
        } else {
            out.push_str(line);
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_and_markup_goes() {
        let source =
            "| 가 | 나 |\n|-----------|:--|\n| <ul style=\"x\"> ■ 하나<br/>둘 | 2 |\n\n<개정 2020. 1. 1.> a < b\r\n";
        let body = read(source.as_bytes(), &Limits::default()).expect("text");
        let expected = "| 가 | 나 |\n| --- | --- |\n|   ■ 하나 둘 | 2 |\n\n<개정 2020. 1. 1.> a < b";
        assert_eq!(body.text, expected);
    }
}
