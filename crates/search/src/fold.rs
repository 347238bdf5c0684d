//! Near-duplicate passages: the same notice in several documents is shown once, with the others behind it.

use madang_korean::analyse;
use std::collections::HashSet;

/// Shared terms over all terms of two passages from which on they say the same (Broder's resemblance, 1997).
const SAME: f32 = 0.85;

/// For each text the position of the first text before it that says the same, or its own.
pub fn fold(texts: &[&str]) -> Vec<usize> {
    let terms: Vec<HashSet<u32>> = texts.iter().map(|t| analyse(t).iter().map(|t| t.term()).collect()).collect();
    let mut out: Vec<usize> = Vec::with_capacity(texts.len());
    for (at, own) in terms.iter().enumerate() {
        let mut firsts = out.iter().copied().enumerate().filter(|(i, first)| i == first).map(|(i, _)| i);
        let same = firsts.find(|first| terms.get(*first).is_some_and(|other| resemblance(own, other) >= SAME));
        out.push(same.unwrap_or(at));
    }
    out
}

fn resemblance(a: &HashSet<u32>, b: &HashSet<u32>) -> f32 {
    let (small, large) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    // Sizes alone rule most pairs out.
    if large.is_empty() || (small.len() as f32) < SAME * large.len() as f32 {
        return 0.0;
    }
    let shared = small.iter().filter(|t| large.contains(t)).count() as f32;
    shared / (a.len() + b.len()) as f32 / (1.0 - shared / (a.len() + b.len()) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_same_words_stand_once() {
        let notice = "회의실은 사흘 전까지 총무과에 신청하고 사용한 뒤에는 정리한다. 열쇠는 당직실에 돌려준다.";
        let again = "회의실은 사흘 전까지 총무과에 신청하고 사용한 뒤에는 정리한다. 열쇠는 당직실에 돌려준다!";
        let other = "회의실 예약은 누리집에서 하고 수수료는 없다. 취소는 하루 전까지 한다.";
        assert_eq!(fold(&[notice, other, again, notice]), [0, 1, 0, 0]);
        assert_eq!(fold(&["", ""]), [0, 1], "nothing resembles nothing");
        assert_eq!(fold(&[]), Vec::<usize>::new());
    }

    proptest! {
        #[test]
        fn firsts_stand_for_themselves(texts in proptest::collection::vec("[가-다 ]{0,12}", 0..12)) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let folded = fold(&texts);
            prop_assert_eq!(folded.len(), texts.len());
            for (at, first) in folded.iter().enumerate() {
                prop_assert!(*first <= at && folded[*first] == *first);
            }
        }
    }
}
