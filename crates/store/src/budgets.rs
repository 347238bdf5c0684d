//! Budgets in the database: the accounts that one step touches are read, changed by `madang-policy`'s book and written
//! back, all in the transaction of what they are for. What a budget allows is decided there, not here.

use crate::row::{RowExt, to_json};
use crate::{Result, Store, StoreError, WriteTx};
use madang_domain::{ExternalCallId, Scope};
use madang_policy::Policy;
use madang_policy::budget::{Account, AccountKey, Book, Request, Reservation};
use madang_policy::model::{Per, Period};
use madang_policy::money::{Amounts, MicroWon};
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

const COLUMNS: &str = "SELECT per, subject, period, starts, used_won, used_tokens, used_calls, held_won, held_tokens, held_calls FROM budget_accounts ";

impl Store {
    /// Accounts of periods that begin with these texts, such as a day and its month.
    pub async fn budget_accounts(&self, _: &Scope, starts: &[String]) -> Result<Vec<(AccountKey, Account)>> {
        let mut out = Vec::new();
        for start in starts {
            let rows = sqlx::query(AssertSqlSafe(format!("{COLUMNS} WHERE starts = $1 ORDER BY per, subject, period")))
                .bind(start)
                .fetch_all(&self.pool)
                .await?;
            out.extend(rows.iter().map(account).collect::<Result<Vec<_>>>()?);
        }
        Ok(out)
    }
}

impl WriteTx {
    /// Holds back the most that a call can cost, in every account or in none.
    pub(crate) async fn hold_budget(&mut self, policy: &Policy, request: &Request<'_>) -> Result<Reservation> {
        // Accounts are read and written as one, and every call appends to the record anyway.
        self.lock_ledger().await?;
        let keys = request.subjects.accounts(self.now).ok_or(StoreError::Corrupt("clock"))?;
        let mut book = self.budget_book(&keys, None).await?;
        let reservation = book.reserve(policy, request, self.now)?;
        self.keep_book(&book).await?;
        sqlx::query("INSERT INTO budget_reservations (call_id, reservation) VALUES ($1, $2)")
            .bind(request.call.to_string())
            .bind(to_json(&reservation))
            .execute(&mut *self.tx)
            .await?;
        Ok(reservation)
    }

    /// The call ended: what it cost takes the place of what was held, all of it where `actual` is `None`; nothing where
    /// nothing left. Returns what was booked; `None` where nothing was held.
    pub(crate) async fn settle_budget(
        &mut self,
        call: ExternalCallId,
        left: bool,
        actual: Option<Amounts>,
    ) -> Result<Option<Amounts>> {
        self.lock_ledger().await?;
        let row = sqlx::query("SELECT reservation FROM budget_reservations WHERE call_id = $1")
            .bind(call.to_string())
            .fetch_optional(&mut *self.tx)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let reservation: Reservation = row.json("reservation")?;
        let booked = if left { actual.unwrap_or(reservation.amount) } else { Amounts::default() };
        let keys = reservation.accounts.clone();
        let mut book = self.budget_book(&keys, Some(reservation)).await?;
        if left {
            book.settle(call, booked)?;
        } else {
            book.release(call)?;
        }
        self.keep_book(&book).await?;
        sqlx::query("DELETE FROM budget_reservations WHERE call_id = $1")
            .bind(call.to_string())
            .execute(&mut *self.tx)
            .await?;
        Ok(Some(booked))
    }

    async fn budget_book(&mut self, keys: &[AccountKey], open: Option<Reservation>) -> Result<Book> {
        let mut accounts = Vec::new();
        for key in keys {
            let row = sqlx::query(AssertSqlSafe(format!(
                "{COLUMNS} WHERE per = $1 AND subject = $2 AND period = $3 AND starts = $4"
            )))
            .bind(name(key.per))
            .bind(&key.subject)
            .bind(period(key.period))
            .bind(&key.starts)
            .fetch_optional(&mut *self.tx)
            .await?;
            accounts.extend(row.as_ref().map(account).transpose()?);
        }
        Ok(Book::new(accounts, open))
    }

    async fn keep_book(&mut self, book: &Book) -> Result<()> {
        for (key, account) in book.accounts() {
            sqlx::query(
                "INSERT INTO budget_accounts (per, subject, period, starts, used_won, used_tokens, used_calls, held_won, held_tokens, \
                 held_calls) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (per, subject, period, starts) DO UPDATE SET \
                 used_won = excluded.used_won, used_tokens = excluded.used_tokens, used_calls = excluded.used_calls, \
                 held_won = excluded.held_won, held_tokens = excluded.held_tokens, held_calls = excluded.held_calls",
            )
            .bind(name(key.per))
            .bind(&key.subject)
            .bind(period(key.period))
            .bind(&key.starts)
            .bind(account.used.won.0)
            .bind(amount(account.used.tokens))
            .bind(amount(account.used.calls))
            .bind(account.reserved.won.0)
            .bind(amount(account.reserved.tokens))
            .bind(amount(account.reserved.calls))
            .execute(&mut *self.tx)
            .await?;
        }
        Ok(())
    }
}

fn amount(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Stored names, which are those of the policy's file.
fn name(per: Per) -> &'static str {
    match per {
        Per::Person => "person",
        Per::Department => "department",
        Per::App => "app",
        Per::Provider => "provider",
        Per::Body => "body",
    }
}

fn period(period: Period) -> &'static str {
    match period {
        Period::Day => "day",
        Period::Month => "month",
    }
}

fn account(row: &AnyRow) -> Result<(AccountKey, Account)> {
    let (per_name, period_name) = (row.text("per")?, row.text("period")?);
    let key = AccountKey {
        per: Per::ALL.into_iter().find(|p| name(*p) == per_name).ok_or(StoreError::Corrupt("per"))?,
        subject: row.text("subject")?,
        period: Period::ALL.into_iter().find(|p| period(*p) == period_name).ok_or(StoreError::Corrupt("period"))?,
        starts: row.text("starts")?,
    };
    let count = |column| u64::try_from(row.int(column)?).map_err(|_| StoreError::Corrupt(column));
    let used =
        Amounts { won: MicroWon(row.int("used_won")?), tokens: count("used_tokens")?, calls: count("used_calls")? };
    let reserved =
        Amounts { won: MicroWon(row.int("held_won")?), tokens: count("held_tokens")?, calls: count("held_calls")? };
    Ok((key, Account { used, reserved }))
}
