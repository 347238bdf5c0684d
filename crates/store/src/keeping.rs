//! What would let texts be deleted earlier: a shorter retention, a hold that is lifted. A security officer proposes it
//! and a second person puts it into force, as with policies: another officer, or an admin where there is none.
//!
//! ```text
//! waiting ─► confirmed | declined (by the second person) | withdrawn (by the proposer)
//! ```

use crate::auth::require_security;
use crate::ledger::Event;
use crate::policy_proposals::{decidable, reader};
use crate::retention::{TextKind, require_keeper};
use crate::row::RowExt;
use crate::{Result, Store, StoreError, WriteTx};
use madang_domain::Scope;
use serde::Serialize;
use serde_json::json;
use sqlx::any::AnyRow;
use uuid::Uuid;

/// Proposals listed.
const LISTED: i64 = 100;

/// What is proposed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Change {
    /// Texts of a kind are kept for fewer days.
    Shorten { kind: TextKind, days: i64 },
    /// A hold ends.
    Lift { hold: String },
}

impl Change {
    /// Stored name, what it is of, and days.
    fn stored(&self) -> (&'static str, &str, Option<i64>) {
        match self {
            Self::Shorten { kind, days } => ("shorten", kind.as_str(), Some(*days)),
            Self::Lift { hold } => ("lift", hold, None),
        }
    }
}

/// A change that waits for its second person.
#[derive(Debug, Clone, Serialize)]
pub struct KeepingProposal {
    pub id: String,
    #[serde(flatten)]
    pub change: Change,
    pub reason: String,
    pub by: String,
    /// Unix milliseconds.
    pub at: i64,
    /// The reader proposed it.
    pub own: bool,
    /// The reader is its second person.
    pub may_decide: bool,
}

/// Everything but the condition; `$1` to `$3` are [`reader`]'s.
macro_rules! columns {
    () => {
        concat!(
            "SELECT o.id, o.what, o.subject, o.days, o.reason, o.proposed_at, o.state, p.name AS by_name, \
             CASE WHEN o.proposer = $1 THEN 1 ELSE 0 END AS own, CASE WHEN ",
            decidable!(),
            " THEN 1 ELSE 0 END AS may_decide FROM keeping_proposals o JOIN people p ON p.id = o.proposer "
        )
    };
}

impl Store {
    /// Changes that wait, oldest first.
    pub async fn keeping_proposals(&self, scope: &Scope) -> Result<Vec<KeepingProposal>> {
        require_keeper(scope)?;
        let sql = concat!(columns!(), "WHERE o.state = 'waiting' ORDER BY o.proposed_at, o.id LIMIT $4");
        let (person, security, admin) = reader(scope);
        let rows = sqlx::query(sql).bind(person).bind(security).bind(admin).bind(LISTED).fetch_all(&self.pool).await?;
        rows.iter().map(proposal).collect()
    }

    /// How many changes wait for the reader as their second person: counted on every page.
    pub async fn keeping_waiting(&self, scope: &Scope) -> Result<usize> {
        let (person, security, admin) = reader(scope);
        if security + admin == 0 {
            return Ok(0);
        }
        let sql = concat!("SELECT COUNT(*) AS n FROM keeping_proposals o WHERE ", decidable!());
        sqlx::query(sql).bind(person).bind(security).bind(admin).fetch_one(&self.pool).await?.count("n")
    }

