//! Which lines are headings: Markdown's, and those of Korean official documents (제1장, 제1조, Ⅰ., 1., □, 가.).

use regex::Regex;
use std::sync::LazyLock;

/// Kind of a heading line, which decides how it nests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `#` to `######`.
    Markdown(u8),
    /// 제1편, 제1장, 제1절, 제1관: 0 to 3.
    Chapter(u8),
    /// 제1조.
    Article,
    /// 【정보통신과】: a department's part of a plan.
    Bracketed,
    /// Ⅰ.
    Roman,
    /// A number in a box of its own beside or above a title, as work plans draw it.
    Boxed,
    /// 1.
    Number,
    /// □, ■, ◆ and kin.
    Square,
    /// 가.
    Syllable,
    /// ○, ❍, ◦.
    Circle,
    /// 1), 가), (1), (가), ①: 0 to 4, as official documents nest them.
    Deep(u8),
}

impl Kind {
    /// Starts a passage of its own however short the one before is, and needs nothing under it to be a heading.
    pub fn is_strong(self) -> bool {
        !(self.is_deep() || matches!(self, Kind::Number | Kind::Square | Kind::Syllable))
    }

    /// Is it an inner mark below this inner mark?
    pub fn stands_under(self, outer: Kind) -> bool {
        match (self, outer) {
            (Kind::Deep(_), Kind::Circle) => true,
            (Kind::Deep(inner), Kind::Deep(outer)) => inner > outer,
            _ => false,
        }
    }

    /// Heads a few lines rather than a part: it names them in the path but does not cut passages apart.
    pub fn is_deep(self) -> bool {
        matches!(self, Kind::Circle | Kind::Deep(_))
    }
}

/// How the kinds nest, outermost least. All but 1. and □ always nest alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Order {
    /// □ stands under 1. in this document, rather than the other way round.
    number_outside: bool,
}

impl Order {
    /// Reads off a document's heading lines, in order, which of 1. and □ stands outside: numbers that run on across
    /// squares hold them, numbers that run on between two squares are held. Without either, the first met is outside.
    pub fn of<'a>(found: impl Iterator<Item = &'a Found>) -> Self {
        let (mut across, mut within) = (0, 0);
        let mut first = None;
        let mut last: Option<u32> = None;
        let mut squares = 0;
        for heading in found {
            match heading.kind {
                Kind::Square => {
                    first.get_or_insert(Kind::Square);
                    squares += 1;
                }
                Kind::Number => {
                    first.get_or_insert(Kind::Number);
                    let digits: String = heading.text.chars().take_while(char::is_ascii_digit).collect();
                    let number = digits.parse::<u32>().ok();
                    if number.is_some() && number == last.map(|l| l + 1) {
                        if squares > 0 { across += 1 } else { within += 1 }
                    }
                    (last, squares) = (number, 0);
                }
                kind if kind.is_strong() => (last, squares) = (None, 0),
                _ => {}
            }
        }
        Self { number_outside: across > within || across == within && first == Some(Kind::Number) }
    }

    fn rank(self, kind: Kind) -> u8 {
        match kind {
            Kind::Markdown(level) => level,
            Kind::Chapter(depth) => 10 + depth,
            Kind::Bracketed => 15,
            Kind::Article => 16,
            Kind::Roman => 20,
            Kind::Boxed => 21,
            Kind::Number => {
                if self.number_outside {
                    30
                } else {
                    32
                }
            }
            Kind::Square => 31,
            Kind::Syllable => 33,
            Kind::Circle => 34,
            Kind::Deep(depth) => 40 + depth,
        }
    }

    /// Begins something new even after little text: a strong kind, or a number that holds squares.
    pub fn opens(self, kind: Kind) -> bool {
        kind.is_strong() || self.number_outside && kind == Kind::Number
    }
}

/// A line that reads as a heading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub kind: Kind,
    /// The heading without its Markdown marks.
    pub text: String,
    /// Body text follows on the same line (제1조(목적) 이 조례는 …).
    pub has_body: bool,
}

static CHAPTER: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^제\s?[0-9]{1,3}\s?(편|장|절|관)(의[0-9]+)?([\s(.:].*)?$").ok());
static ARTICLE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"^(제\s?[0-9]{1,4}\s?조(의\s?[0-9]+)?\s?(\([^()]{1,60}\)|\[[^\[\]]{1,60}\]))(.*)$").ok()
});
static BRACKETED: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^[【\[]\s?[^】\]\[]{1,40}\s?[】\]]$").ok());
static ROMAN: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^(?:[ⅠⅡⅢⅣⅤⅥⅦⅧⅨⅩ]{1,2}|[IVX]{1,4})\s?[.．]?\s+\S").ok());
static NUMBER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^[0-9]{1,2}[.．]\s+\S").ok());
static SYLLABLE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^[가나다라마바사아자차카타파하][.．]\s+\S").ok());

