//! Who decides on an outside call: the posts they hold, whether the policy lets them, what was decided so far. What a
//! decision asks for is `madang-policy`'s, the state of the call `call_moves`'.

use crate::call_moves::moved;
use crate::calls::{Call, CallState};
use crate::ledger::Event;
use crate::row::{RowExt, to_json};
use crate::{Result, Store, StoreError, WriteTx, auth};
use madang_domain::{ExternalCallId, PersonId, Scope};
use madang_policy::Unit;
use madang_policy::approval::{Approver, Eligibility, HeldPost, Waiting};
use madang_policy::evaluate::Need;
use serde::Serialize;
use serde_json::json;
use sqlx::any::AnyRow;
use std::collections::HashSet;

/// Somebody who opened a call to decide on it.
#[derive(Debug, Clone, Serialize)]
pub struct Given {
    pub person: PersonId,
    pub name: String,
    #[serde(skip)]
    pub approver: Approver,
    pub opened_at: Option<i64>,
    pub decided_at: Option<i64>,
    /// `None`: opened and not decided yet.
    pub approved: Option<bool>,
    pub reason: String,
    /// The bytes it was given for.
    #[serde(skip)]
    pub body_hmac: String,
}

/// How far a call's needs are met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Progressed {
    pub given: usize,
    pub asked: usize,
    pub complete: bool,
}

/// What of a waiting call tells who may decide on it: read for every page, and so without its texts.
struct Pending {
    id: ExternalCallId,
    asker: PersonId,
    department: Unit,
    since: i64,
    needs: Vec<Need>,
}

impl Pending {
    fn from_row(row: &AnyRow) -> Result<Self> {
        Ok(Self {
            id: row.parsed("id")?,
            asker: row.parsed("person_id")?,
            department: Unit::new(row.text("department_id")?, &row.opt_text("department_name")?.unwrap_or_default()),
            since: row.int("created_at")?,
            needs: match row.opt_text("needs")? {
                Some(_) => row.json("needs")?,
                None => Vec::new(),
            },
        })
    }

    fn waiting(&self, officers_away: bool) -> Waiting<'_> {
        Waiting { asker: self.asker, department: Some(&self.department), since_ms: self.since, officers_away }
    }
}

/// The reader's posts, and who is away: what rights to decide rest on, read once for all calls of a page.
struct Desk {
    reader: Approver,
    away: HashSet<PersonId>,
    /// Everybody, while somebody is away.
    officers: Vec<Approver>,
}

impl Desk {
    /// The best that any need of a call says to the reader.
    fn eligibility(&self, call: &Pending, now: i64) -> Eligibility {
        if call.asker == self.reader.person {
            return Eligibility::Asker;
        }
        let said = call
            .needs
            .iter()
            .map(|need| need.eligibility(&self.reader, &call.waiting(self.all_away(need, call, now)), now));
        said.min_by_key(|found| rank(*found)).unwrap_or(Eligibility::Stranger)
    }

    /// Are all who regularly meet a need away?
    fn all_away(&self, need: &Need, call: &Pending, now: i64) -> bool {
        let waiting = call.waiting(false);
        let regular = |officer: &&Approver| need.eligibility(officer, &waiting, now) == Eligibility::Regular;
        !self.away.is_empty()
            && !need.substitutes.is_empty()
            && self.officers.iter().filter(regular).all(|officer| self.away.contains(&officer.person))
    }
}

impl Call {
    /// Approvals that are still asked for; none where it was allowed, or is older than policies.
    pub fn needs(&self) -> &[Need] {
        self.ruled.as_ref().map_or(&[], |r| &r.decision.needs)
    }

    fn pending(&self) -> Pending {
        Pending {
            id: self.id,
            asker: self.person,
            department: Unit::new(self.department.to_string(), &self.department_name),
            since: self.created_at,
            needs: self.needs().to_vec(),
        }
    }

    /// Approvals of these very bytes against what is asked for.
    pub fn progress(&self, given: &[Given]) -> Progressed {
        let pending = self.pending();
        // Whoever stood in for an absent officer was let in when they decided.
        let waiting = pending.waiting(true);
        let approvals: Vec<(Approver, i64)> = given
            .iter()
            .filter(|g| g.approved == Some(true) && g.body_hmac == self.body_hmac)
            .filter_map(|g| Some((g.approver.clone(), g.decided_at?)))
            .collect();
        let all: Vec<_> = self.needs().iter().map(|n| n.progress(&approvals, &waiting)).collect();
        Progressed {
            given: all.iter().map(|p| p.given.min(p.asked)).sum(),
            asked: all.iter().map(|p| p.asked).sum(),
            complete: !all.is_empty() && all.iter().all(|p| p.met()),
        }
    }
}

