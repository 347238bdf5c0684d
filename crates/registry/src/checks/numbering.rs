//! Order of numbered items: 1. → 가. → 1) → 가) → (1) → (가) → ① → ㉮, two spaces deeper per level.

use super::{Looked, Place};

/// Syllables that number the even levels.
const SYLLABLES: [char; 14] = ['가', '나', '다', '라', '마', '바', '사', '아', '자', '차', '카', '타', '파', '하'];
const EXAMPLES: [&str; 8] = ["1.", "가.", "1)", "가)", "(1)", "(가)", "①", "㉮"];

pattern!(DATE_START, r"^[0-9]{2,4}\s*[.년]\s*[0-9]{1,2}\s*[.월]");
pattern!(
    MARK,
    r"^(?:([0-9]{1,2})\.|([가-하])\.|([0-9]{1,2})\)|([가-하])\)|\(([0-9]{1,2})\)|\(([가-하])\)|([①-⑳])|([㉮-㉻]))(\s|$|\S)"
);

/// A numbered line.
struct Item {
    line: usize,
    indent: usize,
    /// 0 for `1.` to 7 for `㉮`.
    level: usize,
    /// 1-based place in its order.
    ordinal: usize,
    spaced: bool,
    mark: String,
    quote: String,
}

/// Looks at every numbered line: order, skipped levels, lone items, indents and the space after the mark.
pub(super) fn numbering(text: &str) -> Looked {
    let items: Vec<Item> = text.lines().enumerate().filter_map(|(i, l)| read(i + 1, l)).collect();
    let mut places = Vec::new();
    let base = items.iter().map(|i| i.level).min().unwrap_or(0);
    let margin = items.iter().find(|i| i.level == base).map_or(0, |i| i.indent);
    // Ordinal reached at each level; deeper levels start anew when an outer one moves on.
    let mut reached = [0usize; 8];
    let mut previous: Option<usize> = None;
    for item in &items {
        place_order(&mut places, item, &reached, previous);
        if let Some(slot) = reached.get_mut(item.level) {
            *slot = item.ordinal;
        }
        reached.iter_mut().skip(item.level + 1).for_each(|slot| *slot = 0);
        place_layout(&mut places, item, margin + 2 * (item.level - base));
        previous = Some(item.level);
    }
    lone_items(&mut places, &items);
    places.sort_by_key(|p| p.line);
    Looked { seen: items.len(), places }
}

fn read(line: usize, raw: &str) -> Option<Item> {
    let text = raw.trim_start();
    if DATE_START.is_match(text) {
        return None;
    }
    let found = MARK.captures(text)?;
    let level = (1..=8).find(|g| found.get(*g).is_some())? - 1;
    let value = found.get(level + 1)?.as_str();
    let ordinal = match (level, value.chars().next()?) {
        (0 | 2 | 4, _) => value.parse().ok()?,
        (1 | 3 | 5, c) => SYLLABLES.iter().position(|s| *s == c)? + 1,
        (6, c) => (c as usize).checked_sub('①' as usize)? + 1,
        (_, c) => (c as usize).checked_sub('㉮' as usize)? + 1,
    };
    let indent = raw.chars().take_while(|c| c.is_whitespace()).map(|c| if c == '\u{3000}' { 2 } else { 1 }).sum();
    let after = found.get(9).map_or("", |m| m.as_str());
    // "2.5배" is a figure, not a mark.
    if level == 0 && after.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mark = text.get(..found.get(9)?.start())?.to_owned();
    let spaced = after.is_empty() || after.starts_with(char::is_whitespace);
    Some(Item { line, indent, level, ordinal, spaced, mark, quote: crate::phrases::shorten(text, 40) })
}

fn place_order(places: &mut Vec<Place>, item: &Item, reached: &[usize; 8], previous: Option<usize>) {
    let before = reached.get(item.level).copied().unwrap_or(0);
    let mut add = |fix: String| places.push(Place { line: item.line, quote: item.quote.clone(), fix });
    if previous.is_some_and(|p| item.level > p + 1) {
        let expected = previous.and_then(|p| EXAMPLES.get(p + 1)).unwrap_or(&"1.");
        add(format!("번호 단계를 건너뛰었습니다. 다음 단계인 ‘{expected}’ 꼴로 적습니다."));
    } else if item.ordinal != before + 1 {
        let right = mark_of(item.level, before + 1).unwrap_or_else(|| "다음 번호".into());
        add(format!("차례로는 ‘{right}’입니다. 번호를 이어 적습니다."));
    }
}

