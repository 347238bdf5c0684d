//! The grammar of an answer with sources: free text in which a bracket with figures can only be the number of a passage
//! that was given (llguidance's dialect of Lark).

/// Text with marks `[n]` for `n` in `numbers`; without numbers no bracket may open with a figure.
pub(super) fn cited_text(numbers: &[usize]) -> String {
    let any = r"TEXT: /[^\[\]]+/
BRACKET: /\[[^0-9\[\]\s][^\[\]]{0,60}\]/
";
    if numbers.is_empty() {
        return format!("start: TEXT? (BRACKET TEXT?)*\n{any}");
    }
    let all: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    format!("start: TEXT? ((MARK | BRACKET) TEXT?)*\n{any}MARK: /\\[({})\\]/\n", all.join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use llguidance::api::TopLevelGrammar;
    use llguidance::toktrie::ApproximateTokEnv;
    use llguidance::{Matcher, ParserFactory};

    fn accepts(numbers: &[usize], text: &str) -> bool {
        let factory = ParserFactory::new_simple(&ApproximateTokEnv::single_byte_env()).unwrap();
        let mut matcher = Matcher::new(factory.create_parser(TopLevelGrammar::from_lark(cited_text(numbers))));
        let bytes: Vec<u32> = text.bytes().map(u32::from).collect();
        let taken = matcher.try_consume_tokens(&bytes).unwrap();
        taken == bytes.len() && matcher.is_accepting().unwrap()
    }

    #[test]
    fn only_given_numbers_are_marks() {
        for text in ["", "운영비는 63백만 원이다. [1]", "첫째. [1][12]\n- 둘째 [별표 2] 셋째 [12]"] {
            assert!(accepts(&[1, 12], text), "{text}");
        }
        for text in ["[2]", "운영비 [13]", "[1, 12]", "[ 1]", "[1", "a [99] b", "[112]"] {
            assert!(!accepts(&[1, 12], text), "{text}");
        }
        assert!(accepts(&[], "표 [별표 1]") && !accepts(&[], "표 [1]"));
    }
}
