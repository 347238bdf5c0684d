//! The pipeline from a text to what was found in it, in bytes of the original: views, their decodings, the detectors.

use crate::decode;
use crate::digits;
use crate::kind::{Action, Kind};
use crate::markings::{self, Marked};
use crate::normal::normalise;
use crate::rules::Rules;
use crate::text::Text;
use crate::view::View;
use crate::window::Candidate;
use crate::{address, lettered, mail, names, numbers, registration, secrets};
use std::ops::Range;
use std::sync::Arc;

/// Escapes within escapes that are undone.
const MAX_ROUNDS: usize = 3;
/// base64 within base64 that is read.
const MAX_DEPTH: usize = 2;

/// An identifier at bytes of the original.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Hit {
    pub kind: Kind,
    pub action: Action,
    pub range: Range<usize>,
    pub confidence: f32,
    /// The rule of the body's own dictionary that found it.
    pub rule: Option<Arc<str>>,
}

/// A detection under way; `work` counts bytes and digits looked at.
pub(crate) struct Detection<'r> {
    rules: Option<&'r Rules>,
    pub hits: Vec<Hit>,
    pub markings: Vec<Marked>,
    pub work: u64,
}

impl<'r> Detection<'r> {
    pub fn new(rules: Option<&'r Rules>) -> Self {
        Detection { rules, hits: Vec::new(), markings: Vec::new(), work: 0 }
    }

    /// Looks through the view and everything encoded in it.
    pub fn run(&mut self, view: &View) {
        self.layer(view, 0, 0);
    }

    /// The view as it is, then the base64 in it, then each round of its escapes.
    fn layer(&mut self, view: &View, depth: usize, round: usize) {
        let normal = normalise(view);
        self.detect(normal.borrowed(), depth == 0 && round == 0);
        if depth < MAX_DEPTH {
            for (text, span) in decode::encoded_texts(normal.text()) {
                self.work += text.len() as u64;
                self.layer(&View::standing_for(text, normal.original(span)), depth + 1, round);
            }
        }
        if round < MAX_ROUNDS {
            for part in decode::unescape(&normal) {
                self.layer(&part, depth, round + 1);
            }
        }
    }

    fn detect(&mut self, view: View, outermost: bool) {
        self.work += view.text().len() as u64;
        let digits = digits::read(view.text());
        let text = Text::new(view);
        let people = names::find(&text);
        let numbers = numbers::find(&text, &digits, &mut self.work);
        self.keep(&text, numbers);
        self.keep(&text, registration::halves(&text, &digits));
        self.keep(&text, lettered::find(&text, &digits));
        self.keep(&text, secrets::find(&text));
        self.keep(&text, mail::find(&text));
        self.keep(&text, address::find(&text, &digits, &people));
        self.keep(&text, people);
        if let Some(rules) = self.rules {
            rules.find(&text, &mut self.hits, &mut self.markings);
        }
        if outermost {
            markings::find(&text, &mut self.markings);
        }
    }

    fn keep(&mut self, text: &Text, found: Vec<Candidate>) {
        self.hits.extend(found.into_iter().map(|Candidate { kind, range, confidence }| Hit {
            kind,
            action: kind.action(),
            range: text.view.original(range),
            confidence,
            rule: None,
        }));
    }
}
