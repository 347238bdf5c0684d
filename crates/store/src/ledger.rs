//! The record, kept in the application's database: appended within the transaction of what it records, so that
//! an act and its record stand or fall together. The chain itself is the `ledger` crate's, the tree over it is kept in
//! `ledger_tree`.

use crate::auth::require_security;
use crate::clock::rfc3339;
use crate::row::RowExt;
use crate::{Dialect, Result, Store, StoreError, WriteTx};
use madang_domain::{ExternalCallId, PersonId, Scope};
use madang_ledger::{Entry, Head};
use serde_json::{Value, json};
use sqlx::any::AnyRow;
use uuid::Uuid;

/// Key of the advisory lock that serialises appends on PostgreSQL.
const LEDGER_LOCK: i64 = 0x6d61_6461_6e67;

/// Something that matters, about to be recorded.
#[derive(Debug, Clone)]
pub struct Event {
    /// What happened: `sign_in`, `outside_call_intent`, …
    pub action: &'static str,
    pub actor: Option<PersonId>,
    /// Never secrets, never personal values: identifiers, counts, reasons.
    pub detail: Value,
}

impl Event {
    pub fn new(action: &'static str, actor: Option<PersonId>, detail: Value) -> Self {
        Self { action, actor, detail }
    }
}

/// Which records to list. Empty fields do not filter.
#[derive(Debug, Clone, Default)]
pub struct LedgerFilter {
    pub action: Option<String>,
    /// The actor's identifier.
    pub actor: Option<PersonId>,
    /// RFC 3339 bounds, inclusive and exclusive.
    pub from: Option<String>,
    pub until: Option<String>,
    /// Only records before this sequence number, for paging.
    pub before: Option<i64>,
    /// Text anywhere in the payload.
    pub text: Option<String>,
    /// Name of a department in which the actor held a post at that time.
    pub department: Option<String>,
}

/// Condition of a [`LedgerFilter`], parameters `$1` to `$7`.
macro_rules! filtered {
    () => {
        "(CAST($1 AS TEXT) IS NULL OR payload LIKE $1 ESCAPE '\\') AND (CAST($2 AS TEXT) IS NULL OR payload LIKE $2 ESCAPE '\\') \
         AND (CAST($3 AS TEXT) IS NULL OR time >= $3) AND (CAST($4 AS TEXT) IS NULL OR time < $4) \
         AND (CAST($5 AS BIGINT) IS NULL OR seq < $5) AND (CAST($6 AS TEXT) IS NULL OR payload LIKE $6 ESCAPE '\\') \
         AND (CAST($7 AS TEXT) IS NULL OR payload LIKE $7 ESCAPE '\\')"
    };
}

type Statement = sqlx::query::Query<'static, sqlx::Any, sqlx::any::AnyArguments>;

impl LedgerFilter {
    /// Binds the parameters of `filtered!`.
    fn bound(&self, statement: Statement) -> Statement {
        let contains = |text: &str| format!("%{}%", escape_like(text));
        // The payload is canonical JSON, so a key and its value always read alike.
        let pair = |key: &str, value: &str| contains(&format!("\"{key}\":{}", serde_json::json!(value)));
        statement
            .bind(self.action.as_ref().map(|a| pair("action", a)))
            .bind(self.actor.map(|a| pair("person", &a.to_string())))
            .bind(self.from.clone())
            .bind(self.until.clone())
            .bind(self.before)
            .bind(self.text.as_deref().map(contains))
            .bind(self.department.as_ref().map(|d| pair("department", d)))
    }
}

