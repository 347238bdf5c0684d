//! How long texts are kept, kind by kind, and what holds them longer. Their deletion is in `erasures`.

use crate::auth::require_security;
use crate::keeping::Change;
use crate::ledger::Event;
use crate::row::RowExt;
use crate::{Result, Store, StoreError, WriteTx};
use madang_domain::{Role, Scope};
use serde::Serialize;
use serde_json::json;
use sqlx::any::AnyRow;
use uuid::Uuid;

/// Days that texts are kept unless somebody said otherwise: three years.
pub const DEFAULT_DAYS: i64 = 3 * 365;
/// Shortest and longest retention, days: access records are kept for a year at least (안전성 확보조치 기준 §8), and what
/// somebody may have to account for is not deleted earlier.
pub const DAYS: std::ops::RangeInclusive<i64> = 365..=3650;

/// A kind of texts that is kept for a time of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TextKind {
    /// What outside calls sent and got: bodies, masked words, replies, the short answer from inside.
    OutsideBodies,
    /// What runs and trials were given and answered: inputs, answers, quoted sources, reports.
    Runs,
}

impl TextKind {
    pub const ALL: [Self; 2] = [Self::OutsideBodies, Self::Runs];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::OutsideBodies => "outside_bodies",
            Self::Runs => "runs",
        }
    }

    pub fn korean(self) -> &'static str {
        match self {
            Self::OutsideBodies => "외부호출의 글",
            Self::Runs => "실행의 글",
        }
    }
}

impl std::str::FromStr for TextKind {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|k| k.as_str() == s).ok_or_else(|| format!("unknown kind {s:?}"))
    }
}

/// What a hold is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldTarget {
    /// A call, and the run that asked for it.
    Call,
    /// A run or trial, and the calls that it asked for.
    Run,
    App,
    Person,
    /// Calls asked for and runs begun within a span of time.
    Period,
}

impl HoldTarget {
    pub const ALL: [Self; 5] = [Self::Call, Self::Run, Self::App, Self::Person, Self::Period];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Run => "run",
            Self::App => "app",
            Self::Person => "person",
            Self::Period => "period",
        }
    }

    pub fn korean(self) -> &'static str {
        match self {
            Self::Call => "외부호출 한 건",
            Self::Run => "실행 한 건",
            Self::App => "앱",
            Self::Person => "직원",
            Self::Period => "기간",
        }
    }
}

impl std::str::FromStr for HoldTarget {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|t| t.as_str() == s).ok_or_else(|| format!("unknown target {s:?}"))
    }
}

/// A retention as set.
#[derive(Debug, Clone, Serialize)]
pub struct Retention {
    pub kind: TextKind,
    pub days: i64,
    /// Who set it and when, Unix milliseconds; `None`: the default.
    pub changed: Option<(String, i64)>,
}

/// A hold about to be placed.
pub struct NewHold<'a> {
    pub target: HoldTarget,
    /// An identifier; for a person a login too. Not read for a period.
    pub subject: &'a str,
    /// Unix milliseconds, inclusive and exclusive: a period's.
    pub from: Option<i64>,
    pub until: Option<i64>,
    pub reason: &'a str,
}

/// A hold.
#[derive(Debug, Clone, Serialize)]
pub struct Hold {
    pub id: String,
    pub target: HoldTarget,
    pub subject: String,
    /// What it is of, for people.
    pub subject_name: String,
    pub from: Option<i64>,
    pub until: Option<i64>,
    pub reason: String,
    pub placed_by: String,
    pub placed_at: i64,
    pub lifted_by: Option<String>,
    pub lifted_at: Option<i64>,
    pub lift_reason: String,
}

pub(crate) fn require_keeper(scope: &Scope) -> Result<()> {
    let may = scope.has_role(Role::Security) || scope.has_role(Role::Admin);
    if may && scope.token().is_none() {
        Ok(())
    } else {
        Err(StoreError::denied("보안담당과 운영자만 할 수 있는 일입니다."))
    }
}

impl Store {
    /// How long texts of each kind are kept.
    pub async fn retention(&self, scope: &Scope) -> Result<Vec<Retention>> {
        require_keeper(scope)?;
        let rows = sqlx::query(
            "SELECT r.kind, r.days, p.name, r.changed_at FROM retention_rules r JOIN people p ON p.id = r.changed_by",
        )
        .fetch_all(&self.pool)
        .await?;
        let mut out = TextKind::ALL.map(|kind| Retention { kind, days: DEFAULT_DAYS, changed: None });
        for r in &rows {
            let kind: TextKind = r.parsed("kind")?;
            for set in out.iter_mut().filter(|set| set.kind == kind) {
                set.days = r.int("days")?;
                set.changed = Some((r.text("name")?, r.int("changed_at")?));
            }
        }
        Ok(out.into())
    }

