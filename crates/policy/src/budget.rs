//! Budgets: what was used and what is held back for calls under way. Amounts and prices are `money`'s.
//!
//! Every call counts in the accounts of its person, department, app, provider and of the whole body, each by the day and
//! the month, whether or not a budget limits them now: a budget that comes into force mid-month sees what went before.
//! A reservation holds the most that a call can cost before anything is sent; settling replaces it by what it did cost.
//! At every moment `used + reserved` of an account is within every limit that the reservations were made under, as long
//! as no call costs more than was reserved for it; where one does, the excess is booked and named as an overrun, since a
//! record must not hide what was spent.

use crate::model::{Budget, Per, Period, Policy, Unit};
use crate::money::{Amounts, MicroWon, grouped};
use crate::time::korean_time;
use madang_domain::ExternalCallId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Subject of the account of the whole body.
pub const BODY: &str = "*";

/// What an account counts: one subject over one period.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AccountKey {
    pub per: Per,
    /// Stable identifier; [`BODY`] for the whole body.
    pub subject: String,
    pub period: Period,
    /// In Korean time: `2026-11-22`, or `2026-11` for a month.
    pub starts: String,
}

/// State of an account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub used: Amounts,
    pub reserved: Amounts,
}

/// For whom a call is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subjects {
    pub person: Unit,
    pub department: Unit,
    pub app: Unit,
    pub provider: Unit,
}

impl Subjects {
    fn unit(&self, per: Per) -> Option<&Unit> {
        match per {
            Per::Person => Some(&self.person),
            Per::Department => Some(&self.department),
            Per::App => Some(&self.app),
            Per::Provider => Some(&self.provider),
            Per::Body => None,
        }
    }

    /// The accounts in which a call at this moment counts; `None` for a time out of range.
    pub fn accounts(&self, now_ms: i64) -> Option<Vec<AccountKey>> {
        let date = korean_time(now_ms)?.date();
        let key = |per: Per, period: Period| AccountKey {
            per,
            subject: self.unit(per).map_or_else(|| BODY.to_owned(), |u| u.id.clone()),
            period,
            starts: match period {
                Period::Day => date.to_string(),
                Period::Month => format!("{:04}-{:02}", date.year(), date.month()),
            },
        };
        Some(Per::ALL.into_iter().flat_map(|per| Period::ALL.map(|period| key(per, period))).collect())
    }
}

/// What a budget limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    Won,
    Tokens,
    Calls,
}

impl Measure {
    /// An amount of it, for sentences.
    fn shown(self, amount: u64) -> String {
        match self {
            Measure::Won => MicroWon(i64::try_from(amount).unwrap_or(i64::MAX)).to_string(),
            Measure::Tokens => format!("{}토큰", grouped(amount)),
            Measure::Calls => format!("{}건", grouped(amount)),
        }
    }
}

/// A reservation that a budget does not allow. Amounts of won are micro-won.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[error(
    "{}의 {} 외부호출 예산({})을 넘습니다. 한도 {}, 쓴 것 {}, 잡아 둔 것 {}, 이번 것 {}. 내용을 줄이거나 예산을 늘려 달라고 운영자에게 요청해 주세요.",
    if .key.per == Per::Body { "기관 전체" } else { .name },
    .key.period.korean(), .budget, .which.shown(*.limit), .which.shown(*.used), .which.shown(*.reserved), .which.shown(*.asked)
)]
pub struct BudgetExceeded {
    /// Identifier of the budget.
    pub budget: String,
    pub key: AccountKey,
    /// Name of the subject.
    pub name: String,
    pub which: Measure,
    pub limit: u64,
    pub used: u64,
    pub reserved: u64,
    pub asked: u64,
}

/// Why a step was not taken; nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BudgetError {
    #[error(transparent)]
    Exceeded(#[from] Box<BudgetExceeded>),
    #[error("이 외부호출의 예산은 이미 잡혀 있습니다. 화면을 새로 고쳐 확인해 주세요.")]
    AlreadyReserved,
    #[error("이 외부호출에 잡아 둔 예산이 없습니다. 화면을 새로 고쳐 확인해 주세요.")]
    NotReserved,
    #[error(
        "이 모델의 단가가 없어 원 예산을 확인할 수 없습니다. 운영자에게 정책의 단가표에 넣어 달라고 요청해 주세요."
    )]
    NoPrice,
    #[error("금액이나 시각이 셀 수 있는 범위를 벗어났습니다. 운영자에게 알려 주세요.")]
    OutOfRange,
}

/// A call about to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    pub call: ExternalCallId,
    pub subjects: &'a Subjects,
    /// The most that it can cost; `None`: no price is known.
    pub won: Option<MicroWon>,
    /// The most tokens in and out together.
    pub tokens: u64,
}

/// What is held back for one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    pub call: ExternalCallId,
    /// Accounts in which it counts, also when it is settled in another period.
    pub accounts: Vec<AccountKey>,
    pub amount: Amounts,
}

/// How a settlement came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Settled {
    /// What was reserved and not needed.
    pub freed: Amounts,
    /// What it cost beyond the reservation.
    pub overrun: Amounts,
}