static DEEP: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"^(?:([0-9]{1,2}\))|([가나다라마바사아자차카타파하]\))|(\([0-9]{1,2}\))|(\([가나다라마바사아자차카타파하]\))|([①-⑳]))\s?\S").ok()
});

/// Longest line that is taken for a heading.
const MAX_HEADING: usize = 70;
/// Longest deep one: what is longer is an item of a list.
const MAX_DEEP: usize = 30;

/// Reads one line; `None` for body text.
pub(crate) fn find(line: &str) -> Option<Found> {
    let whole = line.trim();
    if let Some((level, text)) = markdown(whole) {
        return Some(Found { kind: Kind::Markdown(level), text, has_body: false });
    }
    // Emphasis around a whole heading says nothing here.
    let text = whole.trim_matches('*').trim();
    let matches = |re: &LazyLock<Option<Regex>>| re.as_ref().is_some_and(|re| re.is_match(text));
    if let Some(found) = ARTICLE.as_ref().and_then(|re| re.captures(text)) {
        let heading = found.get(1).map(|m| m.as_str().to_owned())?;
        let has_body = found.get(4).is_some_and(|m| m.as_str().chars().any(char::is_alphanumeric));
        return Some(Found { kind: Kind::Article, text: heading, has_body });
    }
    if text.chars().count() > MAX_HEADING || reads_as_sentence(text) {
        return None;
    }
    if let Some(kind) = deep(text) {
        return Some(Found { kind, text: text.to_owned(), has_body: false });
    }
    let kind = match text.chars().next()? {
        '제' if matches(&CHAPTER) => Kind::Chapter(depth_of_chapter(text)),
        '【' | '[' if matches(&BRACKETED) => Kind::Bracketed,
        '□' | '■' | '◆' | '◇' | '❏' | '❑' | '▣' | '◈'
            if text.chars().nth(1).is_some_and(|c| c == ' ' || is_word(c)) =>
        {
            Kind::Square
        }
        c if c.is_ascii_digit() && matches(&NUMBER) => Kind::Number,
        '가'..='하' if matches(&SYLLABLE) => Kind::Syllable,
        _ if matches(&ROMAN) => Kind::Roman,
        _ => return None,
    };
    Some(Found { kind, text: text.to_owned(), has_body: false })
}

/// A short line behind one of the inner marks that names something: no sentence, no "name: value", no figures.
fn deep(text: &str) -> Option<Kind> {
    if text.chars().count() > MAX_DEEP || text.contains([':', '：', ',', '→', '=', '<', '｢', '「']) {
        return None;
    }
    if text.starts_with(['○', '❍', '◦', '〇']) {
        let name = text.chars().skip(1).collect::<String>();
        return is_title(&name).then_some(Kind::Circle);
    }
    let found = DEEP.as_ref()?.captures(text)?;
    let depth = (1..=5u8).find(|group| found.get(usize::from(*group)).is_some())?;
    let mark = found.get(usize::from(depth))?.end();
    is_title(text.get(mark..)?).then_some(Kind::Deep(depth - 1))
}

/// A boxed number and its title: `1` above or beside "이동시장실 운영".
pub(crate) fn boxed(number: &str, title: &str) -> Option<Found> {
    let number = number.trim();
    let digits = (1..=2).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    let roman = number.chars().count() == 1 && number.chars().all(|c| ('Ⅰ'..='Ⅻ').contains(&c));
    if !(digits || roman) || !is_title(title) {
        return None;
    }
    let kind = if roman { Kind::Roman } else { Kind::Boxed };
    Some(Found { kind, text: format!("{number}. {}", title.trim()), has_body: false })
}

/// A line that stands alone above a boxed number: the part of the plan that it begins.
pub(crate) fn part(line: &str) -> Option<Found> {
    const ENDS: [&str; 11] = ["계획", "현황", "업무", "방향", "국", "과", "소", "관", "실", "단", "팀"];
    let names_part = is_title(line) && ENDS.iter().any(|e| line.trim().ends_with(e));
    names_part.then(|| Found { kind: Kind::Bracketed, text: line.trim().to_owned(), has_body: false })
}

/// Short, one line, words rather than marks, no sentence.
fn is_title(text: &str) -> bool {
    let text = text.trim();
    (2..=50).contains(&text.chars().count())
        && text.starts_with(|c: char| c.is_alphabetic() || matches!(c, '\'' | '‘' | '“' | '「' | '['))
        && !text.contains(['\n', ':', '|'])
        && !reads_as_sentence(text)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric()
}

fn depth_of_chapter(text: &str) -> u8 {
    match text.chars().find(|c| "편장절관".contains(*c)) {
        Some('편') => 0,
        Some('장') => 1,
        Some('절') => 2,
        _ => 3,
    }
}

fn markdown(line: &str) -> Option<(u8, String)> {
    let level = line.bytes().take_while(|b| *b == b'#').count();
    let rest = line.get(level..)?;
    if !(1..=6).contains(&level) || !rest.starts_with(' ') {
        return None;
    }
    let text = rest.trim().trim_end_matches('#').trim().trim_matches('*').trim();
    (!text.is_empty()).then(|| (level as u8, text.to_owned()))
}