    pub(crate) async fn retention_days(&self, kind: TextKind) -> Result<i64> {
        let row = sqlx::query("SELECT days FROM retention_rules WHERE kind = $1")
            .bind(kind.as_str())
            .fetch_optional(&self.pool)
            .await?;
        row.map_or(Ok(DEFAULT_DAYS), |r| r.int("days"))
    }

    /// Sets how long texts of a kind are kept, with a reason for the record. Fewer days wait for a second person: then
    /// it returns the proposal.
    ///
    /// # Errors
    /// [`StoreError::Denied`] for all but security officers and admins; for fewer days, for all but security officers.
    pub async fn set_retention(
        &self,
        scope: &Scope,
        kind: TextKind,
        days: i64,
        reason: &str,
    ) -> Result<Option<String>> {
        require_keeper(scope)?;
        if !DAYS.contains(&days) {
            let words = format!("보존기간은 {}일부터 {}일 사이로 정해 주세요.", DAYS.start(), DAYS.end());
            return Err(StoreError::invalid("days", words));
        }
        let mut tx = self.write().await?;
        if days < tx.retention_days(kind).await? {
            drop(tx);
            let id = self.propose_keeping(scope, &Change::Shorten { kind, days }, reason).await?;
            return Ok(Some(id));
        }
        tx.put_retention(scope, kind, days, reason, None).await?;
        tx.commit().await?;
        Ok(None)
    }

