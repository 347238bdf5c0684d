//! Won, tokens and calls in integers, what a call is estimated to cost, and how many tokens a text may be.
//!
//! The unit of money is the **micro-won**, a millionth of a won, in `i64`: a price in whole won per million tokens is
//! then exactly that many micro-won per token, and nothing is ever rounded. An `i64` holds nine trillion won.

use crate::model::{ModelPrice, Policy, Unit};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::iter::Sum;

/// Micro-won in a won.
pub const MICRO_PER_WON: i64 = 1_000_000;
/// Tokens around each message that belong to its frame (role, separators); no provider is known to use more.
pub const FRAME_TOKENS: u64 = 16;

/// Millionths of a won; never negative in budgets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MicroWon(pub i64);

impl MicroWon {
    /// Whole won; the largest amount where that does not fit.
    pub fn won(won: u64) -> Self {
        Self(i64::try_from(won).unwrap_or(i64::MAX).saturating_mul(MICRO_PER_WON))
    }
}

impl fmt::Display for MicroWon {
    /// Won with thousands separated, and decimals as far as there are any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (micro, base) = (self.0.unsigned_abs(), MICRO_PER_WON.unsigned_abs());
        let sign = if self.0 < 0 { "-" } else { "" };
        let rest = format!("{:06}", micro % base);
        let rest = rest.trim_end_matches('0');
        let dot = if rest.is_empty() { "" } else { "." };
        write!(f, "{sign}{}{dot}{rest}원", grouped(micro / base))
    }
}

/// `1234567` as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// What something costs or what was spent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Amounts {
    pub won: MicroWon,
    /// In and out together.
    pub tokens: u64,
    pub calls: u64,
}

impl Amounts {
    /// `None` where any part does not fit.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Some(Self {
            won: MicroWon(self.won.0.checked_add(other.won.0)?),
            tokens: self.tokens.checked_add(other.tokens)?,
            calls: self.calls.checked_add(other.calls)?,
        })
    }

    /// What was spent stays on record even where it no longer fits: as much as does.
    pub fn saturating_add(self, other: Self) -> Self {
        Self {
            won: MicroWon(self.won.0.saturating_add(other.won.0)),
            tokens: self.tokens.saturating_add(other.tokens),
            calls: self.calls.saturating_add(other.calls),
        }
    }

    /// Each part down to nothing.
    pub fn saturating_sub(self, other: Self) -> Self {
        Self {
            won: MicroWon(self.won.0.saturating_sub(other.won.0).max(0)),
            tokens: self.tokens.saturating_sub(other.tokens),
            calls: self.calls.saturating_sub(other.calls),
        }
    }
}

impl Sum for Amounts {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Self::saturating_add)
    }
}

/// Tokens of a text without its tokenizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TokenEstimate {
    /// For screens: two per Hangul syllable or other wide character, one per three bytes of anything else.
    pub likely: u64,
    /// For reservations: one per byte of UTF-8. No tokenizer that falls back to bytes, as byte-level BPE and
    /// SentencePiece with byte fallback do, makes more.
    pub most: u64,
}

/// How many tokens a text may be.
pub fn estimate_tokens(text: &str) -> TokenEstimate {
    let (mut wide, mut narrow_bytes) = (0u64, 0u64);
    for c in text.chars() {
        match c.len_utf8() {
            3.. => wide += 1,
            n => narrow_bytes += n as u64,
        }
    }
    let most = text.len() as u64;
    TokenEstimate { likely: (wide * 2 + narrow_bytes.div_ceil(3)).min(most), most }
}

/// A call's cost before it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CostEstimate {
    pub won: MicroWon,
    pub price_version: String,
    /// Whole won per million tokens, in and out.
    pub price: (u64, u64),
}

impl Policy {
    /// Price of a provider's model at a moment: of the prices that have begun the latest.
    pub fn price(&self, provider: &Unit, model: &str, at_ms: i64) -> Option<&ModelPrice> {
        let model = Unit::new("", model);
        let begun = self
            .prices
            .models
            .iter()
            .filter(|p| p.provider.is(provider) && p.model.as_str() == model.name && p.from.starts_ms() <= at_ms);
        begun.max_by_key(|p| p.from)
    }

    /// What so many tokens cost; `None` without a price or beyond what an `i64` of micro-won holds.
    pub fn cost(
        &self,
        provider: &Unit,
        model: &str,
        at_ms: i64,
        tokens_in: u64,
        tokens_out: u64,
    ) -> Option<CostEstimate> {
        let price = self.price(provider, model, at_ms)?;
        let total = tokens_in.checked_mul(price.input)?.checked_add(tokens_out.checked_mul(price.output)?)?;
        Some(CostEstimate {
            won: MicroWon(i64::try_from(total).ok()?),
            price_version: self.prices.version.clone(),
            price: (price.input, price.output),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_exact_and_reads_well() {
        assert_eq!(MicroWon(1_234_567_500_000).to_string(), "1,234,567.5원");
        assert_eq!(MicroWon::won(3).to_string(), "3원");
        assert_eq!(MicroWon(-1).to_string(), "-0.000001원");
        assert_eq!(MicroWon(i64::MIN).to_string(), "-9,223,372,036,854.775808원");
        assert_eq!(MicroWon::won(u64::MAX).0, i64::MAX);
    }

    #[test]
    fn the_most_tokens_are_the_bytes() {
        assert_eq!(estimate_tokens("가나다"), TokenEstimate { likely: 6, most: 9 });
        assert_eq!(estimate_tokens("abcd"), TokenEstimate { likely: 2, most: 4 });
        assert_eq!(estimate_tokens("😀"), TokenEstimate { likely: 2, most: 4 });
        assert_eq!(estimate_tokens(""), TokenEstimate { likely: 0, most: 0 });
    }

    #[test]
    fn the_latest_price_that_has_begun_holds() {
        let policy = Policy::parse(
            "format=1\nrevision=1\n[prices]\nversion=\"2026-11\"\n\
             [[prices.model]]\nprovider=\"p\"\nmodel=\"m\"\nfrom=\"2026-01-01\"\ninput=1000\noutput=5000\n\
             [[prices.model]]\nprovider=\"p\"\nmodel=\"m\"\nfrom=\"2026-07-01\"\ninput=2000\noutput=6000\n",
        )
        .unwrap();
        let at = |day: &str| crate::time::CalendarDay::try_from(day.to_owned()).unwrap().starts_ms();
        let unit = Unit::new("1", "p");
        let cost = |day, i, o| policy.cost(&unit, "m", at(day), i, o).map(|c| c.won);
        assert_eq!(cost("2025-12-31", 1, 1), None);
        assert_eq!(cost("2026-06-30", 3, 2), Some(MicroWon(13_000)));
        assert_eq!(cost("2026-07-01", 3, 2), Some(MicroWon(18_000)));
        assert_eq!(cost("2026-07-01", u64::MAX, 1), None);
        assert_eq!(policy.cost(&unit, "other", at("2026-07-01"), 1, 1), None);
    }
}
