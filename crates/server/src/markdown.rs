//! Answers as HTML: Markdown of an engine → sanitised HTML without links, pictures or raw markup, in which `[n]` of a
//! known source is a link to it. The only place where text of an engine becomes markup.

use crate::views::SafeHtml;
use comrak::Options;
use regex::Regex;
use std::collections::HashSet;
use std::sync::LazyLock;

/// Elements an answer may consist of. No links: an engine's text leads nowhere but to its sources.
const TAGS: [&str; 26] = [
    "p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "pre", "code", "em", "strong",
    "del", "sub", "sup", "table", "thead", "tbody", "tr", "th", "td",
];

/// A line that would make `[1]` a link of the engine's choosing.
static DEFINITION: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?m)^([ \t>*+-]*)\[([0-9]{1,3})\]:").ok());

/// Renders an answer. `known` are the numbers of its citations.
pub fn answer(markdown: &str, known: impl IntoIterator<Item = u32>) -> SafeHtml {
    let defused = match DEFINITION.as_ref() {
        Some(definition) => definition.replace_all(markdown, "$1\\[$2\\]:"),
        None => markdown.into(),
    };
    let html = comrak::markdown_to_html(&defused, &options());
    let mut cleaner = ammonia::Builder::empty();
    cleaner.tags(TAGS.into()).tag_attributes([("ol", ["start"].into()), ("td", ["align"].into()), ("th", ["align"].into())].into());
    let clean = cleaner.clean(&html).to_string();
    SafeHtml(with_citations(&clean, &known.into_iter().collect()))
}

/// The text without `[n]`, for a line in a list.
pub fn without_citations(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('[') {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        rest = match mark(after) {
            Some((_, tail)) => tail,
            None => {
                out.push('[');
                after.get(1..).unwrap_or_default()
            }
        };
    }
    out.push_str(rest);
    out
}

fn options() -> Options<'static> {
    let mut options = Options::default();
    options.extension.table = true;
    options.extension.strikethrough = true;
    // Raw HTML is shown as the text it is.
    options.render.escape = true;
    options
}

/// `[n]` in the text of sanitised HTML, outside code, becomes a link to source n.
fn with_citations(html: &str, known: &HashSet<u32>) -> String {
    let mut out = String::with_capacity(html.len() + 64);
    let mut rest = html;
    let mut code = 0usize;
    while let Some(at) = rest.find(['<', '[']) {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        if after.starts_with('<') {
            let end = after.find('>').map_or(after.len(), |e| e + 1);
            let (tag, tail) = after.split_at(end);
            match tag {
                "<code>" | "<pre>" => code += 1,
                "</code>" | "</pre>" => code = code.saturating_sub(1),
                _ => {}
            }
            out.push_str(tag);
            rest = tail;
        } else if let Some((number, tail)) = mark(after).filter(|(n, _)| code == 0 && known.contains(n)) {
            out.push_str(&format!("<a class=\"cite\" href=\"#source-{number}\" data-cite=\"{number}\">{number}</a>"));
            rest = tail;
        } else {
            out.push('[');
            rest = after.get(1..).unwrap_or_default();
        }
    }
    out.push_str(rest);
    out
}

/// `[12]…` → 12 and what follows.
fn mark(text: &str) -> Option<(u32, &str)> {
    let (number, tail) = text.strip_prefix('[')?.split_once(']')?;
    let digits = (1..=3).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    Some((digits.then(|| number.parse().ok())??, tail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn html(markdown: &str) -> String {
        answer(markdown, [1, 2]).0
    }

    #[test]
    fn known_citations_become_links_and_others_stay() {
        let out = html("월 10만 원이다. [1] 그리고 [7], `[2]`");
        assert!(out.contains("<a class=\"cite\" href=\"#source-1\" data-cite=\"1\">1</a>"));
        assert!(out.contains("[7]") && out.contains("<code>[2]</code>"));
    }

    #[test]
    fn engines_write_no_links_pictures_or_markup() {
        let out = html("![x](http://evil/p.png) [누름](javascript:alert(1)) <img src=x onerror=alert(1)>\n\n[1]\n\n[1]: http://evil\n");
        assert!(!out.contains("<img") && !out.contains("javascript:") && !out.contains("href=\"http"), "{out}");
        assert!(out.contains("href=\"#source-1\""), "{out}");
    }

    #[test]
    fn lists_show_no_numbers_of_sources() {
        assert_eq!(without_citations("면제한다. [1] [가] 끝 [12]["), "면제한다.  [가] 끝 [");
    }

    #[test]
    fn tables_survive() {
        let out = html("| 항목 | 값 |\n|---|---|\n| 예산 | 3억 [1] |\n");
        assert!(out.contains("<table>") && out.contains("<td>예산</td>") && out.contains("data-cite=\"1\""), "{out}");
    }

    proptest! {
        #[test]
        fn nothing_dangerous_comes_out(text in "\\PC{0,200}") {
            let out = answer(&text, [1]).0.to_lowercase();
            for bad in ["<script", "<img", "<iframe", "<style", "<svg", "<form"] {
                prop_assert!(!out.contains(bad));
            }
            let hrefs = out.matches("href=").count();
            prop_assert_eq!(hrefs, out.matches("href=\"#source-1\"").count());
        }
    }
}
