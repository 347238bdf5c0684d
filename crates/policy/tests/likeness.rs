//! How well sketches tell an altered text from another one, on official prose read in place.

use madang_policy::anomaly::{Sketch, SketchKey, Thresholds};
use std::path::Path;

/// Passages of a hundred words out of citizens' letters; empty where there are none.
fn passages() -> Vec<String> {
    let file = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/text/petitions_2019-04"));
    let Ok(text) = std::fs::read_to_string(file) else { return Vec::new() };
    let letters = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let words = |letter: serde_json::Value| -> Option<String> {
        let content = letter.get("content")?.as_str()?;
        let words: Vec<&str> = content.split_whitespace().take(100).collect();
        (words.len() == 100).then(|| words.join(" "))
    };
    letters.filter_map(words).take(600).collect()
}

/// Every n-th word replaced by another passage's.
fn altered(text: &str, other: &str, n: usize) -> String {
    let mut foreign = other.split_whitespace();
    let word =
        |(i, w): (usize, &str)| if i % n == n / 2 { foreign.next().unwrap_or(w).to_owned() } else { w.to_owned() };
    text.split_whitespace().enumerate().map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn altered_prose_is_near_and_other_prose_is_far() {
    let passages = passages();
    if passages.len() < 100 {
        eprintln!("skipped: no letters in shared/data/text");
        return;
    }
    let key = SketchKey::new([3; 16]);
    let of = |text: &str| Sketch::of(&key, text).unwrap();
    let sketches: Vec<Sketch> = passages.iter().map(|p| of(p)).collect();
    let threshold = Thresholds::default().retry_likeness;
    let others = || passages.iter().skip(1).chain(&passages);
    let near = |n: usize| {
        let hits = passages
            .iter()
            .zip(others())
            .zip(&sketches)
            .filter(|((p, o), s)| s.likeness(of(&altered(p, o, n))) >= threshold);
        hits.count() * 1000 / passages.len()
    };
    let (tenth, twentieth) = (near(10), near(20));
    let pairs = || sketches.iter().enumerate().flat_map(|(i, a)| sketches[..i].iter().map(move |b| (a, b)));
    let false_alarms = pairs().filter(|(a, b)| a.likeness(**b) >= threshold).count() * 1_000_000 / pairs().count();
    eprintln!(
        "{} passages: {twentieth}‰ found with every 20th word changed, {tenth}‰ with every 10th; {false_alarms} of a million other pairs",
        passages.len()
    );
    assert!(twentieth >= 990 && tenth >= 950 && false_alarms <= 500);
}
