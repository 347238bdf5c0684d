//! Who decides on an outside call: the posts they hold, whether the policy lets them, what was decided so far. What a
//! decision asks for is `madang-policy`'s, the state of the call `call_moves`'.

use crate::call_moves::moved;
use crate::calls::{Call, CallState};
use crate::ledger::Event;
use crate::row::{RowExt, to_json};
use crate::{Result, Store, StoreError, WriteTx, auth};
use madang_domain::{ExternalCallId, PersonId, Scope};
use madang_policy::Unit;
use madang_policy::approval::{Approval, Approver, Eligibility, HeldPost, Waiting};
use madang_policy::evaluate::Need;
use serde::Serialize;
use serde_json::json;
use sqlx::any::AnyRow;
use std::collections::{BTreeSet, HashSet};

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
    /// Places of the call's needs for which a substitute's turn had come.
    #[serde(skip)]
    pub stood_in: Vec<usize>,
    /// Hours for which an approval was given.
    pub hours: Option<i64>,
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
    away: BTreeSet<PersonId>,
    /// Everybody; empty where no substitute's turn depends on them.
    officers: Vec<Approver>,
}

impl Desk {
    /// The best that any need of a call says to the reader.
    fn eligibility(&self, call: &Pending, now: i64) -> Eligibility {
        if call.asker == self.reader.person {
            return Eligibility::Asker;
        }
        let said = call.needs.iter().map(|need| self.for_need(need, call, now));
        said.min_by_key(|found| rank(*found)).unwrap_or(Eligibility::Stranger)
    }

    fn for_need(&self, need: &Need, call: &Pending, now: i64) -> Eligibility {
        need.eligibility(&self.reader, &call.waiting(self.nobody_there(need, call, now)), now)
    }

    /// Places of the needs for which the reader stands in at this moment.
    fn stands_in(&self, call: &Pending, now: i64) -> Vec<usize> {
        let needs = call.needs.iter().enumerate();
        let mine = needs.filter(|(_, need)| self.for_need(need, call, now) == Eligibility::Substitute);
        mine.map(|(place, _)| place).collect()
    }

    /// Would the reader stand in for somebody, were they away?
    fn is_substitute(&self, call: &Pending, now: i64) -> bool {
        let waiting = call.waiting(true);
        call.needs.iter().any(|need| need.eligibility(&self.reader, &waiting, now) == Eligibility::Substitute)
    }

    /// Are all who regularly meet a need away, or is there nobody who could?
    fn nobody_there(&self, need: &Need, call: &Pending, now: i64) -> bool {
        let waiting = call.waiting(false);
        let regular = |officer: &&Approver| need.eligibility(officer, &waiting, now) == Eligibility::Regular;
        !self.officers.is_empty()
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
        self.progress_to(self.needs(), given)
    }

    /// Approvals of these very bytes against what another decision asks for.
    pub fn progress_to(&self, needs: &[Need], given: &[Given]) -> Progressed {
        let pending = self.pending();
        let waiting = pending.waiting(false);
        let counted: Vec<_> =
            given.iter().filter(|g| g.approved == Some(true) && g.body_hmac == self.body_hmac).collect();
        let progress = |need: &Need| {
            // Whoever stood in for these officers has stood in for them, whatever rule names them.
            let same = |place: &usize| self.needs().get(*place).is_some_and(|was| was.from == need.from);
            let approvals: Vec<Approval> = counted
                .iter()
                .filter_map(|g| {
                    let stood_in = g.stood_in.iter().any(same);
                    Some(Approval { approver: g.approver.clone(), at_ms: g.decided_at?, stood_in })
                })
                .collect();
            need.progress(&approvals, &waiting)
        };
        let all: Vec<_> = needs.iter().map(progress).collect();
        Progressed {
            given: all.iter().map(|p| p.given.min(p.asked)).sum(),
            asked: all.iter().map(|p| p.asked).sum(),
            complete: !all.is_empty() && all.iter().all(|p| p.met()),
        }
    }

    /// For how long an approval of these bytes may hold, hours: the shortest that the needs and those who approved say.
    pub fn hours(&self, given: &[Given]) -> i64 {
        let said = given.iter().filter(|g| g.approved == Some(true) && g.body_hmac == self.body_hmac);
        let needed = self.needs().iter().map(|n| i64::from(n.valid_hours));
        needed.chain(said.filter_map(|g| g.hours)).min().unwrap_or(1)
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
        let desk = self.desk(scope, std::slice::from_ref(call)).await?;
        Ok(desk.map_or(Eligibility::Stranger, |desk| desk.eligibility(call, self.now())))
    }

