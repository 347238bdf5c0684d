//! Policies that would let more pass and wait for a second person: proposed by a security officer, put into force by
//! another. Where there is no other, an admin is the second person; the proposer never is.
//!
//! ```text
//! waiting ─► confirmed | declined | withdrawn (by the proposer) | overtaken (another policy went into force)
//! ```

use crate::auth::require_security;
use crate::ledger::Event;
use crate::policies::{NewPolicy, checked_reason, recorded, require_policy_reader};
use crate::row::{RowExt, to_json};
use crate::{Result, Store, StoreError, WriteTx};
use madang_domain::{PersonId, PolicyProposalId, Role, Scope};
use serde::Serialize;
use serde_json::json;
use sqlx::any::AnyRow;

/// Where a proposal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProposalState {
    Waiting,
    Confirmed,
    Declined,
    Withdrawn,
    /// Another policy went into force, so that it would undo what nobody looked at.
    Overtaken,
}

impl ProposalState {
    const ALL: [Self; 5] = [Self::Waiting, Self::Confirmed, Self::Declined, Self::Withdrawn, Self::Overtaken];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Confirmed => "confirmed",
            Self::Declined => "declined",
            Self::Withdrawn => "withdrawn",
            Self::Overtaken => "overtaken",
        }
    }

    /// Korean name, as screens show it.
    pub fn korean(self) -> &'static str {
        match self {
            Self::Waiting => "확인 기다림",
            Self::Confirmed => "시행됨",
            Self::Declined => "반려됨",
            Self::Withdrawn => "거둠",
            Self::Overtaken => "다른 정책이 먼저 시행됨",
        }
    }
}

impl std::str::FromStr for ProposalState {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|state| state.as_str() == s).ok_or_else(|| format!("unknown state {s:?}"))
    }
}

/// A proposed policy.
#[derive(Debug, Clone, Serialize)]
pub struct PolicyProposal {
    pub id: PolicyProposalId,
    /// The policy that was in force when it was proposed.
    pub base_revision: u32,
    pub revision: u32,
    pub hash: String,
    pub text: String,
    /// What would change, in Korean sentences.
    pub changes: Vec<String>,
    pub reason: String,
    pub by: String,
    #[serde(skip)]
    pub proposer: PersonId,
    /// Unix milliseconds.
    pub created_at: i64,
    pub state: ProposalState,
    pub decided_by: Option<String>,
    pub decided_reason: String,
    pub decided_at: Option<i64>,
    /// The reader proposed it.
    pub own: bool,
    /// It waits and the reader may put it into force or decline it.
    pub may_decide: bool,
}

/// Condition on proposals `o`, of policies or others: it waits and the reader `$1`, security officer `$2`, admin `$3`, is its second
/// person.
macro_rules! decidable {
    () => {
        "(o.state = 'waiting' AND o.proposer <> $1 AND ($2 = 1 OR ($3 = 1 AND NOT EXISTS (\
         SELECT 1 FROM people op JOIN post_holders oh ON oh.person_id = op.id \
         JOIN posts os ON os.id = oh.post_id AND os.deleted_at IS NULL \
         JOIN departments od ON od.id = os.department_id AND od.deleted_at IS NULL \
         WHERE op.active = 1 AND op.id <> o.proposer AND os.roles LIKE '%\"security\"%'))))"
    };
}

pub(crate) use decidable;

/// Everything but the condition.
macro_rules! columns {
    () => {
        concat!(
            "SELECT o.id, o.base_revision, o.revision, o.hash, o.text, o.changes, o.reason, o.proposer, o.created_at, o.state, \
             o.decided_reason, o.decided_at, p.name AS by_name, d.name AS decided_name, \
             CASE WHEN o.proposer = $1 THEN 1 ELSE 0 END AS own, CASE WHEN ",
            decidable!(),
            " THEN 1 ELSE 0 END AS may_decide FROM policy_proposals o JOIN people p ON p.id = o.proposer \
             LEFT JOIN people d ON d.id = o.decided_by "
        )
    };
}

/// `$1` to `$3` of the statements above.
pub(crate) fn reader(scope: &Scope) -> (String, i64, i64) {
    let holds = |role| i64::from(scope.has_role(role) && scope.token().is_none());
    (scope.person().to_string(), holds(Role::Security), holds(Role::Admin))
}

fn proposal(row: &AnyRow) -> Result<PolicyProposal> {
    Ok(PolicyProposal {
        id: row.parsed("id")?,
        base_revision: row.parsed_int("base_revision")?,
        revision: row.parsed_int("revision")?,
        hash: row.text("hash")?,
        text: row.text("text")?,
        changes: row.json("changes")?,
        reason: row.text("reason")?,
        by: row.text("by_name")?,
        proposer: row.parsed("proposer")?,
        created_at: row.int("created_at")?,
        state: row.parsed("state")?,
        decided_by: row.opt_text("decided_name")?,
        decided_reason: row.text("decided_reason")?,
        decided_at: row.opt_int("decided_at")?,
        own: row.flag("own")?,
        may_decide: row.flag("may_decide")?,
    })
}

