//! The letters of a page in the order in which they are painted. The layout of the library drops what opens a list item
//! (①, ㆍ) for a bullet, and joins lines with a space even inside a Korean word; what was painted tells the truth.

use std::collections::{BTreeMap, HashMap};
use unpdf::parser::backend::{ContentOp, PageId, PdfBackend, PdfValue, RawBackend, ResourceScope};

/// Letters of one page without white space.
#[derive(Default)]
pub(super) struct Painted {
    letters: Vec<char>,
    /// Text stands farther from the page than any honest one; to lay it out would take memory without end.
    pub far: bool,
    /// White space was painted before the letter.
    spaced: Vec<bool>,
    /// The letter is the first of its line.
    opens_line: Vec<bool>,
}

/// Pages of a document as they are painted; none where the file does not give them.
pub(super) struct Pages {
    backend: Option<RawBackend>,
    ids: BTreeMap<u32, PageId>,
}

impl Pages {
    pub fn new(bytes: &[u8]) -> Self {
        let backend = RawBackend::load_bytes(bytes).ok();
        let ids = backend.as_ref().map(PdfBackend::pages).unwrap_or_default();
        Self { backend, ids }
    }

    /// Numbers of the pages, in order.
    pub fn numbers(&self) -> impl Iterator<Item = u32> {
        self.ids.keys().copied()
    }

    /// Letters of the page with this number, from its own content; forms that it paints are left out.
    pub fn page(&self, number: u32) -> Painted {
        let mut pen = Pen::default();
        let (Some(backend), Some(id)) = (&self.backend, self.ids.get(&number)) else { return pen.out };
        let operations = backend.page_content(*id).and_then(|content| backend.decode_content(&content));
        for operation in operations.unwrap_or_default() {
            pen.operate(backend, *id, &operation);
        }
        pen.out
    }
}

/// State of the text operators that matters here.
#[derive(Default)]
struct Pen {
    out: Painted,
    font: Vec<u8>,
    space: bool,
    line: bool,
    height: f32,
    reach: Reach,
}

impl Pen {
    fn operate(&mut self, backend: &RawBackend, page: PageId, operation: &ContentOp) {
        let number = |at: usize| match operation.operands.get(at) {
            Some(PdfValue::Integer(n)) => *n as f32,
            Some(PdfValue::Real(n)) => *n,
            _ => 0.0,
        };
        self.reach.operate(operation.operator.as_str(), [0, 1, 2, 3, 4, 5].map(number));
        match operation.operator.as_str() {
            "Tf" => {
                if let Some(PdfValue::Name(name)) = operation.operands.first() {
                    self.font.clone_from(name);
                }
            }
            "Tm" => {
                let height = number(5);
                self.line |= (height - self.height).abs() > 0.5;
                self.height = height;
            }
            "Td" | "TD" => self.line |= number(1).abs() > 0.5,
            "T*" => self.line = true,
            "'" | "\"" => {
                self.line = true;
                self.show(backend, page, operation.operands.last());
            }
            "Tj" => self.show(backend, page, operation.operands.first()),
            "TJ" => self.show(backend, page, operation.operands.first()),
            _ => {}
        }
    }