/// A line that ends like a sentence, or lists after a comma, is body text.
fn reads_as_sentence(text: &str) -> bool {
    let end = text.trim_end_matches(['"', '\'', '”', '’', ')', ' ']);
    ["다.", "요.", "오.", "음.", "함.", "임.", "됨.", "다", ";", ",", "。", "?"].iter().any(|e| end.ends_with(e))
        && !end.ends_with("마다")
}

/// The headings above a place, outermost first.
#[derive(Debug, Default, Clone)]
pub(crate) struct Path {
    order: Order,
    above: Vec<(Kind, String)>,
}

impl Path {
    pub fn new(order: Order) -> Self {
        Self { order, above: Vec::new() }
    }

    /// Moves below `found`, closing what stands no further out.
    pub fn enter(&mut self, found: &Found) {
        let order = self.order;
        let rank = order.rank(found.kind);
        self.above.retain(|(kind, _)| order.rank(*kind) < rank);
        self.above.push((found.kind, found.text.clone()));
    }

    pub fn depth(&self) -> usize {
        self.above.len()
    }

    pub fn texts(&self) -> Vec<String> {
        self.above.iter().map(|(_, text)| text.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(line: &str) -> Option<Kind> {
        find(line).map(|f| f.kind)
    }

    #[test]
    fn kinds() {
        assert_eq!(kind("## 추진 계획"), Some(Kind::Markdown(2)));
        assert_eq!(kind("제2장 보칙"), Some(Kind::Chapter(1)));
        assert_eq!(kind("Ⅲ. 추진 일정"), Some(Kind::Roman));
        assert_eq!(kind("2. 추진 배경"), Some(Kind::Number));
        assert_eq!(kind("□ 운영 현황"), Some(Kind::Square));
        assert_eq!(kind("가. 대상"), Some(Kind::Syllable));
        assert_eq!(kind("【정보통신과】"), Some(Kind::Bracketed));
        assert_eq!(kind("**1. 목적**"), Some(Kind::Number));
        let inner = ["○ 추진 배경", "1) 신청 방법", "가) 온라인 신청", "(1) 준비", "(가) 서류", "① 접수"].map(kind);
        let deep = [0, 1, 2, 3, 4].map(|d| Some(Kind::Deep(d)));
        assert_eq!((inner[0], &inner[1..]), (Some(Kind::Circle), &deep[..]));
        for body in [
            "1. 시장은 다음 각 호를 정한다.",
            "2026. 3. 1.",
            "가나다라 마바사",
            "#해시태그",
            "3.5 퍼센트",
            "- 항목",
            "○ 기간: 2026년",
            "① 시장은 계획을 세운다.",
            "(1) 12,000원",
        ] {
            assert_eq!(kind(body), None, "{body}");
        }
    }

    #[test]
    fn an_article_may_carry_its_text() {
        let found = find("제3조(지원 대상) 지원 대상은 다음과 같다.").expect("an article");
        assert_eq!((found.kind, found.text.as_str(), found.has_body), (Kind::Article, "제3조(지원 대상)", true));
        assert_eq!(find("제3조에 따라 지원한다."), None);
    }

    #[test]
    fn boxed_numbers_make_titles() {
        let found = boxed("2", "미래인재 양성").expect("a title");
        assert_eq!((found.kind, found.text.as_str()), (Kind::Boxed, "2. 미래인재 양성"));
        assert_eq!(boxed("Ⅱ", "추진 계획").map(|f| f.kind), Some(Kind::Roman));
        for (number, title) in [("128", "쪽수"), ("1", "- 항목"), ("1", "지원한다."), ("가", "제목"), ("", "제목")]
        {
            assert_eq!(boxed(number, title), None, "{number} {title}");
        }
    }

    fn paths(lines: &[&str]) -> Vec<String> {
        let found: Vec<Found> = lines.iter().map(|l| find(l).expect(l)).collect();
        let mut path = Path::new(Order::of(found.iter()));
        found.iter().for_each(|f| path.enter(f));
        path.texts()
    }

    #[test]
    fn weak_kinds_nest_as_the_document_does() {
        let squares_outside = ["# 계획", "□ 현황", "1. 인력", "가. 정원", "2. 예산", "□ 향후 계획", "1. 일정"];
        assert_eq!(paths(&squares_outside), ["계획", "□ 향후 계획", "1. 일정"]);
        assert_eq!(paths(&squares_outside[..5]), ["계획", "□ 현황", "2. 예산"]);
        let numbers_outside = ["□ 목차", "1. 확대 운영", "□ 개요", "□ 예산", "2. 시정 소통", "□ 개요"];
        assert_eq!(paths(&numbers_outside), ["2. 시정 소통", "□ 개요"]);
        assert_eq!(paths(&["□ 현황", "# 다른 계획"]), ["다른 계획"]);
    }
}