impl Store {
    /// May the reader decide on this call now? The best that any of its needs says; strangers learn nothing.
    pub async fn eligibility(&self, scope: &Scope, call: &Call) -> Result<Eligibility> {
        if call.state == CallState::Waiting {
            self.eligible(scope, &call.pending()).await
        } else {
            Ok(Eligibility::Stranger)
        }
    }

    async fn eligible(&self, scope: &Scope, call: &Pending) -> Result<Eligibility> {
        let Some(desk) = self.desk(scope).await? else { return Ok(Eligibility::Stranger) };
        Ok(desk.eligibility(call, self.now()))
    }

    /// What the reader's rights to decide rest on; `None` for a token, which never decides.
    async fn desk(&self, scope: &Scope) -> Result<Option<Desk>> {
        if scope.token().is_some() {
            return Ok(None);
        }
        let rows = sqlx::query("SELECT person_id FROM officer_absences WHERE from_at <= $1 AND until_at > $1")
            .bind(self.now())
            .fetch_all(&self.pool)
            .await?;
        let away = rows.iter().map(|r| r.parsed("person_id")).collect::<Result<HashSet<PersonId>>>()?;
        // Who else could decide matters only while somebody is away.
        let officers = if away.is_empty() { Vec::new() } else { self.active_approvers().await? };
        let reader = approver(scope.person(), self.held_posts(scope.person()).await?);
        Ok(Some(Desk { reader, away, officers }))
    }

    /// Everybody who is active, with their posts.
    async fn active_approvers(&self) -> Result<Vec<Approver>> {
        let rows = sqlx::query("SELECT id FROM people WHERE active = 1").fetch_all(&self.pool).await?;
        let active = rows.iter().map(|r| r.parsed("id")).collect::<Result<HashSet<PersonId>>>()?;
        let posts = self.posts_by_person().await?.into_iter();
        Ok(posts.filter(|(person, _)| active.contains(person)).map(|(person, posts)| approver(person, posts)).collect())
    }