    fn show(&mut self, backend: &RawBackend, page: PageId, shown: Option<&PdfValue>) {
        match shown {
            Some(PdfValue::Str(bytes)) => {
                self.out.far |= self.reach.is_far(bytes.len());
                let text = backend.decode_text(ResourceScope::page(page), &self.font, bytes).text;
                text.chars().for_each(|c| self.letter(c));
            }
            Some(PdfValue::Array(parts)) => {
                for part in parts {
                    match part {
                        PdfValue::Str(_) => self.show(backend, page, Some(part)),
                        PdfValue::Integer(n) if n.unsigned_abs() > 1_000_000 => self.out.far = true,
                        PdfValue::Real(n) if n.is_nan() || n.abs() >= 1e6 => self.out.far = true,
                        // As wide as a space: that much was left between two letters.
                        PdfValue::Integer(n) if *n < -180 => self.space = true,
                        PdfValue::Real(n) if *n < -180.0 => self.space = true,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }

    fn letter(&mut self, c: char) {
        if c.is_whitespace() {
            self.space = true;
            return;
        }
        self.out.letters.push(c);
        self.out.spaced.push(std::mem::take(&mut self.space));
        self.out.opens_line.push(std::mem::take(&mut self.line));
    }
}

/// Farthest that text may stand from the origin, in points: a page is at most 14,400 wide.
const FARTHEST: f32 = 1e7;

/// How far from the origin text may come to stand, never less than it does.
struct Reach {
    /// Scale and offset of the page's coordinates.
    page: (f32, f32),
    saved: Vec<(f32, f32)>,
    /// Scale and offset of the text's coordinates.
    text: (f32, f32),
    size: f32,
    spacing: f32,
}

impl Default for Reach {
    fn default() -> Self {
        Self { page: (1.0, 0.0), saved: Vec::new(), text: (1.0, 0.0), size: 1.0, spacing: 0.0 }
    }
}

impl Reach {
    fn operate(&mut self, operator: &str, [a, b, c, d, e, f]: [f32; 6]) {
        let scale = (a.abs() + c.abs()).max(b.abs() + d.abs());
        let offset = e.abs().max(f.abs());
        match operator {
            "q" => self.saved.push(self.page),
            "Q" => self.page = self.saved.pop().unwrap_or(self.page),
            "cm" => self.page = (self.page.0 * scale, self.page.1 + self.page.0 * offset),
            "BT" => self.text = (1.0, 0.0),
            "Tm" => self.text = (scale, offset),
            "Td" | "TD" => self.text.1 += self.text.0 * a.abs().max(b.abs()),
            "Tf" => self.size = b.abs(),
            "Tc" | "Tw" | "TL" | "Ts" => self.spacing = self.spacing.max(a.abs()),
            _ => {}
        }
    }

    /// With a run of so many bytes. What cannot be reckoned is far.
    fn is_far(&self, bytes: usize) -> bool {
        let run = self.text.0 * (self.size + self.spacing) * (bytes as f32 + 1.0);
        let reach = self.page.1 + self.page.0 * (self.text.1 + run);
        reach.is_nan() || reach >= FARTHEST
    }
}

/// Letters compared when a line is looked up.
const KEY: usize = 16;

impl Painted {
    /// Where a text begins among the letters, from `from` on and then from the top.
    pub fn find(&self, text: &str, from: usize) -> Option<usize> {
        let key: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).take(KEY).collect();
        if key.len() < 3 {
            return None;
        }
        let search = |from: usize| {
            let rest = self.letters.get(from..)?;
            rest.windows(key.len()).position(|w| w == key).map(|at| at + from)
        };
        search(from).or_else(|| search(0))
    }

    /// What was painted right before a letter, if that is a mark of an item.
    pub fn mark_before(&self, at: usize) -> Option<char> {
        let mark = self.letters.get(at.checked_sub(1)?).copied()?;
        let known = "-–—*·∙ㆍㅇ•◦○●◎■□▪▫◼◾◆◇★☆※→▶►▷▹☞".contains(mark) || ('\u{2460}'..='\u{24FF}').contains(&mark);
        known.then_some(mark)
    }

    /// Digits painted right before a letter, back to the start of their line. The library takes a number at the edge of
    /// a page for that page's, also the year of "2026년 업무계획".
    pub fn digits_before(&self, at: usize) -> Option<String> {
        let line = (0..=at).rev().find(|i| self.opens_line.get(*i) == Some(&true) || *i == 0)?;
        let digits: String = self.letters.get(line..at)?.iter().collect();
        ((1..=4).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())).then_some(digits)
    }

    /// Lines that begin with a syllable, and those of them with white space painted before it, behind a syllable.
    pub fn line_joints(&self) -> (usize, usize) {
        let (mut joints, mut spaced) = (0, 0);
        for (at, pair) in self.letters.windows(2).enumerate() {
            if self.opens_line.get(at + 1) == Some(&true) && pair.iter().all(|c| is_syllable(*c)) {
                joints += 1;
                spaced += usize::from(self.spaced.get(at + 1) == Some(&true));
            }
        }
        (joints, spaced)
    }

    /// The text without the spaces that only a line end put inside a word. `at`: where it begins among the letters;
    /// `one_word`: are these two, on either side of a line end without painted space, one word?
    pub fn mended(&self, text: &str, at: usize, one_word: impl Fn(&str, &str) -> bool) -> String {
        let mut out = String::with_capacity(text.len());
        let mut index = at;
        let mut space = String::new();
        for (byte, c) in text.char_indices() {
            if c.is_whitespace() {
                space.push(c);
                continue;
            }
            if self.letters.get(index) != Some(&c) {
                // Lost the thread: the rest stays as it is.
                index = usize::MAX;
            }
            let torn = self.opens_line.get(index) == Some(&true) && self.spaced.get(index) == Some(&false);
            let in_word = torn && space == " " && is_syllable(c) && out.ends_with(is_syllable) && {
                let before = out.split_whitespace().next_back().unwrap_or_default();
                let behind = text.get(byte..).and_then(|rest| rest.split_whitespace().next()).unwrap_or_default();
                one_word(before, behind)
            };
            if !in_word {
                out.push_str(&space);
            }
            space.clear();
            out.push(c);
            index = index.saturating_add(1);
        }
        out.push_str(&space);
        out
    }
}

/// Words of a document with how often they stand in it, to judge what a line end tore where no spaces are painted there.
pub(super) struct Words(HashMap<String, u32>);

/// Endings that never begin a word of their own.
const BOUND: [&str; 22] = [
    "은", "는", "을", "를", "의", "에", "로", "와", "며", "여", "고", "라", "된", "니다", "으로", "에서", "에게",
    "까지", "라는", "라고", "다", "하여",
];

impl Words {
    pub fn of<'a>(texts: impl Iterator<Item = &'a str>) -> Self {
        let mut words = HashMap::new();
        for word in texts.flat_map(str::split_whitespace) {
            *words.entry(bare(word).to_owned()).or_default() += 1;
        }
        Self(words)
    }

    fn count(&self, word: &str) -> u32 {
        self.0.get(word).copied().unwrap_or(0)
    }

    /// An ending alone belongs to the word before; else the document itself must write the two as one elsewhere, and
    /// not each of them as often alone.
    pub fn one_word(&self, before: &str, behind: &str) -> bool {
        let behind = bare(behind);
        if BOUND.contains(&behind) {
            return true;
        }
        let before = bare(before);
        let together = self.count(&format!("{before}{behind}"));
        together > 0 && (self.count(before) <= together || self.count(behind) <= together)
    }
}

/// Without the signs around it.
fn bare(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_alphanumeric())
}