impl Store {
    /// Keeps a policy that would let more pass until a second person puts it into force. One person has one proposal:
    /// an older one that waits is withdrawn.
    ///
    /// # Errors
    /// As [`Store::put_policy_in_force`].
    pub async fn propose_policy(
        &self,
        scope: &Scope,
        new: &NewPolicy<'_>,
        expected_revision: u32,
    ) -> Result<PolicyProposalId> {
        require_security(scope)?;
        new.check(expected_revision)?;
        let mut tx = self.write().await?;
        let old = tx.require_compared(new, expected_revision).await?;
        let id = PolicyProposalId::new();
        let withdrawn = sqlx::query(
            "UPDATE policy_proposals SET state = 'withdrawn', decided_by = $1, decided_reason = '다시 제안함', decided_at = $2 \
             WHERE proposer = $1 AND state = 'waiting'",
        )
        .bind(scope.person().to_string())
        .bind(tx.now)
        .execute(&mut *tx.tx)
        .await?;
        sqlx::query(
            "INSERT INTO policy_proposals (id, base_revision, revision, hash, text, changes, reason, proposer, created_at, \
             state, decided_reason) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'waiting', '')",
        )
        .bind(id.to_string())
        .bind(i64::from(expected_revision))
        .bind(i64::from(new.revision))
        .bind(new.hash)
        .bind(new.text)
        .bind(to_json(&new.changes))
        .bind(new.reason.trim())
        .bind(scope.person().to_string())
        .bind(tx.now)
        .execute(&mut *tx.tx)
        .await?;
        let mut detail = new.recorded(&old, true);
        detail["proposal"] = json!(id);
        detail["older_withdrawn"] = json!(withdrawn.rows_affected());
        tx.append(Event::new("policy_proposed", Some(scope.person()), detail)).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Proposals, those that wait first, then the latest.
    pub async fn policy_proposals(&self, scope: &Scope, limit: i64) -> Result<Vec<PolicyProposal>> {
        require_policy_reader(scope)?;
        let sql = concat!(
            columns!(),
            "ORDER BY CASE WHEN o.state = 'waiting' THEN 0 ELSE 1 END, o.created_at DESC, o.id DESC LIMIT $4"
        );
        let (person, security, admin) = reader(scope);
        let rows = sqlx::query(sql).bind(person).bind(security).bind(admin).bind(limit).fetch_all(&self.pool).await?;
        rows.iter().map(proposal).collect()
    }

    /// One of them.
    pub async fn policy_proposal(&self, scope: &Scope, id: PolicyProposalId) -> Result<PolicyProposal> {
        require_policy_reader(scope)?;
        let sql = concat!(columns!(), "WHERE o.id = $4");
        let (person, security, admin) = reader(scope);
        let row =
            sqlx::query(sql).bind(person).bind(security).bind(admin).bind(id.to_string()).fetch_one(&self.pool).await?;
        proposal(&row)
    }

    /// How many proposals wait for the reader: counted on every page.
    pub async fn policy_proposals_waiting(&self, scope: &Scope) -> Result<usize> {
        let (person, security, admin) = reader(scope);
        if security + admin == 0 {
            return Ok(0);
        }
        let sql = concat!("SELECT COUNT(*) AS n FROM policy_proposals o WHERE ", decidable!());
        let row = sqlx::query(sql).bind(person).bind(security).bind(admin).fetch_one(&self.pool).await?;
        row.count("n")
    }

    /// Puts a proposed policy into force as its second person; the other proposals end.
    ///
    /// # Errors
    /// [`StoreError::Denied`] for the proposer and whoever is not the second person, [`StoreError::Conflict`] where it no
    /// longer waits or another policy went into force.
    pub async fn confirm_policy(&self, scope: &Scope, id: PolicyProposalId) -> Result<()> {
        let mut tx = self.write().await?;
        let (proposal, proposer) = tx.decidable_proposal(scope, id).await?;
        let old = tx.require_revision(proposal.base_revision).await?;
        tx.decide_proposal(id, scope.person(), ProposalState::Confirmed, "").await?;
        let new = NewPolicy {
            text: &proposal.text,
            hash: &proposal.hash,
            revision: proposal.revision,
            compared_with: proposal.base_revision,
            reason: &proposal.reason,
            changes: &proposal.changes,
        };
        tx.insert_policy(&new, proposer).await?;
        let overtaken = tx.overtake_proposals().await?;
        let named = (proposal.revision, proposal.hash.as_str());
        let mut detail = recorded(&old, named, &proposal.reason, true, &proposal.changes);
        detail["proposal"] = json!(id);
        detail["proposer"] = json!(proposer);
        detail["overtaken"] = json!(overtaken);
        tx.append(Event::new("policy_changed", Some(scope.person()), detail)).await?;
        tx.commit().await
    }

    /// Declines a proposed policy as its second person, with a reason for its proposer.
    pub async fn decline_policy(&self, scope: &Scope, id: PolicyProposalId, reason: &str) -> Result<()> {
        let reason = checked_reason(reason, "반려하는 까닭을 2~400자로 적어 주세요. 제안한 사람이 읽습니다.")?;
        let mut tx = self.write().await?;
        let (proposal, _) = tx.decidable_proposal(scope, id).await?;
        tx.decide_proposal(id, scope.person(), ProposalState::Declined, &reason).await?;
        let detail =
            json!({ "proposal": id, "revision": proposal.revision, "policy_hash": proposal.hash, "reason": reason });
        tx.append(Event::new("policy_declined", Some(scope.person()), detail)).await?;
        tx.commit().await
    }

    /// The proposer takes a proposal back.
    pub async fn withdraw_policy(&self, scope: &Scope, id: PolicyProposalId) -> Result<()> {
        require_policy_reader(scope)?;
        let mut tx = self.write().await?;
        let (proposal, proposer) = tx.waiting_proposal(scope, id).await?;
        if proposer != scope.person() {
            return Err(StoreError::denied("제안한 사람만 거둘 수 있습니다. 받아들이지 않으려면 반려해 주세요."));
        }
        tx.decide_proposal(id, scope.person(), ProposalState::Withdrawn, "").await?;
        let detail = json!({ "proposal": id, "revision": proposal.revision, "policy_hash": proposal.hash });
        tx.append(Event::new("policy_withdrawn", Some(scope.person()), detail)).await?;
        tx.commit().await
    }
}

impl WriteTx {
    /// A proposal that waits, and its proposer.
    async fn waiting_proposal(&mut self, scope: &Scope, id: PolicyProposalId) -> Result<(PolicyProposal, PersonId)> {
        let sql = concat!(columns!(), "WHERE o.id = $4");
        let (person, security, admin) = reader(scope);
        let row = sqlx::query(sql)
            .bind(person)
            .bind(security)
            .bind(admin)
            .bind(id.to_string())
            .fetch_one(&mut *self.tx)
            .await?;
        let found = proposal(&row)?;
        if found.state != ProposalState::Waiting {
            return Err(StoreError::conflict(format!(
                "이 제안은 이미 끝났습니다({}). 새로 고쳐 주세요.",
                found.state.korean()
            )));
        }
        Ok((found, row.parsed("proposer")?))
    }

