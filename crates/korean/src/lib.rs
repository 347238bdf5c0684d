//! Korean text: the lexical analyser, content words, sentences, words typed in the wrong keyboard language, dates and
//! times as officials write them.
//!
//! Pure functions over text with tables of their own; no dictionary file, no model, nothing of ours below it.
//! Scoring, indexing and quoting live elsewhere.

mod analyser;
mod content;
pub mod dates;
mod keyboard;
mod particles;
mod sentences;
mod stopwords;

pub use analyser::{ANALYSER_VERSION, Token, TokenKind, analyse, analyse_query, normalise, terms};
pub use content::content_words;
pub use keyboard::retyped;
pub use particles::{is_particle, stem};
pub use sentences::{sentences, without_marker};