/// Accounts and open reservations: all of them, or those that one step touches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Book {
    accounts: BTreeMap<AccountKey, Account>,
    open: BTreeMap<ExternalCallId, Reservation>,
}

impl Book {
    /// From what was kept. Accounts that are not named are empty.
    pub fn new(
        accounts: impl IntoIterator<Item = (AccountKey, Account)>,
        open: impl IntoIterator<Item = Reservation>,
    ) -> Self {
        let open = open.into_iter().map(|r| (r.call, r)).collect();
        Self { accounts: accounts.into_iter().collect(), open }
    }

    pub fn account(&self, key: &AccountKey) -> Account {
        self.accounts.get(key).copied().unwrap_or_default()
    }

    pub fn accounts(&self) -> impl Iterator<Item = (&AccountKey, &Account)> {
        self.accounts.iter()
    }

    pub fn reservations(&self) -> impl Iterator<Item = &Reservation> {
        self.open.values()
    }

    /// Holds back the most that a call can cost, in every account or in none.
    ///
    /// # Errors
    /// The first budget, in the order of the file, that does not allow it.
    pub fn reserve(&mut self, policy: &Policy, request: &Request<'_>, now_ms: i64) -> Result<Reservation, BudgetError> {
        if self.open.contains_key(&request.call) {
            return Err(BudgetError::AlreadyReserved);
        }
        let keys = request.subjects.accounts(now_ms).ok_or(BudgetError::OutOfRange)?;
        let won = request.won.unwrap_or_default();
        if won.0 < 0 {
            return Err(BudgetError::OutOfRange);
        }
        let amount = Amounts { won, tokens: request.tokens, calls: 1 };
        for budget in &policy.budgets {
            self.allow(budget, &keys, request, amount)?;
        }
        let mut changed = Vec::with_capacity(keys.len());
        for key in &keys {
            let mut account = self.account(key);
            account.reserved = account.reserved.checked_add(amount).ok_or(BudgetError::OutOfRange)?;
            changed.push((key.clone(), account));
        }
        self.accounts.extend(changed);
        let reservation = Reservation { call: request.call, accounts: keys, amount };
        self.open.insert(request.call, reservation.clone());
        Ok(reservation)
    }

    fn allow(
        &self,
        budget: &Budget,
        keys: &[AccountKey],
        request: &Request<'_>,
        amount: Amounts,
    ) -> Result<(), BudgetError> {
        let unit = request.subjects.unit(budget.per);
        let meant = match (&budget.only, unit) {
            (Some(only), Some(unit)) => only.iter().any(|n| n.is(unit)),
            _ => true,
        };
        let Some(key) = keys.iter().find(|k| meant && k.per == budget.per && k.period == budget.period) else {
            return Ok(());
        };
        if budget.won.is_some() && request.won.is_none() {
            return Err(BudgetError::NoPrice);
        }
        let account = self.account(key);
        let micro = |amount: Amounts| amount.won.0.max(0).unsigned_abs();
        type Part = fn(Amounts) -> u64;
        let limit_won = budget.won.map(|w| w.saturating_mul(crate::money::MICRO_PER_WON.unsigned_abs()));
        let parts: [(Measure, Option<u64>, Part); 3] = [
            (Measure::Won, limit_won, micro),
            (Measure::Tokens, budget.tokens, |a| a.tokens),
            (Measure::Calls, budget.calls, |a| a.calls),
        ];
        for (which, limit, part) in parts {
            let Some(limit) = limit else { continue };
            let (used, reserved, asked) = (part(account.used), part(account.reserved), part(amount));
            let sum = used.checked_add(reserved).and_then(|s| s.checked_add(asked));
            if sum.is_none_or(|s| s > limit) {
                let name = unit.map_or_else(String::new, |u| u.name.clone());
                let (budget, key) = (budget.id.to_string(), key.clone());
                let exceeded = BudgetExceeded { budget, key, name, which, limit, used, reserved, asked };
                return Err(Box::new(exceeded).into());
            }
        }
        Ok(())
    }

    /// The call was sent, or may have been: what it cost takes the place of the reservation. For a call whose outcome
    /// is not known, settle the whole reservation.
    ///
    /// # Errors
    /// Nothing is reserved for it (any more).
    pub fn settle(&mut self, call: ExternalCallId, actual: Amounts) -> Result<Settled, BudgetError> {
        let reservation = self.take(call)?;
        let actual = Amounts { won: MicroWon(actual.won.0.max(0)), ..actual };
        for key in &reservation.accounts {
            let account = self.accounts.entry(key.clone()).or_default();
            account.used = account.used.saturating_add(actual);
        }
        let held = reservation.amount;
        Ok(Settled { freed: held.saturating_sub(actual), overrun: actual.saturating_sub(held) })
    }

    /// Nothing left: the reservation is given back.
    ///
    /// # Errors
    /// Nothing is reserved for it (any more).
    pub fn release(&mut self, call: ExternalCallId) -> Result<Reservation, BudgetError> {
        self.take(call)
    }