impl WriteTx {
    /// Appends a record to the chain and its tree within this transaction.
    pub async fn append(&mut self, event: Event) -> Result<i64> {
        self.lock_ledger().await?;
        let head = self.ledger_head().await?;
        let actor = match event.actor {
            Some(person) => self.actor(person).await?,
            None => Value::Null,
        };
        let payload = json!({
            "event": Uuid::now_v7().to_string(),
            "action": event.action,
            "actor": actor,
            "detail": &event.detail,
        });
        let payload = madang_ledger::canonical(&payload).map_err(|_| StoreError::Corrupt("payload"))?;
        let entry =
            madang_ledger::chain(&head, &rfc3339(self.now), &payload).map_err(|_| StoreError::Corrupt("ledger"))?;
        let seq = i64::try_from(entry.seq).map_err(|_| StoreError::Corrupt("seq"))?;
        sqlx::query("INSERT INTO ledger (seq, time, payload, prev_hash, hash) VALUES ($1, $2, $3, $4, $5)")
            .bind(seq)
            .bind(entry.time.as_str())
            .bind(entry.payload.as_str())
            .bind(entry.prev_hash.as_str())
            .bind(entry.hash.as_str())
            .execute(&mut *self.tx)
            .await?;
        let call = event.detail.get("call").and_then(Value::as_str);
        sqlx::query(
            // A record that took the place of one that somebody deleted is noted anew.
            "INSERT INTO ledger_subjects (seq, action, call_id) VALUES ($1, $2, $3) \
             ON CONFLICT (seq) DO UPDATE SET action = excluded.action, call_id = excluded.call_id",
        )
        .bind(seq)
        .bind(event.action)
        .bind(call)
        .execute(&mut *self.tx)
        .await?;
        self.grow_by(&head, &entry).await?;
        Ok(seq)
    }

    /// Makes appends and signatures of other processes wait until this transaction ends: on PostgreSQL, as SQLite has
    /// one writer anyway.
    pub(crate) async fn lock_ledger(&mut self) -> Result<()> {
        if self.dialect == Dialect::Postgres {
            sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LEDGER_LOCK).execute(&mut *self.tx).await?;
        }
        Ok(())
    }

    /// Where the record ends.
    pub(crate) async fn ledger_head(&mut self) -> Result<Head> {
        let last = sqlx::query("SELECT seq, time, payload, prev_hash, hash FROM ledger ORDER BY seq DESC LIMIT 1")
            .fetch_optional(&mut *self.tx)
            .await?;
        match last {
            Some(row) => Ok(Head::from(&entry(&row)?)),
            None => Ok(Head::genesis()),
        }
    }

    /// Who acted, as they stood at that moment: a later personnel move changes no record.
    async fn actor(&mut self, person: PersonId) -> Result<Value> {
        let rows = sqlx::query(
            "SELECT p.login, p.name, o.title, o.roles, d.name AS department FROM people p \
             LEFT JOIN post_holders h ON h.person_id = p.id \
             LEFT JOIN posts o ON o.id = h.post_id AND o.deleted_at IS NULL \
             LEFT JOIN departments d ON d.id = o.department_id WHERE p.id = $1 ORDER BY h.since",
        )
        .bind(person.to_string())
        .fetch_all(&mut *self.tx)
        .await?;
        let Some(first) = rows.first() else { return Ok(json!({ "person": person })) };
        let mut posts = Vec::new();
        for row in &rows {
            if let Some(title) = row.opt_text("title")? {
                posts.push(json!({
                    "post": title,
                    "department": row.opt_text("department")?,
                    "roles": serde_json::from_str::<Value>(&row.opt_text("roles")?.unwrap_or_default()).unwrap_or_default(),
                }));
            }
        }
        Ok(json!({ "person": person, "login": first.text("login")?, "name": first.text("name")?, "posts": posts }))
    }
}

impl Store {
    /// Records one event by itself.
    pub async fn record(&self, event: Event) -> Result<i64> {
        let mut tx = self.write().await?;
        let seq = tx.append(event).await?;
        tx.commit().await?;
        Ok(seq)
    }

    /// Records for a security officer, newest first: at most `limit` after leaving out `offset`.
    pub async fn ledger(&self, scope: &Scope, filter: &LedgerFilter, limit: i64, offset: i64) -> Result<Vec<Entry>> {
        require_security(scope)?;
        let sql = concat!(
            "SELECT seq, time, payload, prev_hash, hash FROM ledger WHERE ",
            filtered!(),
            " ORDER BY seq DESC LIMIT $8 OFFSET $9"
        );
        let rows = filter.bound(sqlx::query(sql)).bind(limit).bind(offset).fetch_all(&self.pool).await?;
        rows.iter().map(entry).collect()
    }