    /// Keeps a change until its second person decides.
    ///
    /// # Errors
    /// [`StoreError::Denied`] for all but security officers, [`StoreError::Conflict`] where one waits for the same.
    pub(crate) async fn propose_keeping(&self, scope: &Scope, change: &Change, reason: &str) -> Result<String> {
        require_security(scope)?;
        let (what, subject, days) = change.stored();
        let id = Uuid::now_v7().to_string();
        let mut tx = self.write().await?;
        let done = sqlx::query(
            "INSERT INTO keeping_proposals (id, what, subject, days, reason, proposer, proposed_at, state) \
             SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS BIGINT), CAST($5 AS TEXT), CAST($6 AS TEXT), \
             CAST($7 AS BIGINT), 'waiting' \
             WHERE NOT EXISTS (SELECT 1 FROM keeping_proposals o WHERE o.state = 'waiting' AND o.what = $2 AND o.subject = $3)",
        )
        .bind(id.clone())
        .bind(what)
        .bind(subject.to_owned())
        .bind(days)
        .bind(reason.to_owned())
        .bind(scope.person().to_string())
        .bind(tx.now)
        .execute(&mut *tx.tx)
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::conflict(
                "같은 것을 바꾸자는 제안이 이미 확인을 기다립니다. 먼저 그것을 정해 주세요.",
            ));
        }
        let detail = json!({ "proposal": id, "change": change, "reason": reason });
        tx.append(Event::new("keeping_proposed", Some(scope.person()), detail)).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Puts a change into force as its second person.
    ///
    /// # Errors
    /// [`StoreError::Denied`] for the proposer and whoever is not the second person, [`StoreError::Conflict`] where it
    /// no longer waits.
    pub async fn confirm_keeping(&self, scope: &Scope, id: &str) -> Result<()> {
        let mut tx = self.write().await?;
        let found = tx.keeping_to_decide(scope, id).await?;
        tx.end_keeping(scope, id, "confirmed").await?;
        match &found.change {
            Change::Shorten { kind, days } => {
                tx.put_retention(scope, *kind, *days, &found.reason, Some((id, &found.by))).await?;
            }
            Change::Lift { hold } => tx.end_hold(scope, hold, &found.reason, (id, &found.by)).await?,
        }
        tx.commit().await
    }

    /// Ends a change that waits: declined by its second person, or withdrawn by its proposer.
    pub async fn decline_keeping(&self, scope: &Scope, id: &str) -> Result<()> {
        require_keeper(scope)?;
        let mut tx = self.write().await?;
        let found = tx.waiting_keeping(scope, id).await?;
        let (state, action) =
            if found.own { ("withdrawn", "keeping_withdrawn") } else { ("declined", "keeping_declined") };
        if !found.own && !found.may_decide {
            return Err(second_person());
        }
        tx.end_keeping(scope, id, state).await?;
        let detail = json!({ "proposal": id, "change": found.change });
        tx.append(Event::new(action, Some(scope.person()), detail)).await?;
        tx.commit().await
    }
}

impl WriteTx {
    async fn waiting_keeping(&mut self, scope: &Scope, id: &str) -> Result<KeepingProposal> {
        let (person, security, admin) = reader(scope);
        let row = sqlx::query(concat!(columns!(), "WHERE o.id = $4"))
            .bind(person)
            .bind(security)
            .bind(admin)
            .bind(id.to_owned())
            .fetch_one(&mut *self.tx)
            .await?;
        match row.text("state")?.as_str() {
            "waiting" => proposal(&row),
            _ => Err(StoreError::conflict("이 제안은 이미 끝났습니다. 새로 고쳐 주세요.")),
        }
    }

    async fn keeping_to_decide(&mut self, scope: &Scope, id: &str) -> Result<KeepingProposal> {
        require_keeper(scope)?;
        let found = self.waiting_keeping(scope, id).await?;
        if found.may_decide { Ok(found) } else { Err(second_person()) }
    }

    async fn end_keeping(&mut self, scope: &Scope, id: &str, state: &'static str) -> Result<()> {
        sqlx::query("UPDATE keeping_proposals SET state = $1, decided_by = $2, decided_at = $3 WHERE id = $4")
            .bind(state)
            .bind(scope.person().to_string())
            .bind(self.now)
            .bind(id.to_owned())
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }
}

fn second_person() -> StoreError {
    StoreError::denied("제안한 사람이 아닌 다른 보안담당(없으면 운영자)이 확인합니다.")
}

fn proposal(r: &AnyRow) -> Result<KeepingProposal> {
    let subject = r.text("subject")?;
    let change = match (r.text("what")?.as_str(), r.opt_int("days")?) {
        ("shorten", Some(days)) => Change::Shorten { kind: r.parsed("subject")?, days },
        ("lift", None) => Change::Lift { hold: subject },
        _ => return Err(StoreError::Corrupt("keeping_proposals")),
    };
    Ok(KeepingProposal {
        id: r.text("id")?,
        change,
        reason: r.text("reason")?,
        by: r.text("by_name")?,
        at: r.int("proposed_at")?,
        own: r.flag("own")?,
        may_decide: r.flag("may_decide")?,
    })
}
