//! The shapes of answers: the same headings, columns, fields and words of refusal whichever engine fills them.
//!
//! What stands in them is the engines' own; how a screen renders the Markdown lives in `server`.

/// Stands in a cell or behind a field that the sources do not fill.
pub const EMPTY: &str = "자료에 없음";
/// Under a section that the sources could not fill.
pub const UNFILLED_SECTION: &str = "_(자료에서 찾지 못했습니다. 직접 적어 주세요.)_\n\n";
/// First line of an answer that the sources do not hold.
pub const NOT_FOUND: &str = "자료에서 이 질문의 답을 찾지 못했습니다.";

/// Backslash before what Markdown would read as markup; single tildes, as in "3.~5.", stay. Line ends become spaces.
pub fn escape_markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|') {
            out.push('\\');
        }
        out.push(if c == '\n' || c == '\r' { ' ' } else { c });
    }
    out.replace("~~", "\\~\\~")
}

/// Heading of a section of a draft.
pub fn section(name: &str) -> String {
    format!("## {}\n\n", escape_markdown(name))
}

/// Last line of a draft with unfilled sections.
pub fn unfilled_sections(names: &[String]) -> String {
    format!("---\n\n채우지 못한 항목: {}\n", escape_markdown(&names.join(", ")))
}

/// The title of a draft is what its writer calls it, not a quote.
pub fn is_title_section(section: &str) -> bool {
    matches!(section.trim(), "제목" | "문서 제목" | "보고서 제목")
}

/// Bullets of one section: a limit below the number of sections can only be meant for each of them ("항목마다 두 문장").
pub fn items_of_section(limit: usize, sections: usize) -> usize {
    if limit < sections { limit.clamp(1, 8) } else { (limit / sections.max(1)).clamp(1, 8) }
}

/// The two lines that open a table.
pub fn table_header(columns: &[String]) -> String {
    let names: Vec<String> = columns.iter().map(|c| escape_markdown(c)).collect();
    format!("| {} |\n|{}\n", names.join(" | "), " --- |".repeat(columns.len()))
}

/// One row; the cells are Markdown without line ends.
pub fn table_row(cells: &[String]) -> String {
    let mut row = String::from("|");
    for cell in cells {
        row.push_str(&format!(" {cell} |"));
    }
    row.push('\n');
    row
}

/// A column for the document that a row comes from, which the engine fills and not the text.
pub fn is_source_column(column: &str) -> bool {
    matches!(column.trim(), "근거" | "출처" | "문서" | "근거 문서" | "자료")
}

/// Opens the `number`th record of several (1-based).
pub fn record(number: usize) -> String {
    format!("{}**{number}번째**\n\n", if number > 1 { "\n" } else { "" })
}

/// "- **예산**: 21백만 원 [1]"; `value` is Markdown.
pub fn field(name: &str, value: &str) -> String {
    format!("- **{}**: {value}\n", escape_markdown(name))
}

/// The class chosen.
pub fn class(name: &str) -> String {
    format!("**{}**\n\n", escape_markdown(name))
}

/// The runner-up.
pub fn second_class(name: &str) -> String {
    format!("- 다음으로 가까운 갈래: {} (사람이 확인해 주세요)\n", escape_markdown(name))
}

/// Says that the sources hold no answer, which words they lack, what comes nearest and what to do.
pub fn no_answer(missing: &[String], nearest: Option<&str>) -> String {
    let mut out = format!("{NOT_FOUND}\n\n");
    if !missing.is_empty() {
        let words: Vec<String> = missing.iter().take(5).map(|w| format!("‘{}’", escape_markdown(w))).collect();
        out.push_str(&format!("- 찾은 자료에 없는 말: {}\n", words.join(", ")));
    }
    if let Some(title) = nearest {
        out.push_str(&format!("- 가장 가까운 문서: 「{}」\n", escape_markdown(title)));
    }
    out.push_str("- 이렇게 해 보세요: 문서에 쓰인 낱말로 다시 묻거나, 답이 담긴 문서를 자료 모음에 더해 주세요.\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_cells_stays_text() {
        assert_eq!(escape_markdown("a|b [1]\n~~c~~ 3.~5."), "a\\|b \\[1\\] \\~\\~c\\~\\~ 3.~5.");
        assert_eq!(table_header(&["가|나".into(), "다".into()]), "| 가\\|나 | 다 |\n| --- | --- |\n");
        assert_eq!(table_row(&["1".into(), EMPTY.into()]), "| 1 | 자료에 없음 |\n");
    }

    #[test]
    fn a_small_limit_is_for_each_section() {
        assert_eq!([(2, 4), (12, 4), (4, 4), (0, 0)].map(|(limit, n)| items_of_section(limit, n)), [2, 3, 1, 1]);
    }
}