    /// One whose second person the reader is.
    async fn decidable_proposal(&mut self, scope: &Scope, id: PolicyProposalId) -> Result<(PolicyProposal, PersonId)> {
        require_policy_reader(scope)?;
        let (found, proposer) = self.waiting_proposal(scope, id).await?;
        if found.own {
            return Err(StoreError::denied(
                "자기가 제안한 정책은 스스로 시행할 수 없습니다. 다른 보안담당(없으면 운영자)이 확인합니다.",
            ));
        }
        if !found.may_decide {
            return Err(StoreError::denied("다른 보안담당이 있으므로 운영자는 확인할 수 없습니다."));
        }
        Ok((found, proposer))
    }

    async fn decide_proposal(
        &mut self,
        id: PolicyProposalId,
        by: PersonId,
        state: ProposalState,
        reason: &str,
    ) -> Result<()> {
        let done = sqlx::query(
            "UPDATE policy_proposals SET state = $1, decided_by = $2, decided_reason = $3, decided_at = $4 \
             WHERE id = $5 AND state = 'waiting'",
        )
        .bind(state.as_str())
        .bind(by.to_string())
        .bind(reason)
        .bind(self.now)
        .bind(id.to_string())
        .execute(&mut *self.tx)
        .await?;
        match done.rows_affected() {
            0 => Err(StoreError::conflict("이 제안은 방금 끝났습니다. 새로 고쳐 주세요.")),
            _ => Ok(()),
        }
    }

    /// Ends what rests on a policy that is no longer in force; how many.
    pub(crate) async fn overtake_proposals(&mut self) -> Result<u64> {
        let done =
            sqlx::query("UPDATE policy_proposals SET state = 'overtaken', decided_at = $1 WHERE state = 'waiting'")
                .bind(self.now)
                .execute(&mut *self.tx)
                .await?;
        Ok(done.rows_affected())
    }
}