fn is_syllable(c: char) -> bool {
    ('가'..='힣').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Letters of lines; white space at a line's end counts as painted.
    fn painted(lines: &[&str]) -> Painted {
        let mut pen = Pen::default();
        for line in lines {
            pen.line = true;
            line.chars().for_each(|c| pen.letter(c));
        }
        pen.out
    }

    #[test]
    fn marks_come_back() {
        let page = painted(&["① 이용자는 노력한다.", "부호ㆍ음성", "ㆍ음향 등"]);
        let at = page.find("이용자는 노력한다.", 0).expect("there");
        assert_eq!(page.mark_before(at), Some('①'));
        assert_eq!(page.mark_before(page.find("음향 등", 0).expect("there")), Some('ㆍ'));
        assert_eq!(page.mark_before(0), None);
        let page = painted(&["글이다", "2026년 업무계획"]);
        assert_eq!(page.digits_before(page.find("년 업무계획", 0).expect("there")).as_deref(), Some("2026"));
        assert_eq!(page.digits_before(page.find("업무계획", 0).expect("there")), None);
    }

    #[test]
    fn text_out_of_reach_is_told() {
        let mut reach = Reach::default();
        reach.operate("cm", [1000.0, 0.0, 0.0, 1000.0, 0.0, 0.0]);
        reach.operate("Tf", [0.0, 12.0, 0.0, 0.0, 0.0, 0.0]);
        assert!(!reach.is_far(10));
        reach.operate("q", [0.0; 6]);
        reach.operate("cm", [1000.0, 0.0, 0.0, 1000.0, 0.0, 0.0]);
        assert!(reach.is_far(10));
        reach.operate("Q", [0.0; 6]);
        assert!(!reach.is_far(10));
        reach.operate("Td", [f32::INFINITY, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert!(reach.is_far(1));
    }

    #[test]
    fn the_document_tells_what_is_one_word() {
        let words = Words::of(["전자문서를 쓰고 전자문서를 보낸다. 업무 계획"].into_iter());
        assert!(words.one_word("전자", "문서를"));
        assert!(words.one_word("전기통신설비", "와"));
        assert!(!words.one_word("업무", "계획"));
    }

    #[test]
    fn words_torn_by_a_line_end_are_mended() {
        let page = painted(&["본인확인업 ", "무는 정보통", "신망에서 하며 ", "끝난다"]);
        let text = "본인확인업 무는 정보통 신망에서 하며 끝난다";
        assert_eq!(page.mended(text, 0, |_, _| true), "본인확인업 무는 정보통신망에서 하며 끝난다");
        assert_eq!(page.mended(text, 0, |before, behind| (before, behind) != ("정보통", "신망에서")), text);
        assert_eq!(page.line_joints(), (3, 2));
        assert_eq!(page.mended("다른 글이 왔다", 0, |_, _| true), "다른 글이 왔다");
    }
}