    fn take(&mut self, call: ExternalCallId) -> Result<Reservation, BudgetError> {
        let reservation = self.open.remove(&call).ok_or(BudgetError::NotReserved)?;
        for key in &reservation.accounts {
            let account = self.accounts.entry(key.clone()).or_default();
            account.reserved = account.reserved.saturating_sub(reservation.amount);
        }
        Ok(reservation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    fn subjects() -> Subjects {
        Subjects {
            person: Unit::new("p1", "kim"),
            department: Unit::new("d1", "교통과"),
            app: Unit::new("a1", "민원 요약"),
            provider: Unit::new("o1", "제공자"),
        }
    }

    fn policy(budgets: &str) -> Policy {
        Policy::parse(&format!("format=1\nrevision=1\n{budgets}")).unwrap()
    }

    fn reserve(
        book: &mut Book,
        policy: &Policy,
        won: Option<u64>,
        tokens: u64,
        at: i64,
    ) -> Result<ExternalCallId, BudgetError> {
        let request =
            Request { call: ExternalCallId::new(), subjects: &subjects(), won: won.map(MicroWon::won), tokens };
        book.reserve(policy, &request, at).map(|r| r.call)
    }

    #[test]
    fn a_reservation_counts_until_it_is_settled_and_days_begin_anew() {
        let policy = policy("[[budget]]\nid=\"하루\"\nper=\"person\"\nperiod=\"day\"\ntokens=100\n");
        let mut book = Book::default();
        let first = reserve(&mut book, &policy, None, 60, 0).unwrap();
        let refused = reserve(&mut book, &policy, None, 60, 0).unwrap_err();
        let BudgetError::Exceeded(refused) = refused else { panic!("{refused}") };
        assert_eq!((refused.limit, refused.used, refused.reserved, refused.asked), (100, 0, 60, 60));
        assert!(refused.to_string().contains("100토큰") && refused.to_string().contains("kim"), "{refused}");
        let settled = book.settle(first, Amounts { tokens: 10, calls: 1, ..Amounts::default() }).unwrap();
        assert_eq!(settled.freed.tokens, 50);
        assert_eq!(settled.overrun, Amounts::default());
        reserve(&mut book, &policy, None, 90, 0).unwrap();
        assert!(reserve(&mut book, &policy, None, 1, 0).is_err());
        reserve(&mut book, &policy, None, 100, DAY).unwrap();
        assert_eq!(book.settle(first, Amounts::default()), Err(BudgetError::NotReserved));
    }

    #[test]
    fn a_call_that_crosses_midnight_is_settled_where_it_was_reserved() {
        let policy = policy("");
        let mut book = Book::default();
        let call = reserve(&mut book, &policy, Some(5), 1, DAY - 9 * 3_600_000 - 1).unwrap();
        book.settle(call, Amounts { won: MicroWon::won(3), tokens: 1, calls: 1 }).unwrap();
        let days: Vec<_> = book.accounts().filter(|(k, _)| k.period == Period::Day).collect();
        assert!(days.iter().all(|(k, a)| k.starts == "1970-01-01" && a.used.won == MicroWon::won(3)), "{days:?}");
        assert!(book.accounts().all(|(_, a)| a.reserved == Amounts::default()));
    }

    #[test]
    fn won_budgets_need_a_price_and_only_binds_those_it_names() {
        let named = |only: &str| {
            policy(&format!("[[budget]]\nid=\"월\"\nper=\"department\"\nperiod=\"month\"\nwon=10\nonly=[\"{only}\"]\n"))
        };
        let mut book = Book::default();
        assert_eq!(reserve(&mut book, &named("교통과"), None, 1, 0), Err(BudgetError::NoPrice));
        assert!(reserve(&mut book, &named("d1"), Some(11), 1, 0).is_err());
        reserve(&mut book, &named("세정과"), Some(11), 1, 0).unwrap();
        assert!(reserve(&mut book, &named("교통과"), Some(0), 1, 0).is_err(), "what went before counts");
    }

    #[test]
    fn what_cost_more_than_was_held_is_booked_and_named() {
        let policy = policy("[[budget]]\nid=\"월\"\nper=\"body\"\nperiod=\"month\"\nwon=10\n");
        let mut book = Book::default();
        let call = reserve(&mut book, &policy, Some(10), 1, 0).unwrap();
        let settled = book.settle(call, Amounts { won: MicroWon::won(12), tokens: 1, calls: 1 }).unwrap();
        assert_eq!(settled.overrun.won, MicroWon::won(2));
        let refused = reserve(&mut book, &policy, Some(0), 0, 0).unwrap_err().to_string();
        assert!(refused.starts_with("기관 전체의 한 달"), "{refused}");
    }

    #[test]
    fn amounts_beyond_all_counting_are_refused() {
        let mut book = Book::default();
        reserve(&mut book, &policy(""), None, u64::MAX, 0).unwrap();
        assert_eq!(reserve(&mut book, &policy(""), None, 1, 0), Err(BudgetError::OutOfRange));
        assert_eq!(reserve(&mut Book::default(), &policy(""), None, 1, i64::MAX), Err(BudgetError::OutOfRange));
    }
}
