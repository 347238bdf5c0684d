//! Required items, length limits and the closing 끝.

use super::rule::{LengthScope, Limit, Unit};
use super::{Looked, Place};
use crate::phrases::{shorten, unspaced, with_particle};

pattern!(CLOSED, r"(?:^|\S)(\s*)끝\s*(\.?)\s*$");

/// Each item must stand in the text; one that stands as a label must have something behind it.
pub(super) fn required(text: &str, items: &[String]) -> Looked {
    let lines: Vec<&str> = text.lines().collect();
    let places = items.iter().filter_map(|item| missing(&lines, item)).collect();
    Looked { seen: items.len(), places }
}

fn missing(lines: &[&str], item: &str) -> Option<Place> {
    let key = unspaced(item);
    let mut empty_label = None;
    for (i, line) in lines.iter().enumerate() {
        let Some(at) = unspaced(line).find(&key).map(|at| at + key.len()) else {
            continue;
        };
        let flat = unspaced(line);
        let rest = flat.get(at..).unwrap_or("");
        let label_only = matches!(rest, ":" | "：" | "") && flat.chars().count() <= key.chars().count() + 5;
        if !label_only || lines.get(i + 1).is_some_and(|next| holds_content(next)) {
            return None;
        }
        empty_label = Some(i + 1);
    }
    Some(match empty_label {
        Some(line) => {
            Place {
                line, quote: item.to_owned(), fix: format!("‘{item}’의 내용이 비어 있습니다. 내용을 채웁니다.")
            }
        }
        None => Place {
            line: 0,
            quote: String::new(),
            fix: format!("{} 없습니다. 항목을 넣고 내용을 적습니다.", with_particle(&format!("‘{item}’"), "이", "가")),
        },
    })
}

/// Something that is not blank and not another label.
fn holds_content(line: &str) -> bool {
    let t = line.trim();
    !t.is_empty() && !t.ends_with([':', '：'])
}

/// Measures the text, its title, or each sentence or line.
pub(super) fn length(text: &str, limit: &Limit) -> Looked {
    let parts: Vec<(usize, String)> = match limit.scope {
        LengthScope::Document => vec![(0, text.trim().to_owned())],
        LengthScope::Title => numbered_lines(text).take(1).collect(),
        LengthScope::EachLine => numbered_lines(text).collect(),
        LengthScope::EachSentence => numbered_lines(text)
            .flat_map(|(n, line)| {
                let ranges = madang_korean::sentences(&line).into_iter();
                ranges.filter_map(|r| line.get(r).map(|s| (n, s.to_owned()))).collect::<Vec<_>>()
            })
            .collect(),
    };
    let places = parts
        .iter()
        .filter_map(|(line, part)| {
            let n = measure(part, limit.unit);
            let broken = if limit.at_least { n < limit.count } else { n > limit.count };
            broken.then(|| Place {
                line: *line,
                quote: shorten(part.lines().next().unwrap_or(""), 40),
                fix: advice(n, limit),
            })
        })
        .collect();
    Looked { seen: parts.len(), places }
}

fn numbered_lines(text: &str) -> impl Iterator<Item = (usize, String)> {
    text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()).map(|(i, l)| (i + 1, l.trim().to_owned()))
}

fn measure(part: &str, unit: Unit) -> usize {
    match unit {
        Unit::Characters => part.chars().filter(|c| *c != '\n' && *c != '\r').count(),
        Unit::Words => part.split_whitespace().count(),
        Unit::Lines => part.lines().filter(|l| !l.trim().is_empty()).count(),
        Unit::Sentences => part.lines().map(|l| madang_korean::sentences(l).len()).sum(),
    }
}

