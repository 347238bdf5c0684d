//! The table of tokens: which bytes each stands for, which are markup, which end a reply. Splitting ordinary text into
//! tokens lives in the encoders.

use super::Piece;
use crate::ModelError;
use aho_corasick::{AhoCorasick, MatchKind};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Names under which models keep their ends of turns (llama.cpp's list, for the families known here).
const END_NAMES: [&str; 14] = [
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<end_of_turn>",
    "</s>",
    "<eos>",
    "<EOT>",
    "[EOS]",
    "[EOT]",
    "[|endofturn|]",
    "<｜end▁of▁sentence｜>",
];

/// What a token is, numbered as in GGUF's `tokenizer.ggml.token_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

/// How a special token treats blanks around it (`tokenizer.json`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Strip {
    pub left: bool,
    pub right: bool,
}

/// A token as read from a file.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// As written in the file: the name of a special token.
    pub text: String,
    /// What it stands for in a text.
    pub bytes: Vec<u8>,
    pub kind: Kind,
    pub strip: Strip,
}

impl Entry {
    /// An id for which the file has no token.
    pub fn hole() -> Self {
        Self { text: String::new(), bytes: Vec::new(), kind: Kind::Unused, strip: Strip::default() }
    }

    /// Never recognised in plain text. User-defined tokens of one character or without punctuation are signs, words or
    /// blanks of the language and belong to the text; markup has brackets or bars.
    pub fn is_markup(&self) -> bool {
        match self.kind {
            Kind::Control | Kind::Unknown | Kind::Unused => true,
            Kind::UserDefined => {
                self.text.chars().nth(1).is_some()
                    && self.text.contains(|c: char| c.is_ascii_punctuation() || c == '｜')
            }
            Kind::Normal | Kind::Byte => false,
        }
    }
}

/// What a file says beside the tokens.
#[derive(Debug, Clone, Default)]
pub(super) struct Ends {
    pub bos: Option<u32>,
    pub add_bos: bool,
    /// Ends of sequence, turn and message that the file names.
    pub eos: Vec<u32>,
}

struct Matcher {
    automaton: AhoCorasick,
    /// Token and blanks of each pattern.
    tokens: Vec<(u32, Strip)>,
}

pub(super) struct Vocabulary {
    bytes: Vec<u8>,
    /// End of each token's bytes.
    ends: Vec<usize>,
    kinds: Vec<Kind>,
    /// Names of all markup tokens.
    names: BTreeMap<u32, String>,
    /// Ids of tokens with bytes, sorted by bytes, then id.
    order: Vec<u32>,
    markup: Option<Matcher>,
    lexical: Option<Matcher>,
    pub bos: Option<u32>,
    pub add_bos: Option<u32>,
    pub eos: Vec<u32>,
}

impl Vocabulary {
    /// # Errors
    /// [`ModelError::Damaged`] for ids beyond the table and for too many tokens.
    pub fn new(mut entries: Vec<Entry>, ends: Ends) -> Result<Self, ModelError> {
        if u32::try_from(entries.len()).is_err() || entries.is_empty() {
            return Err(ModelError::damaged(format!("토큰이 {}개입니다", entries.len())));
        }
        let eos = end_tokens(&mut entries, &ends)?;
        let bos = ends.bos.filter(|id| (*id as usize) < entries.len());
        if bos.is_none() && ends.add_bos {
            return Err(ModelError::damaged("글의 첫 토큰(BOS)이 어휘에 없습니다"));
        }
        let markup = matcher(&entries, |e| e.kind != Kind::Unused && (e.is_markup() || e.kind == Kind::UserDefined))?;
        let lexical = matcher(&entries, |e| e.kind == Kind::UserDefined && !e.is_markup())?;
        let names = named(&entries);
        let mut bytes = Vec::new();
        let mut spans = Vec::with_capacity(entries.len());
        let mut kinds = Vec::with_capacity(entries.len());
        for entry in &entries {
            if !matches!(entry.kind, Kind::Control | Kind::Unknown | Kind::Unused) {
                bytes.extend_from_slice(&entry.bytes);
            }
            spans.push(bytes.len());
            kinds.push(entry.kind);
        }
        let mut table =
            Self { bytes, ends: spans, kinds, names, order: Vec::new(), markup, lexical, bos, add_bos: None, eos };
        table.add_bos = bos.filter(|_| ends.add_bos);
        let mut order: Vec<u32> = (0u32..).take(table.len()).filter(|id| !table.bytes(*id).is_empty()).collect();
        order.sort_by(|a, b| table.bytes(*a).cmp(table.bytes(*b)).then(a.cmp(b)));
        table.order = order;
        Ok(table)
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn bytes(&self, id: u32) -> &[u8] {
        let i = id as usize;
        let end = self.ends.get(i).copied().unwrap_or_default();
        let start = i.checked_sub(1).and_then(|p| self.ends.get(p)).copied().unwrap_or_default();
        self.bytes.get(start..end).unwrap_or_default()
    }

    pub fn is_special(&self, id: u32) -> bool {
        !matches!(self.kinds.get(id as usize), Some(Kind::Normal | Kind::UserDefined | Kind::Byte))
    }

    pub fn is_markup(&self, id: u32) -> bool {
        self.is_special(id) || self.names.contains_key(&id)
    }

    pub fn markup_text(&self, id: u32) -> Option<&str> {
        self.names.get(&id).map(String::as_str)
    }

    pub fn find(&self, text: &str) -> Option<u32> {
        let special = self.markup.as_ref().and_then(|m| {
            let found = m.automaton.find(text).filter(|f| f.range() == (0..text.len()))?;
            m.tokens.get(found.pattern().as_usize()).map(|(id, _)| *id)
        });
        special.or_else(|| {
            let at = self.order.partition_point(|id| self.bytes(*id) < text.as_bytes());
            self.order.get(at).copied().filter(|id| self.bytes(*id) == text.as_bytes())
        })
    }

    /// `text` with `mark` after the first character of every name of a markup token in it, and within beginnings and
    /// ends of names at its edges (blanks aside, which templates trim).
    pub fn cut_markup(&self, text: &str, mark: char) -> String {
        let Some(matcher) = &self.markup else { return text.to_owned() };
        let body = text.trim();
        let start = text.len() - text.trim_start().len();
        let mut cuts: Vec<usize> = Vec::new();
        for name in matcher.tokens.iter().filter_map(|(id, _)| self.names.get(id)) {
            let first = name.chars().next().map_or(0, char::len_utf8);
            cuts.extend(overlapping(text, name).map(|at| at + first));
            for (i, _) in name.char_indices().skip(1) {
                let (head, tail) = name.split_at(i);
                if body.ends_with(head) {
                    cuts.push(start + body.len() - head.len() + first);
                }
                if body.starts_with(tail) {
                    cuts.push(start);
                }
            }
        }
        cuts.sort_unstable();
        cuts.dedup();
        let mut out = String::with_capacity(text.len() + 4 * cuts.len());
        let mut rest = 0;
        for cut in cuts {
            out.push_str(text.get(rest..cut).unwrap_or_default());
            out.push(mark);
            rest = cut;
        }
        out.push_str(text.get(rest..).unwrap_or_default());
        out
    }

    /// Appends `text`, in which only words of the language are recognised as added tokens.
    pub fn split_text<'a>(&self, text: &'a str, out: &mut Vec<Piece<'a>>) {
        split(self.lexical.as_ref(), text, out);
    }