    /// How many records a filter finds.
    pub async fn ledger_count(&self, scope: &Scope, filter: &LedgerFilter) -> Result<usize> {
        require_security(scope)?;
        let sql = concat!("SELECT COUNT(*) AS n FROM ledger WHERE ", filtered!());
        filter.bound(sqlx::query(sql)).fetch_one(&self.pool).await?.count("n")
    }

    /// How many records of a kind there are since a moment (RFC 3339), by what each was noted to be when it was appended.
    pub async fn records_of(&self, scope: &Scope, action: &str, since: &str) -> Result<usize> {
        require_security(scope)?;
        sqlx::query(
            "SELECT COUNT(*) AS n FROM ledger_subjects s JOIN ledger l ON l.seq = s.seq WHERE s.action = $1 AND l.time >= $2",
        )
        .bind(action.to_owned())
        .bind(since.to_owned())
        .fetch_one(&self.pool)
        .await?
        .count("n")
    }

    /// Sequence numbers of the first records that speak of a call, for a security officer.
    pub async fn call_records(&self, scope: &Scope, id: ExternalCallId) -> Result<Vec<u64>> {
        require_security(scope)?;
        let rows = sqlx::query("SELECT seq FROM ledger_subjects WHERE call_id = $1 ORDER BY seq LIMIT 50")
            .bind(id.to_string())
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|r| u64::try_from(r.int("seq")?).map_err(|_| StoreError::Corrupt("seq"))).collect()
    }

    /// Records in the chain's own order, for an export: at most `limit` after number `after`.
    pub async fn ledger_after(
        &self,
        scope: &Scope,
        filter: &LedgerFilter,
        after: i64,
        limit: i64,
    ) -> Result<Vec<Entry>> {
        require_security(scope)?;
        let sql = concat!(
            "SELECT seq, time, payload, prev_hash, hash FROM ledger WHERE ",
            filtered!(),
            " AND seq > $8 ORDER BY seq LIMIT $9"
        );
        let rows = filter.bound(sqlx::query(sql)).bind(after).bind(limit).fetch_all(&self.pool).await?;
        rows.iter().map(entry).collect()
    }

    /// Number of the last record; 0 before the first.
    pub async fn ledger_end(&self) -> Result<i64> {
        sqlx::query("SELECT COALESCE(MAX(seq), 0) AS n FROM ledger").fetch_one(&self.pool).await?.int("n")
    }

    /// One record.
    pub async fn ledger_entry(&self, scope: &Scope, seq: i64) -> Result<Entry> {
        require_security(scope)?;
        let row = sqlx::query("SELECT seq, time, payload, prev_hash, hash FROM ledger WHERE seq = $1")
            .bind(seq)
            .fetch_one(&self.pool)
            .await?;
        entry(&row)
    }

    /// A stretch of the chain in order, for verification by the operator's own command: `from` is inclusive.
    pub async fn ledger_chain(&self, from: i64, limit: i64) -> Result<Vec<Entry>> {
        let rows =
            sqlx::query("SELECT seq, time, payload, prev_hash, hash FROM ledger WHERE seq >= $1 ORDER BY seq LIMIT $2")
                .bind(from)
                .bind(limit)
                .fetch_all(&self.pool)
                .await?;
        rows.iter().map(entry).collect()
    }
}

pub(crate) fn entry(row: &AnyRow) -> Result<Entry> {
    Ok(Entry {
        seq: u64::try_from(row.int("seq")?).map_err(|_| StoreError::Corrupt("seq"))?,
        time: row.text("time")?,
        payload: row.text("payload")?,
        prev_hash: row.text("prev_hash")?,
        hash: row.text("hash")?,
    })
}

/// Escapes what LIKE would read as a pattern.
pub(crate) fn escape_like(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}
