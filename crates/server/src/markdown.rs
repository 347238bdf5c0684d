//! Answers and passages as HTML: Markdown of an engine or a document → sanitised HTML without links, pictures or raw
//! markup; in answers, `[n]` of a known source is a link to it. The only place where such text becomes markup.

use crate::views::SafeHtml;
use comrak::Options;
use regex::Regex;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::LazyLock;

/// Elements an answer may consist of. No links: an engine's text leads nowhere but to its sources.
const TAGS: [&str; 26] = [
    "p",
    "br",
    "hr",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "ul",
    "ol",
    "li",
    "blockquote",
    "pre",
    "code",
    "em",
    "strong",
    "del",
    "sub",
    "sup",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
];

/// A line that would make `[1]` a link of the engine's choosing.
static DEFINITION: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?m)^([ \t>*+-]*)\[([0-9]{1,3})\]:").ok());

/// Renders an answer. `known` are the numbers of its citations.
pub fn answer(markdown: &str, known: impl IntoIterator<Item = u32>) -> SafeHtml {
    let defused = match DEFINITION.as_ref() {
        Some(definition) => definition.replace_all(markdown, "$1\\[$2\\]:"),
        None => markdown.into(),
    };
    let clean = clean(&comrak::markdown_to_html(&defused, &options()));
    SafeHtml(with_citations(&clean, &known.into_iter().collect()))
}

fn clean(html: &str) -> String {
    let mut cleaner = ammonia::Builder::empty();
    cleaner
        .tags(TAGS.into())
        .tag_attributes([("ol", ["start"].into()), ("td", ["align"].into()), ("th", ["align"].into())].into());
    cleaner.clean(html).to_string()
}

/// Stand where a mark begins and ends while the text is rendered; noncharacters, which no document holds.
const MARK: [char; 2] = ['\u{fdd0}', '\u{fdd1}'];

/// Renders text of a document, line by line as it was written, with the characters `marked` highlighted. A span that
/// reaches over several blocks or cells is left to the highlight of the whole passage.
pub fn passage(markdown: &str, marked: Option<Range<usize>>) -> SafeHtml {
    let mut text = String::with_capacity(markdown.len() + 8);
    let one_block = marked
        .clone()
        .is_some_and(|m| !markdown.chars().skip(m.start).take(m.len()).any(|c| matches!(c, '\n' | '|' | '`')));
    let marked = marked.filter(|m| one_block && !m.is_empty());
    for (at, c) in markdown.chars().filter(|c| !MARK.contains(c)).enumerate() {
        if let Some(marked) = &marked {
            text.extend((at == marked.end).then_some(MARK[1]));
            text.extend((at == marked.start).then_some(MARK[0]));
        }
        text.push(c);
    }
    text.extend(marked.filter(|m| text.contains(MARK[0]) && m.end >= markdown.chars().count()).map(|_| MARK[1]));
    let mut options = options();
    options.render.hardbreaks = true;
    let html = clean(&comrak::markdown_to_html(&unindented(&text), &options));
    SafeHtml(html.replace(MARK[0], "<mark>").replace(MARK[1], "</mark>"))
}

/// Four spaces would make a line of a plain text code; lists keep the depth that three can tell.
fn unindented(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let bare = line.trim_start_matches([' ', '\t', '\u{a0}', '\u{3000}']);
        let list = bare.starts_with("- ") || bare.starts_with("* ") || bare.starts_with(|c: char| c.is_ascii_digit());
        if list { line.to_owned() } else { bare.to_owned() }
    });
    lines.collect::<Vec<_>>().join("\n")
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
        let out = html(
            "![x](http://evil/p.png) [누름](javascript:alert(1)) <img src=x onerror=alert(1)>\n\n[1]\n\n[1]: http://evil\n",
        );
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

    #[test]
    fn passages_are_marked_where_asked() {
        let out = passage("## 회의실\n\n예약은 사흘 전까지\n신청한다.", Some(12..18)).0;
        assert!(out.contains("예약은 <mark>사흘 전까지</mark><br"), "{out}");
        assert!(passage("끝까지 표시", Some(0..6)).0.contains("<mark>끝까지 표시</mark>"));
        for none in [None, Some(3..3), Some(2..13), Some(90..95)] {
            let out = passage("## 회의실\n\n예약은 사흘 전까지", none.clone()).0;
            assert!(!out.contains("mark>"), "{none:?} {out}");
        }
        assert!(!passage("| 가 | <b>나</b> |\n|---|---|\n| 1 | 2 |", None).0.contains("<b>"));
        assert!(!passage("        줄을 들여 쓴 글", None).0.contains("<code>"));
    }

    proptest! {
        #[test]
        fn marks_open_and_close(text in "\\PC{0,60}", start in 0usize..70, length in 0usize..20) {
            let out = passage(&text, Some(start..start + length)).0;
            prop_assert_eq!(out.matches("<mark>").count(), out.matches("</mark>").count(), "{}", out);
        }

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
