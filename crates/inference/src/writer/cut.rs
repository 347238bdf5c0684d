//! Long texts in pieces that fit: cut at ends of paragraphs, lines or sentences where there are any, each stretch counted
//! about once, and the pieces that a question is about.

/// A piece of a text with its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub text: String,
    pub tokens: usize,
}

/// Cuts a text into pieces of at most `room` tokens.
pub(super) fn cut(text: &str, room: usize, count: impl Fn(&str) -> usize) -> Vec<Piece> {
    let mut out: Vec<Piece> = Vec::new();
    let mut open = Piece { text: String::new(), tokens: 0 };
    let mut put = |part: &str, tokens: usize| {
        if open.tokens + tokens > room {
            let full = std::mem::replace(&mut open, Piece { text: String::new(), tokens: 0 });
            out.extend((!full.text.trim().is_empty()).then_some(full));
        }
        open.text.push_str(part);
        open.tokens += tokens;
    };
    for line in text.split_inclusive('\n') {
        let tokens = count(line);
        if tokens <= room {
            put(line, tokens);
            continue;
        }
        for sentence in sentences(line) {
            let tokens = count(sentence);
            if tokens <= room {
                put(sentence, tokens);
            } else {
                broken(sentence, tokens, room, &count, &mut put);
            }
        }
    }
    out.extend((!open.text.trim().is_empty()).then_some(open));
    out
}

/// The sentences of a line with everything between them.
fn sentences(line: &str) -> impl Iterator<Item = &str> {
    let mut ends: Vec<usize> = madang_korean::sentences(line).iter().map(|r| r.end).collect();
    ends.push(line.len());
    let mut from = 0;
    ends.into_iter().filter_map(move |end| {
        let part = line.get(from..end).filter(|p| !p.is_empty())?;
        from = end;
        Some(part)
    })
}

/// A sentence that is too long by itself, in stretches as long as its tokens per byte allow; one that is denser than
/// the rest is halved until it fits or is a single character.
fn broken(text: &str, tokens: usize, room: usize, count: &impl Fn(&str) -> usize, put: &mut impl FnMut(&str, usize)) {
    let mut size = text.len() * room / tokens.max(1) * 9 / 10;
    let mut rest = text;
    while !rest.is_empty() {
        let first = rest.chars().next().map_or(rest.len(), char::len_utf8);
        let at = rest.floor_char_boundary(size.min(rest.len())).max(first);
        let (head, tail) = rest.split_at_checked(at).unwrap_or((rest, ""));
        let tokens = count(head);
        if tokens > room && at > first {
            size = at / 2;
            continue;
        }
        put(head, tokens);
        rest = tail;
    }
}

/// Of pieces of a text those that bear most of `words`, within `room` tokens, in their order; the beginning counts a
/// little, for there a text says what it is about. Also how many were left out.
pub(super) fn excerpt(pieces: &[Piece], words: &[String], room: usize) -> (String, usize) {
    let score = |at: usize, piece: &Piece| {
        let flat: String = madang_korean::normalise(&piece.text).chars().filter(|c| !c.is_whitespace()).collect();
        let hits = words.iter().filter(|w| flat.contains(w.as_str())).count() as f32;
        hits + 0.5 / (1.0 + at as f32)
    };
    let mut order: Vec<(usize, f32)> = pieces.iter().enumerate().map(|(i, p)| (i, score(i, p))).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut left = room;
    let mut chosen: Vec<usize> = Vec::new();
    for (at, _) in order {
        let cost = pieces.get(at).map_or(0, |p| p.tokens);
        if cost <= left {
            left -= cost;
            chosen.push(at);
        }
    }
    chosen.sort_unstable();
    let chosen_texts = chosen.iter().filter_map(|i| pieces.get(*i)).map(|p| p.text.as_str());
    (chosen_texts.collect::<Vec<_>>().join("\n…\n"), pieces.len() - chosen.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;

    #[test]
    fn the_pieces_asked_about_are_kept_in_order() {
        let piece = |t: &str| Piece { text: t.to_owned(), tokens: t.chars().count() };
        let pieces = ["머리말", "예산 이야기", "잡담", "예산과 기간"].map(piece);
        let words = ["예산".to_owned(), "기간".to_owned()];
        let (text, left_out) = excerpt(&pieces, &words, 12);
        assert_eq!((text.as_str(), left_out), ("예산 이야기\n…\n예산과 기간", 2));
    }

    /// However a long text is laid out, cutting it encodes it a few times, not once per halving.
    #[test]
    fn a_long_text_is_counted_a_few_times() {
        let lines = "열 글자 남짓한 줄이다.\n".repeat(8_000);
        let one_line = "문장 하나가 여기에 있다. ".repeat(8_000);
        let no_sentence = "가나다라".repeat(25_000);
        for text in [&lines, &one_line, &no_sentence] {
            let counted = Cell::new(0);
            let pieces = cut(text, 900, |t| {
                counted.set(counted.get() + t.len());
                t.chars().count()
            });
            assert!(pieces.len() > 50 && counted.get() <= 3 * text.len() + 10_000, "{}", counted.get());
        }
    }

    proptest! {
        #[test]
        fn pieces_fit_and_lose_nothing(text in "([가-힣 .]|\n){0,300}", room in 2usize..60) {
            let count = |t: &str| t.chars().count();
            let pieces = cut(&text, room, count);
            prop_assert!(pieces.iter().all(|p| count(&p.text) <= room && p.tokens == count(&p.text)), "{pieces:?}");
            let kept = |t: &str| t.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            let all: String = pieces.iter().map(|p| p.text.as_str()).collect();
            prop_assert_eq!(kept(&all), kept(&text));
        }
    }
}