    /// Does the reader decide on this call, or did they, holding a post still that may?
    pub(crate) async fn decides(&self, scope: &Scope, call: &Call) -> Result<bool> {
        let Some(desk) = self.desk(scope).await? else { return Ok(false) };
        let pending = call.pending();
        if call.state == CallState::Waiting && desk.eligibility(&pending, self.now()).may() {
            return Ok(true);
        }
        // Asked as of when it was asked for, and as whoever stands in: what was seen once ends with the post.
        let waiting = pending.waiting(true);
        if !pending.needs.iter().any(|need| need.eligibility(&desk.reader, &waiting, pending.since).may()) {
            return Ok(false);
        }
        let row = sqlx::query("SELECT person_id FROM call_approvals WHERE call_id = $1 AND person_id = $2")
            .bind(call.id.to_string())
            .bind(scope.person().to_string())
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.is_some())
    }

    /// Waiting calls that the reader may decide on now and has not, oldest first, without their texts.
    pub async fn decidable_calls(&self, scope: &Scope) -> Result<Vec<Call>> {
        let ids = self.decidable(scope).await?;
        self.calls_without_texts(scope, &ids).await
    }

    pub(crate) async fn decidable(&self, scope: &Scope) -> Result<Vec<ExternalCallId>> {
        let rows = sqlx::query(
            "SELECT c.id, c.person_id, c.department_id, d.name AS department_name, c.created_at, c.needs \
             FROM external_calls c LEFT JOIN departments d ON d.id = c.department_id WHERE c.state = 'waiting' AND c.person_id <> $1 \
             AND NOT EXISTS (SELECT 1 FROM call_approvals a WHERE a.call_id = c.id AND a.person_id = $1 AND a.approved IS NOT NULL \
             AND a.body_hmac = c.body_hmac) ORDER BY c.created_at, c.id LIMIT 200",
        )
        .bind(scope.person().to_string())
        .fetch_all(&self.pool)
        .await?;
        // On most pages nothing waits.
        let Some(desk) = (if rows.is_empty() { None } else { self.desk(scope).await? }) else { return Ok(Vec::new()) };
        let pending = rows.iter().map(Pending::from_row).collect::<Result<Vec<_>>>()?;
        let now = self.now();
        Ok(pending.iter().filter(|call| desk.eligibility(call, now).may()).map(|call| call.id).collect())
    }

    /// Who opened and decided on a call that the reader may see, in the order of time.
    pub async fn decisions_on(&self, scope: &Scope, id: ExternalCallId) -> Result<Vec<Given>> {
        let call = self.call(scope, id).await?;
        self.given(call.id).await
    }

    async fn given(&self, id: ExternalCallId) -> Result<Vec<Given>> {
        let rows = sqlx::query(GIVEN).bind(id.to_string()).fetch_all(&self.pool).await?;
        rows.iter().map(given).collect()
    }

    /// Notes, once for these bytes, that somebody who may decide has opened the envelope.
    pub async fn note_opened(&self, scope: &Scope, call: &Call) -> Result<()> {
        let known = self.given(call.id).await?;
        if known.iter().any(|g| g.person == scope.person() && g.body_hmac == call.body_hmac) {
            return Ok(());
        }
        let posts = approver(scope.person(), self.held_posts(scope.person()).await?).posts;
        let mut tx = self.write().await?;
        let now = tx.now;
        tx.put_given(call, scope.person(), to_json(&posts), (Some(now), None, None), "").await?;
        tx.append(Event::new("outside_call_opened", Some(scope.person()), json!({ "call": call.id }))).await?;
        tx.commit().await
    }

    /// Somebody whom the policy names, and who did not ask for it, approves these very bytes. `binding` and
    /// `expires_at` are kept when this was the last approval that is asked for.
    pub async fn approve_call(
        &self,
        scope: &Scope,
        call: &Call,
        binding: &str,
        expires_at: i64,
        reason: &str,
    ) -> Result<Progressed> {
        self.require_decider(scope, call).await?;
        let approver = approver(scope.person(), self.held_posts(scope.person()).await?);
        let mut tx = self.write().await?;
        tx.require_waiting(call).await?;
        let now = tx.now;
        tx.put_given(call, scope.person(), to_json(&approver.posts), (None, Some(now), Some(true)), reason).await?;
        let rows = sqlx::query(GIVEN).bind(call.id.to_string()).fetch_all(&mut *tx.tx).await?;
        let progress = call.progress(&rows.iter().map(given).collect::<Result<Vec<_>>>()?);
        if progress.complete {
            let done = sqlx::query(
                "UPDATE external_calls SET state = 'approved', approver = $1, binding = $2, expires_at = $3, reason = $4, decided_at = $5 \
                 WHERE id = $6 AND state = 'waiting' AND person_id <> $1",
            )
            .bind(scope.person().to_string())
            .bind(binding)
            .bind(expires_at)
            .bind(reason)
            .bind(now)
            .bind(call.id.to_string())
            .execute(&mut *tx.tx)
            .await?;
            moved(done.rows_affected())?;
        }
        let expires = progress.complete.then(|| crate::clock::rfc3339(expires_at));
        let detail = json!({
            "call": call.id, "decision": "approved", "given": progress.given, "asked": progress.asked, "complete": progress.complete,
            "expires_at": expires, "body_hmac": call.body_hmac, "reason": reason,
        });
        tx.append(Event::new("outside_call_approved", Some(scope.person()), detail)).await?;
        tx.commit().await?;
        Ok(progress)
    }

    /// Somebody who may approve a call returns it with a reason.
    pub async fn return_call(&self, scope: &Scope, call: &Call, reason: &str) -> Result<()> {
        self.require_decider(scope, call).await?;
        let posts = approver(scope.person(), self.held_posts(scope.person()).await?).posts;
        let mut tx = self.write().await?;
        tx.require_waiting(call).await?;
        let now = tx.now;
        tx.put_given(call, scope.person(), to_json(&posts), (None, Some(now), Some(false)), reason).await?;
        let done = sqlx::query(
            "UPDATE external_calls SET state = 'returned', approver = $1, reason = $2, decided_at = $3, ended_at = $3 \
             WHERE id = $4 AND state = 'waiting' AND person_id <> $1",
        )
        .bind(scope.person().to_string())
        .bind(reason)
        .bind(now)
        .bind(call.id.to_string())
        .execute(&mut *tx.tx)
        .await?;
        moved(done.rows_affected())?;
        let detail = json!({ "call": call.id, "decision": "returned", "reason": reason });
        tx.append(Event::new("outside_call_returned", Some(scope.person()), detail)).await?;
        tx.commit().await
    }

    /// Four eyes, and the policy's: nobody decides on what they asked for, nor whom no need names.
    pub async fn require_decider(&self, scope: &Scope, call: &Call) -> Result<()> {
        if call.state != CallState::Waiting {
            return Err(StoreError::conflict("그 사이에 처리 상태가 바뀌었습니다. 화면을 새로 고쳐 확인해 주세요."));
        }
        if call.ruled.is_none() && !call.own {
            return Err(StoreError::conflict(
                "규칙이 생기기 전에 신청한 외부호출이라 승인할 수 없습니다. 다시 신청하도록 알려 주세요.",
            ));
        }
        let found = self.eligibility(scope, call).await?;
        if found.may() { Ok(()) } else { Err(StoreError::denied(found.korean())) }
    }
}