    /// What the reader's rights to decide on these calls rest on; `None` for a token, which never decides.
    async fn desk(&self, scope: &Scope, calls: &[Pending]) -> Result<Option<Desk>> {
        if scope.token().is_some() {
            return Ok(None);
        }
        let away = self.officers_away(self.now()).await?;
        let reader = approver(scope.person(), self.held_posts(scope.person()).await?);
        let mut desk = Desk { reader, away, officers: Vec::new() };
        // Who else could decide matters to substitutes only, and a city is many people to read for each page.
        if calls.iter().any(|call| desk.is_substitute(call, self.now())) {
            desk.officers = self.active_approvers().await?;
        }
        Ok(Some(desk))
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
        let pending = call.pending();
        let Some(desk) = self.desk(scope, std::slice::from_ref(&pending)).await? else { return Ok(false) };
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
        let pending = rows.iter().map(Pending::from_row).collect::<Result<Vec<_>>>()?;
        // On most pages nothing waits.
        let Some(desk) = (if rows.is_empty() { None } else { self.desk(scope, &pending).await? }) else {
            return Ok(Vec::new());
        };
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
        let opened = Deed { posts, opened_at: Some(now), ..Deed::default() };
        tx.put_given(call, scope.person(), &opened).await?;
        tx.append(Event::new("outside_call_opened", Some(scope.person()), json!({ "call": call.id }))).await?;
        tx.commit().await
    }

    /// Somebody whom the policy names, and who did not ask for it, approves these very bytes. What is `bound` is kept
    /// when this was the last approval that is asked for.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where somebody has approved for fewer hours meanwhile.
    pub async fn approve_call(
        &self,
        scope: &Scope,
        call: &Call,
        Bound { binding, expires_at, hours, said }: Bound<'_>,
        reason: &str,
    ) -> Result<Progressed> {
        self.require_decider(scope, call).await?;
        let pending = call.pending();
        let desk = self.desk(scope, std::slice::from_ref(&pending)).await?;
        let desk = desk.ok_or_else(|| StoreError::denied(Eligibility::Stranger.korean()))?;
        let mut tx = self.write().await?;
        tx.require_waiting(call).await?;
        let now = tx.now;
        let deed = Deed {
            decided_at: Some(now),
            approved: Some(true),
            reason,
            stood_in: desk.stands_in(&pending, now),
            hours: Some(said),
            posts: desk.reader.posts,
            ..Deed::default()
        };
        tx.put_given(call, scope.person(), &deed).await?;
        let rows = sqlx::query(GIVEN).bind(call.id.to_string()).fetch_all(&mut *tx.tx).await?;
        let all = rows.iter().map(given).collect::<Result<Vec<_>>>()?;
        let progress = call.progress(&all);
        if hours > call.hours(&all) {
            return Err(StoreError::conflict("그 사이에 다른 담당관이 더 짧게 승인했습니다. 다시 눌러 주세요."));
        }
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
            "expires_at": expires, "hours": said, "stood_in": !deed.stood_in.is_empty(), "body_hmac": call.body_hmac, "reason": reason,
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
        let deed = Deed { posts, decided_at: Some(now), approved: Some(false), reason, ..Deed::default() };
        tx.put_given(call, scope.person(), &deed).await?;
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

    /// Keeps when somebody opened and decided, for the bytes as they are; when they opened them stays as it was.
    async fn put_given(&mut self, call: &Call, person: PersonId, deed: &Deed<'_>) -> Result<()> {
        sqlx::query(
            "INSERT INTO call_approvals (call_id, person_id, posts, opened_at, decided_at, approved, body_hmac, reason, stood_in, hours) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (call_id, person_id) DO UPDATE SET posts = excluded.posts, \
             opened_at = CASE WHEN call_approvals.body_hmac = excluded.body_hmac THEN COALESCE(excluded.opened_at, call_approvals.opened_at) ELSE excluded.opened_at END, \
             decided_at = excluded.decided_at, approved = excluded.approved, body_hmac = excluded.body_hmac, reason = excluded.reason, \
             stood_in = excluded.stood_in, hours = excluded.hours",
        )
        .bind(call.id.to_string())
        .bind(person.to_string())
        .bind(to_json(&deed.posts))
        .bind(deed.opened_at)
        .bind(deed.decided_at)
        .bind(deed.approved.map(i64::from))
        .bind(&call.body_hmac)
        .bind(deed.reason)
        .bind(to_json(&deed.stood_in))
        .bind(deed.hours)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }
}

/// What an approval is bound to, where it is the last one.
pub struct Bound<'a> {
    pub binding: &'a str,
    /// Unix milliseconds: `hours` from now.
    pub expires_at: i64,
    /// The shortest of what the needs, those before and this approver say.
    pub hours: i64,
    /// What this approver says.
    pub said: i64,
}

/// What somebody did with a call that waits.
#[derive(Default)]
struct Deed<'a> {
    posts: Vec<HeldPost>,
    opened_at: Option<i64>,
    decided_at: Option<i64>,
    approved: Option<bool>,
    reason: &'a str,
    stood_in: Vec<usize>,
    hours: Option<i64>,
}

const GIVEN: &str = "SELECT a.person_id, p.name, a.posts, a.opened_at, a.decided_at, a.approved, a.body_hmac, a.reason, a.stood_in, a.hours \
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
        stood_in: row.json("stood_in")?,
        hours: row.opt_int("hours")?,
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