    /// All holds, those in force first.
    pub async fn holds(&self, scope: &Scope) -> Result<Vec<Hold>> {
        require_keeper(scope)?;
        let rows = sqlx::query(
            "SELECT h.id, h.target, h.subject, h.from_at, h.until_at, h.reason, p.name AS placed_by, h.placed_at, l.name AS lifted_by, \
             h.lifted_at, h.lift_reason, (SELECT s.name FROM people s WHERE s.id = h.subject) AS person_name, \
             (SELECT MAX(v.title) FROM app_versions v WHERE v.app_id = h.subject) AS app_title \
             FROM legal_holds h JOIN people p ON p.id = h.placed_by LEFT JOIN people l ON l.id = h.lifted_by \
             ORDER BY CASE WHEN h.lifted_at IS NULL THEN 0 ELSE 1 END, h.placed_at DESC LIMIT 500",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(hold).collect()
    }

    /// Places a hold: what it is of is not deleted until it is lifted.
    pub async fn place_hold(&self, scope: &Scope, new: NewHold<'_>) -> Result<String> {
        require_keeper(scope)?;
        let (subject, from, until) = match new.target {
            HoldTarget::Period => match (new.from, new.until) {
                (Some(from), Some(until)) if from < until => (String::new(), Some(from), Some(until)),
                _ => return Err(StoreError::invalid("from", "기간의 첫날과 끝날을 적어 주세요.")),
            },
            target => (self.hold_subject(target, new.subject.trim()).await?, None, None),
        };
        let id = Uuid::now_v7().to_string();
        let mut tx = self.write().await?;
        sqlx::query(
            "INSERT INTO legal_holds (id, target, subject, from_at, until_at, reason, placed_by, placed_at, lift_reason) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, '')",
        )
        .bind(id.clone())
        .bind(new.target.as_str())
        .bind(subject.clone())
        .bind(from)
        .bind(until)
        .bind(new.reason.to_owned())
        .bind(scope.person().to_string())
        .bind(tx.now)
        .execute(&mut *tx.tx)
        .await?;
        let detail = json!({
            "hold": id, "target": new.target, "subject": subject, "from": from, "to": until, "reason": new.reason,
        });
        tx.append(Event::new("legal_hold_placed", Some(scope.person()), detail)).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// The identifier that a hold is of, checked to be one of something.
    async fn hold_subject(&self, target: HoldTarget, subject: &str) -> Result<String> {
        let sql = match target {
            HoldTarget::Call => "SELECT id FROM external_calls WHERE id = $1",
            HoldTarget::Run => "SELECT id FROM runs WHERE id = $1",
            HoldTarget::App => "SELECT id FROM apps WHERE id = $1",
            HoldTarget::Person | HoldTarget::Period => "SELECT id FROM people WHERE id = $1 OR login = $1",
        };
        let row = sqlx::query(sql).bind(subject.to_owned()).fetch_optional(&self.pool).await?;
        row.ok_or_else(|| {
            StoreError::invalid(
                "subject",
                "붙잡을 외부호출·실행·앱·직원을 찾지 못했습니다. 번호나 아이디를 확인해 주세요.",
            )
        })?
        .text("id")
    }

    /// Proposes to lift a hold, with a reason; the proposal.
    ///
    /// # Errors
    /// [`StoreError::Denied`] for all but security officers, [`StoreError::NotFound`] where it is not in force.
    pub async fn lift_hold(&self, scope: &Scope, id: &str, reason: &str) -> Result<String> {
        require_security(scope)?;
        let open = sqlx::query("SELECT id FROM legal_holds WHERE id = $1 AND lifted_at IS NULL")
            .bind(id.to_owned())
            .fetch_optional(&self.pool)
            .await?;
        open.ok_or(StoreError::NotFound)?;
        self.propose_keeping(scope, &Change::Lift { hold: id.to_owned() }, reason).await
    }
}

impl WriteTx {
    async fn retention_days(&mut self, kind: TextKind) -> Result<i64> {
        let row = sqlx::query("SELECT days FROM retention_rules WHERE kind = $1")
            .bind(kind.as_str())
            .fetch_optional(&mut *self.tx)
            .await?;
        row.map_or(Ok(DEFAULT_DAYS), |r| r.int("days"))
    }

    /// Sets a retention. `proposed`: the proposal that a second person confirms by it, and by whom it was made.
    pub(crate) async fn put_retention(
        &mut self,
        scope: &Scope,
        kind: TextKind,
        days: i64,
        reason: &str,
        proposed: Option<(&str, &str)>,
    ) -> Result<()> {
        let before = self.retention_days(kind).await?;
        sqlx::query(
            "INSERT INTO retention_rules (kind, days, changed_by, changed_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (kind) DO UPDATE SET days = excluded.days, changed_by = excluded.changed_by, changed_at = excluded.changed_at",
        )
        .bind(kind.as_str())
        .bind(days)
        .bind(scope.person().to_string())
        .bind(self.now)
        .execute(&mut *self.tx)
        .await?;
        let detail = json!({ "kind": kind, "from": before, "to": days, "reason": reason, "proposal": proposed.map(|(id, _)| id), "proposer": proposed.map(|(_, by)| by) });
        self.append(Event::new("retention_changed", Some(scope.person()), detail)).await?;
        Ok(())
    }

    /// Lifts a hold that a second person confirmed to lift.
    pub(crate) async fn end_hold(
        &mut self,
        scope: &Scope,
        id: &str,
        reason: &str,
        (proposal, proposer): (&str, &str),
    ) -> Result<()> {
        let done = sqlx::query(
            "UPDATE legal_holds SET lifted_by = $1, lifted_at = $2, lift_reason = $3 WHERE id = $4 AND lifted_at IS NULL",
        )
        .bind(scope.person().to_string())
        .bind(self.now)
        .bind(reason.to_owned())
        .bind(id.to_owned())
        .execute(&mut *self.tx)
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::conflict("그 보류는 이미 풀렸습니다."));
        }
        let detail = json!({ "hold": id, "reason": reason, "proposal": proposal, "proposer": proposer });
        self.append(Event::new("legal_hold_lifted", Some(scope.person()), detail)).await?;
        Ok(())
    }
}

fn hold(r: &AnyRow) -> Result<Hold> {
    let subject = r.text("subject")?;
    let named = r.opt_text("person_name")?.or(r.opt_text("app_title")?);
    Ok(Hold {
        id: r.text("id")?,
        target: r.parsed("target")?,
        subject_name: named.unwrap_or_else(|| subject.clone()),
        subject,
        from: r.opt_int("from_at")?,
        until: r.opt_int("until_at")?,
        reason: r.text("reason")?,
        placed_by: r.text("placed_by")?,
        placed_at: r.int("placed_at")?,
        lifted_by: r.opt_text("lifted_by")?,
        lifted_at: r.opt_int("lifted_at")?,
        lift_reason: r.text("lift_reason")?,
    })
}
