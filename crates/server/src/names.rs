//! Names of files as people gave them, wherever they come from. They are shown and never used as paths.

use unicode_normalization::UnicodeNormalization;

/// Longest file name kept, characters.
const MAX_NAME: usize = 200;

/// The last part of a name, composed (macOS sends it decomposed), without control characters, of bounded length.
pub fn clean_name(raw: &str) -> String {
    let last = raw.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = last.nfc().filter(|c| !c.is_control()).collect();
    let name = name.trim();
    let length = name.chars().count();
    if name.is_empty() {
        "이름 없는 파일".to_owned()
    } else if length > MAX_NAME {
        // Shortened at the front, so that the extension stays.
        name.chars().skip(length - MAX_NAME).collect()
    } else {
        name.to_owned()
    }
}

/// Title and format by the name: "2026 업무계획.hwpx" → ("2026 업무계획", "HWPX").
pub fn split_name(name: &str) -> (String, String) {
    match name.rsplit_once('.') {
        Some((stem, extension))
            if !stem.trim().is_empty()
                && (1..=8).contains(&extension.len())
                && extension.chars().all(|c| c.is_ascii_alphanumeric()) =>
        {
            (stem.trim().to_owned(), extension.to_ascii_uppercase())
        }
        _ => (name.to_owned(), "?".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_never_paths() {
        assert_eq!(clean_name("../../etc/passwd"), "passwd");
        assert_eq!(clean_name("C:\\자료\\계획.hwpx"), "계획.hwpx");
        assert_eq!(clean_name("계획\u{0}\n.txt"), "계획.txt");
        assert_eq!(clean_name("  "), "이름 없는 파일");
        // Decomposed Hangul, as macOS sends it.
        assert_eq!(clean_name("\u{1100}\u{1161}.txt"), "가.txt");
        let long = format!("{}.hwpx", "가".repeat(400));
        assert!(clean_name(&long).ends_with("가.hwpx") && clean_name(&long).chars().count() == MAX_NAME);
    }

    #[test]
    fn titles_lose_the_extension_alone() {
        assert_eq!(split_name("2026. 업무계획.hwpx"), ("2026. 업무계획".to_owned(), "HWPX".to_owned()));
        assert_eq!(split_name("제1장. 총칙"), ("제1장. 총칙".to_owned(), "?".to_owned()));
        assert_eq!(split_name(".txt").0, ".txt");
    }
}