impl WriteTx {
    /// The call as it was read is the call as it is: it waits, and its bytes are the same.
    pub(crate) async fn require_waiting(&mut self, call: &Call) -> Result<()> {
        let row = sqlx::query("SELECT state, body_hmac FROM external_calls WHERE id = $1")
            .bind(call.id.to_string())
            .fetch_one(&mut *self.tx)
            .await?;
        let same = row.text("state")? == CallState::Waiting.as_str() && row.text("body_hmac")? == call.body_hmac;
        moved(u64::from(same))
    }

    /// Keeps when somebody opened and decided, for the bytes as they are; what is `None` stays as it was for them.
    async fn put_given(
        &mut self,
        call: &Call,
        person: PersonId,
        posts: String,
        (opened, decided, approved): (Option<i64>, Option<i64>, Option<bool>),
        reason: &str,
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO call_approvals (call_id, person_id, posts, opened_at, decided_at, approved, body_hmac, reason) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (call_id, person_id) DO UPDATE SET posts = excluded.posts, \
             opened_at = CASE WHEN call_approvals.body_hmac = excluded.body_hmac THEN COALESCE(excluded.opened_at, call_approvals.opened_at) ELSE excluded.opened_at END, \
             decided_at = excluded.decided_at, approved = excluded.approved, body_hmac = excluded.body_hmac, reason = excluded.reason",
        )
        .bind(call.id.to_string())
        .bind(person.to_string())
        .bind(posts)
        .bind(opened)
        .bind(decided)
        .bind(approved.map(i64::from))
        .bind(&call.body_hmac)
        .bind(reason)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }
}

const GIVEN: &str = "SELECT a.person_id, p.name, a.posts, a.opened_at, a.decided_at, a.approved, a.body_hmac, a.reason \
     FROM call_approvals a JOIN people p ON p.id = a.person_id WHERE a.call_id = $1 ORDER BY a.decided_at, a.opened_at, a.person_id";

fn given(row: &AnyRow) -> Result<Given> {
    let person = row.parsed("person_id")?;
    Ok(Given {
        person,
        name: row.text("name")?,
        approver: Approver { person, posts: row.json("posts")? },
        opened_at: row.opt_int("opened_at")?,
        decided_at: row.opt_int("decided_at")?,
        approved: row.opt_int("approved")?.map(|n| n != 0),
        reason: row.text("reason")?,
        body_hmac: row.text("body_hmac")?,
    })
}

fn approver(person: PersonId, posts: Vec<auth::HeldPost>) -> Approver {
    let posts = posts
        .into_iter()
        .map(|p| HeldPost { department: Unit::new(p.department.to_string(), &p.department_name), roles: p.roles });
    Approver { person, posts: posts.collect() }
}

/// Of what several needs say to one person the best counts.
fn rank(found: Eligibility) -> u8 {
    match found {
        Eligibility::Regular => 0,
        Eligibility::Substitute => 1,
        Eligibility::NotYet => 2,
        Eligibility::Lapsed => 3,
        Eligibility::Asker => 4,
        Eligibility::Stranger => 5,
    }
}