fn advice(n: usize, limit: &Limit) -> String {
    let unit = match limit.unit {
        Unit::Characters => "자",
        Unit::Words => "어절",
        Unit::Lines => "줄",
        Unit::Sentences => "문장",
    };
    let (count, gap) = (limit.count, n.abs_diff(limit.count));
    if limit.at_least {
        format!("지금 {n}{unit}입니다. {count}{unit} 이상이 되도록 {gap}{unit} 더 적습니다.")
    } else {
        format!("지금 {n}{unit}입니다. {count}{unit} 이내가 되도록 {gap}{unit} 줄입니다.")
    }
}

/// The last line closes with two spaces and `끝.`; a table may close with 이하 빈칸.
pub(super) fn ending(text: &str) -> Looked {
    let last = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()).last();
    let Some((i, line)) = last else {
        return Looked { seen: 0, places: vec![] };
    };
    let fix = match CLOSED.captures(line) {
        _ if unspaced(line).ends_with("이하빈칸") => None,
        None => Some("마지막 글자에서 두 칸 띄우고 ‘끝.’을 적습니다."),
        Some(found) => {
            let gap = found.get(1).map_or(0, |m| m.as_str().chars().count());
            let alone = line.trim_start().starts_with('끝');
            let dotted = found.get(2).is_some_and(|m| m.as_str() == ".");
            if !dotted {
                Some("‘끝’ 뒤에 온점을 찍어 ‘끝.’으로 적습니다.")
            } else if !alone && gap != 2 {
                Some("‘끝.’ 앞을 두 칸 띄웁니다.")
            } else {
                None
            }
        }
    };
    let places = fix.map(|fix| Place { line: i + 1, quote: tail(line), fix: fix.to_owned() }).into_iter().collect();
    Looked { seen: 1, places }
}

/// Last 20 characters of a line.
fn tail(line: &str) -> String {
    let t = line.trim();
    t.chars().skip(t.chars().count().saturating_sub(20)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(words: &[&str]) -> Vec<String> {
        words.iter().map(|w| (*w).to_owned()).collect()
    }

    #[test]
    fn required_items_must_be_there_and_filled() {
        let text = "사업 목적: 안전\n소요 예산:\n추진일정:\n- 3월 착수";
        let looked = required(text, &items(&["사업목적", "소요예산", "추진일정", "담당부서"]));
        assert_eq!(looked.seen, 4);
        assert_eq!(looked.places.iter().map(|p| p.line).collect::<Vec<_>>(), [2, 0]);
        assert!(looked.places[1].fix.starts_with("‘담당부서’가 없습니다"), "{:?}", looked.places[1]);
    }

    #[test]
    fn lengths_say_how_much_is_too_much() {
        let limit = |count, unit, scope, at_least| Limit { count, unit, scope, at_least };
        let long = length("가나다라마", &limit(3, Unit::Characters, LengthScope::Document, false));
        assert_eq!(long.places[0].fix, "지금 5자입니다. 3자 이내가 되도록 2자 줄입니다.");
        assert!(length("가나다", &limit(3, Unit::Characters, LengthScope::Document, false)).places.is_empty());
        assert_eq!(
            length("제목\n\n긴 본문 줄", &limit(3, Unit::Characters, LengthScope::Title, false)).places.len(),
            0
        );
        let each =
            length("짧다. 이 문장은 꽤 길게 이어진다.", &limit(8, Unit::Characters, LengthScope::EachSentence, false));
        assert_eq!(each.places.len(), 1);
        assert_eq!(length("한 줄", &limit(2, Unit::Lines, LengthScope::Document, true)).places.len(), 1);
    }

    #[test]
    fn the_end_is_marked() {
        for good in ["참석 바랍니다.  끝.", "붙임  계획서 1부.  끝.", "표\n끝.", "이하 빈칸"] {
            assert!(ending(good).places.is_empty(), "{good}");
        }
        for (bad, word) in
            [("참석 바랍니다.", "두 칸 띄우고"), ("바랍니다. 끝.", "앞을 두 칸"), ("바랍니다.  끝", "온점")]
        {
            assert!(ending(bad).places[0].fix.contains(word), "{bad}");
        }
    }
}