    /// Appends `text`, in which every added token is recognised, longest first.
    pub fn split_markup<'a>(&self, text: &'a str, out: &mut Vec<Piece<'a>>) {
        split(self.markup.as_ref(), text, out);
    }
}

/// The ends of a reply: those that the file names, then the well-known ones, which become control tokens.
fn end_tokens(entries: &mut [Entry], ends: &Ends) -> Result<Vec<u32>, ModelError> {
    let mut eos = Vec::new();
    for id in &ends.eos {
        let entry = entries
            .get_mut(*id as usize)
            .ok_or_else(|| ModelError::damaged(format!("글의 끝 토큰 {id}번이 어휘에 없습니다")))?;
        entry.kind = Kind::Control;
        if !eos.contains(id) {
            eos.push(*id);
        }
    }
    for (id, entry) in (0u32..).zip(entries.iter_mut()) {
        let added = matches!(entry.kind, Kind::Control | Kind::UserDefined);
        if added && END_NAMES.contains(&entry.text.as_str()) && !eos.contains(&id) {
            entry.kind = Kind::Control;
            eos.push(id);
        }
    }
    Ok(eos)
}

fn named(entries: &[Entry]) -> BTreeMap<u32, String> {
    (0u32..)
        .zip(entries)
        .filter(|(_, e)| e.is_markup() && !e.text.is_empty())
        .map(|(id, e)| (id, e.text.clone()))
        .collect()
}

fn matcher(entries: &[Entry], wanted: impl Fn(&Entry) -> bool) -> Result<Option<Matcher>, ModelError> {
    let chosen: Vec<(u32, &Entry)> = (0u32..).zip(entries).filter(|(_, e)| !e.text.is_empty() && wanted(e)).collect();
    if chosen.is_empty() {
        return Ok(None);
    }
    let automaton = AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostLongest)
        .build(chosen.iter().map(|(_, e)| e.text.as_str()))
        .map_err(|e| ModelError::damaged(format!("특수 토큰 목록({e})")))?;
    Ok(Some(Matcher { automaton, tokens: chosen.iter().map(|(id, e)| (*id, e.strip)).collect() }))
}

/// Where `name` begins in `text`, places that overlap included.
fn overlapping<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = usize> + 'a {
    let step = name.chars().next().map_or(1, char::len_utf8);
    let mut from = 0;
    std::iter::from_fn(move || {
        let at = from + text.get(from..)?.find(name)?;
        from = at + step;
        Some(at)
    })
}

fn split<'a>(matcher: Option<&Matcher>, text: &'a str, out: &mut Vec<Piece<'a>>) {
    let mut rest = 0;
    for found in matcher.iter().flat_map(|m| m.automaton.find_iter(text).map(|f| (*m, f))) {
        let (matcher, found) = found;
        let Some((id, strip)) = matcher.tokens.get(found.pattern().as_usize()) else { continue };
        let before = text.get(rest..found.start()).unwrap_or_default();
        push_raw(if strip.left { before.trim_end() } else { before }, out);
        out.push(Piece::Token(*id));
        rest = found.end().max(rest);
        if strip.right {
            let after = text.get(rest..).unwrap_or_default();
            rest += after.len() - after.trim_start().len();
        }
    }
    push_raw(text.get(rest..).unwrap_or_default(), out);
}

/// Joins neighbours: a token may span them.
fn push_raw<'a>(text: &'a str, out: &mut Vec<Piece<'a>>) {
    match out.last_mut() {
        _ if text.is_empty() => {}
        Some(Piece::Raw(last)) => last.to_mut().push_str(text),
        _ => out.push(Piece::Raw(Cow::Borrowed(text))),
    }
}