fn place_layout(places: &mut Vec<Place>, item: &Item, expected: usize) {
    let mut add = |fix: String| places.push(Place { line: item.line, quote: item.quote.clone(), fix });
    if item.indent != expected {
        add(format!("왼쪽을 {expected}칸 띄웁니다(지금 {}칸). 단계마다 두 칸씩 들여 씁니다.", item.indent));
    }
    if !item.spaced {
        add(format!("‘{}’ 뒤를 한 칸 띄웁니다.", item.mark));
    }
}

/// An item without a sibling bears no number.
fn lone_items(places: &mut Vec<Place>, items: &[Item]) {
    for (i, item) in items.iter().enumerate() {
        let next_sibling =
            items.iter().skip(i + 1).take_while(|n| n.level >= item.level).any(|n| n.level == item.level);
        if item.ordinal == 1 && !next_sibling {
            let fix = "항목이 하나뿐이면 번호를 붙이지 않습니다.".to_owned();
            places.push(Place { line: item.line, quote: item.quote.clone(), fix });
        }
    }
}

fn mark_of(level: usize, ordinal: usize) -> Option<String> {
    let syllable = || SYLLABLES.get(ordinal.checked_sub(1)?).copied();
    let circled = |base: char| char::from_u32(base as u32 + u32::try_from(ordinal).ok()?.checked_sub(1)?);
    Some(match level {
        0 => format!("{ordinal}."),
        1 => format!("{}.", syllable()?),
        2 => format!("{ordinal})"),
        3 => format!("{})", syllable()?),
        4 => format!("({ordinal})"),
        5 => format!("({})", syllable()?),
        6 => circled('①')?.to_string(),
        7 => circled('㉮')?.to_string(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fixes(text: &str) -> Vec<(usize, String)> {
        numbering(text).places.into_iter().map(|p| (p.line, p.fix)).collect()
    }

    #[test]
    fn the_official_order_passes() {
        let text = "1. 목적\n2. 일시\n  가. 시작\n    1) 하나\n      가) 갑\n        (1) 을\n          (가) 병\n            ① 정\n              ㉮ 무\n              ㉯ 기\n            ② 경\n          (나) 신\n        (2) 임\n      나) 계\n    2) 둘\n  나. 끝\n3. 장소\n";
        assert_eq!(fixes(text), vec![]);
        assert_eq!(numbering(text).seen, 17);
    }

    #[test]
    fn skipped_numbers_levels_and_lone_items_are_found() {
        assert_eq!(fixes("1. 가나\n3. 다라"), [(2, "차례로는 ‘2.’입니다. 번호를 이어 적습니다.".to_owned())]);
        let deep = fixes("1. 가나\n    1) 하나\n    2) 둘\n2. 다라");
        assert!(deep[0].1.contains("건너뛰었습니다") && deep[0].1.contains("가."), "{deep:?}");
        assert!(fixes("1. 하나뿐").iter().any(|f| f.1.contains("하나뿐이면")));
    }

    #[test]
    fn indents_and_spaces() {
        let found = fixes("1. 목적\n가. 세부\n나. 세부\n2.일시");
        assert!(
            found.contains(&(2, "왼쪽을 2칸 띄웁니다(지금 0칸). 단계마다 두 칸씩 들여 씁니다.".to_owned())),
            "{found:?}"
        );
        assert!(found.contains(&(4, "‘2.’ 뒤를 한 칸 띄웁니다.".to_owned())));
    }

    #[test]
    fn dates_and_figures_are_no_marks() {
        assert_eq!(numbering("2026. 3. 2. 회의\n26. 3. 2.\n2.5배 늘었다\n가격은").seen, 0);
    }

    proptest! {
        #[test]
        fn never_panics(text in "[ 1-9가-다①㉮().\n]{0,80}") {
            numbering(&text);
        }
    }
}
