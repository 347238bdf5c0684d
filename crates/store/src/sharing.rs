//! Sharing an app: submissions and their decisions, withdrawal from the store, rolling back. A version reaches the
//! store only through a manager of the department that owns the app, who neither submitted nor wrote it.
//!
//! What does not live here: the leak test (`registry::leak`), what the store lists (`shelves`).

use crate::apps::number;
use crate::ledger::Event;
use crate::rights::placeholders;
use crate::row::RowExt;
use crate::{Result, Store, StoreError, WriteTx};
use madang_domain::{
    AppId, AppVersionId, CollectionId, DepartmentId, DesignSheet, Grade, PersonId, Scope, Source, SubmissionId,
};
use serde::Serialize;
use serde_json::json;
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;
use std::collections::HashMap;
use std::str::FromStr;

/// Longest note or reason, characters.
pub const MAX_NOTE: usize = 400;
/// A returned submission waits for its submitter this long, milliseconds.
const RETURNED_WAITS_MS: i64 = 30 * 86_400_000;

/// Where a submission stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SubmissionState {
    Waiting,
    Approved,
    Returned,
    Withdrawn,
}

impl SubmissionState {
    /// Stored name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Approved => "approved",
            Self::Returned => "returned",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Korean name, as screens show it.
    pub fn korean(self) -> &'static str {
        match self {
            Self::Waiting => "승인 대기",
            Self::Approved => "승인",
            Self::Returned => "반려",
            Self::Withdrawn => "거둠",
        }
    }
}

impl FromStr for SubmissionState {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        [Self::Waiting, Self::Approved, Self::Returned, Self::Withdrawn]
            .into_iter()
            .find(|state| state.as_str() == s)
            .ok_or_else(|| format!("unknown state {s:?}"))
    }
}

/// A request to publish one version.
#[derive(Debug, Clone, Serialize)]
pub struct Submission {
    pub id: SubmissionId,
    pub app: AppId,
    pub version: AppVersionId,
    pub number: u32,
    pub title: String,
    pub purpose: String,
    pub department: DepartmentId,
    pub department_name: String,
    pub submitted_by: PersonId,
    pub submitter_name: String,
    pub note: String,
    pub state: SubmissionState,
    pub decided_by: Option<String>,
    pub reason: String,
    /// Unix milliseconds.
    pub created_at: i64,
    pub decided_at: Option<i64>,
    /// Highest grade among the sources.
    pub grade: Grade,
    /// The reader manages the department, and neither submitted nor wrote the version.
    pub can_decide: bool,
    #[serde(skip)]
    pub sheet: DesignSheet,
}

/// A submission with what its approver weighs.
#[derive(Debug, Clone, Serialize)]
pub struct SubmissionDetail {
    pub submission: Submission,
    /// Number and sheet of the version in the store now.
    #[serde(skip)]
    pub published: Option<(u32, DesignSheet)>,
    pub sources: Vec<SourceReaders>,
}

/// Who may read a source of the sheet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceReaders {
    pub name: String,
    pub grade: Grade,
    pub readers: Readers,
    /// Departments of the house that may not read it, by name: the app answers them without it.
    pub excluded: Vec<String>,
}

/// Readers of a collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Readers {
    Everyone,
    /// One person's own collection.
    Personal,
    /// Departments by name, the owner first.
    Departments(Vec<String>),
    /// It has been deleted.
    Gone,
}

const SUBMISSION: &str = "SELECT s.id, s.app_id, s.version_id, v.number, v.title, v.purpose, v.sheet, v.created_by AS author, \
     s.department_id, d.name AS department_name, s.submitted_by, p.name AS submitter, s.note, s.state, \
     q.name AS decider, s.reason, s.created_at, s.decided_at FROM submissions s \
     JOIN apps a ON a.id = s.app_id AND a.deleted_at IS NULL JOIN app_versions v ON v.id = s.version_id \
     JOIN departments d ON d.id = s.department_id JOIN people p ON p.id = s.submitted_by \
     LEFT JOIN people q ON q.id = s.decided_by";

fn submission(row: &AnyRow, scope: &Scope) -> Result<Submission> {
    let department = row.parsed("department_id")?;
    let submitted_by: PersonId = row.parsed("submitted_by")?;
    let author: Option<PersonId> = row.opt_parsed("author")?;
    let state: SubmissionState = row.parsed("state")?;
    let own = submitted_by == scope.person() || author == Some(scope.person());
    Ok(Submission {
        id: row.parsed("id")?,
        app: row.parsed("app_id")?,
        version: row.parsed("version_id")?,
        number: number(row, "number")?,
        title: row.text("title")?,
        purpose: row.text("purpose")?,
        department,
        department_name: row.text("department_name")?,
        submitted_by,
        submitter_name: row.text("submitter")?,
        note: row.text("note")?,
        state,
        decided_by: row.opt_text("decider")?,
        reason: row.text("reason")?,
        created_at: row.int("created_at")?,
        decided_at: row.opt_int("decided_at")?,
        grade: Grade::Open,
        can_decide: state == SubmissionState::Waiting && scope.manages(department) && !own,
        sheet: row.json("sheet")?,
    })
}

impl Store {
    /// Asks the owning department's manager to publish a version. For members of that department.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another submission of the app waits or the version is already in the store.
    pub async fn submit(&self, scope: &Scope, app: AppId, version: AppVersionId, note: &str) -> Result<SubmissionId> {
        let note = checked_text("note", note)?;
        let mut tx = self.write().await?;
        let owned = tx.owned_app(scope, app).await?;
        if owned.published == Some(version) {
            return Err(StoreError::conflict("이미 스토어에 있는 판입니다. 고쳐서 새 판을 저장한 뒤 신청해 주세요."));
        }
        let number = tx.version_number(app, version).await?;
        let id = SubmissionId::new();
        sqlx::query(
            "INSERT INTO submissions (id, app_id, version_id, department_id, submitted_by, note, state, reason, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, 'waiting', '', $7)",
        )
        .bind(id.to_string())
        .bind(app.to_string())
        .bind(version.to_string())
        .bind(owned.department.to_string())
        .bind(scope.person().to_string())
        .bind(&note)
        .bind(tx.now)
        .execute(&mut *tx.tx)
        .await
        .map_err(|e| crate::people::duplicate(e, "이 앱의 공유 신청이 이미 승인을 기다립니다. 거둔 뒤 다시 신청해 주세요."))?;
        let detail = json!({ "submission": id, "app": app, "version": version, "number": number });
        tx.append(Event::new("app_submitted", Some(scope.person()), detail)).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Takes a waiting submission back. For members of the owning department.
    pub async fn withdraw_submission(&self, scope: &Scope, id: SubmissionId) -> Result<()> {
        let mut tx = self.write().await?;
        let found = tx.submission(scope, id).await?;
        if !scope.in_department(found.department) {
            return Err(StoreError::NotFound);
        }
        tx.close_submission(scope, &found, SubmissionState::Withdrawn, "").await?;
        tx.append(Event::new("submission_withdrawn", Some(scope.person()), about(&found))).await?;
        tx.commit().await
    }

    /// Publishes the submitted version. For a manager of the owning department in a browser, never the submitter or
    /// the author of the version.
    pub async fn approve_submission(&self, scope: &Scope, id: SubmissionId, remark: &str) -> Result<AppId> {
        let remark = checked_text("reason", remark)?;
        let mut tx = self.write().await?;
        let found = tx.decidable(scope, id).await?;
        tx.close_submission(scope, &found, SubmissionState::Approved, &remark).await?;
        tx.set_published(found.app, found.version).await?;
        tx.append(Event::new("submission_approved", Some(scope.person()), about(&found))).await?;
        tx.commit().await?;
        Ok(found.app)
    }

    /// Sends a submission back with a reason. Same rights as approving.
    pub async fn return_submission(&self, scope: &Scope, id: SubmissionId, reason: &str) -> Result<()> {
        let reason = checked_text("reason", reason)?;
        if reason.is_empty() {
            return Err(StoreError::invalid(
                "reason",
                "무엇을 고치면 되는지 적어 주세요. 신청한 사람이 그대로 읽습니다.",
            ));
        }
        let mut tx = self.write().await?;
        let found = tx.decidable(scope, id).await?;
        tx.close_submission(scope, &found, SubmissionState::Returned, &reason).await?;
        tx.append(Event::new("submission_returned", Some(scope.person()), about(&found))).await?;
        tx.commit().await
    }

    /// Takes an app out of the store; its versions and past runs stay. For members of the owning department.
    pub async fn unpublish(&self, scope: &Scope, app: AppId, reason: &str) -> Result<()> {
        let reason = checked_text("reason", reason)?;
        let mut tx = self.write().await?;
        let owned = tx.owned_app(scope, app).await?;
        let Some(version) = owned.published else {
            return Err(StoreError::conflict("스토어에 없는 앱입니다."));
        };
        sqlx::query("UPDATE apps SET published_version = NULL, published_at = NULL, updated_at = $1 WHERE id = $2")
            .bind(tx.now)
            .bind(app.to_string())
            .execute(&mut *tx.tx)
            .await?;
        let detail = json!({ "app": app, "version": version, "reason": reason });
        tx.append(Event::new("app_unpublished", Some(scope.person()), detail)).await?;
        tx.commit().await
    }

    /// Puts another approved version in the place of the one in the store. For members of the owning department: what
    /// a manager once approved needs no second approval, and what none approved cannot be reached this way.
    pub async fn roll_back(&self, scope: &Scope, app: AppId, number: u32, reason: &str) -> Result<()> {
        let reason = checked_text("reason", reason)?;
        let mut tx = self.write().await?;
        let owned = tx.owned_app(scope, app).await?;
        let Some(from) = owned.published else {
            return Err(StoreError::conflict("스토어에 없는 앱입니다. 공유 신청을 해 주세요."));
        };
        let version = tx.numbered_version(app, number).await?;
        if version == from {
            return Err(StoreError::conflict("이미 스토어에 있는 판입니다."));
        }
        if !tx.was_approved(version).await? {
            return Err(StoreError::conflict("승인받은 적이 없는 판입니다. 공유 신청을 해 주세요."));
        }
        sqlx::query("UPDATE apps SET published_version = $1, updated_at = $2 WHERE id = $3")
            .bind(version.to_string())
            .bind(tx.now)
            .bind(app.to_string())
            .execute(&mut *tx.tx)
            .await?;
        let detail = json!({ "app": app, "from": from, "to": version, "number": number, "reason": reason });
        tx.append(Event::new("app_rolled_back", Some(scope.person()), detail)).await?;
        tx.commit().await
    }

    /// Submissions that wait for the reader's decision, oldest first.
    pub async fn submissions_to_decide(&self, scope: &Scope) -> Result<Vec<Submission>> {
        let managed: Vec<DepartmentId> = scope.departments().into_iter().filter(|d| scope.manages(*d)).collect();
        let found = self.submissions(scope, "s.state = 'waiting'", &managed, "s.created_at").await?;
        Ok(found.into_iter().filter(|s| s.can_decide).collect())
    }

    /// What the reader's desk decided lately, latest first.
    pub async fn submissions_decided(&self, scope: &Scope) -> Result<Vec<Submission>> {
        let managed: Vec<DepartmentId> = scope.departments().into_iter().filter(|d| scope.manages(*d)).collect();
        let order = "s.decided_at DESC LIMIT 10";
        self.submissions(scope, "s.state IN ('approved', 'returned')", &managed, order).await
    }

    /// Submissions of the reader's own that came back and were not answered yet, latest first.
    pub async fn submissions_returned(&self, scope: &Scope) -> Result<Vec<Submission>> {
        let condition = format!(
            "s.state = 'returned' AND s.submitted_by = '{}' AND s.decided_at > {} \
             AND NOT EXISTS (SELECT 1 FROM submissions n WHERE n.app_id = s.app_id AND n.created_at > s.created_at)",
            scope.person(),
            self.now() - RETURNED_WAITS_MS
        );
        self.submissions(scope, &condition, &scope.departments(), "s.decided_at DESC").await
    }

    /// How many submissions wait for the reader: to decide, or returned to them.
    pub async fn sharing_waits(&self, scope: &Scope) -> Result<usize> {
        Ok(self.submissions_to_decide(scope).await?.len() + self.submissions_returned(scope).await?.len())
    }

    /// The app's latest submission, for members of its department: `None` when there is none or they are not.
    pub async fn latest_submission(&self, scope: &Scope, app: AppId) -> Result<Option<Submission>> {
        let condition = format!("s.app_id = '{app}'");
        let found = self.submissions(scope, &condition, &scope.departments(), "s.created_at DESC LIMIT 1").await?;
        Ok(found.into_iter().next())
    }

    /// Versions of an app that a manager approved once: those that may be rolled back to.
    pub async fn approved_versions(&self, scope: &Scope, app: AppId) -> Result<Vec<AppVersionId>> {
        self.app(scope, app).await?;
        let rows = sqlx::query("SELECT DISTINCT version_id FROM submissions WHERE app_id = $1 AND state = 'approved'")
            .bind(app.to_string())
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|r| r.parsed("version_id")).collect()
    }

    /// One submission with the store's version and the readers of its sources. For members of its department.
    pub async fn submission(&self, scope: &Scope, id: SubmissionId) -> Result<SubmissionDetail> {
        let condition = format!("s.id = '{id}'");
        let mut found = self.submissions(scope, &condition, &scope.departments(), "s.id").await?;
        let submission = found.pop().ok_or(StoreError::NotFound)?;
        let row = sqlx::query(
            "SELECT v.number, v.sheet FROM apps a JOIN app_versions v ON v.id = a.published_version WHERE a.id = $1",
        )
        .bind(submission.app.to_string())
        .fetch_optional(&self.pool)
        .await?;
        let published = row.map(|r| Ok::<_, StoreError>((number(&r, "number")?, r.json("sheet")?))).transpose()?;
        let sources = self.source_readers(&submission.sheet).await?;
        Ok(SubmissionDetail { submission, published, sources })
    }

    /// `condition` and `order` are made of our own words and identifiers alone.
    async fn submissions(
        &self,
        scope: &Scope,
        condition: &str,
        of: &[DepartmentId],
        order: &str,
    ) -> Result<Vec<Submission>> {
        if of.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!(
            "{SUBMISSION} WHERE {condition} AND s.department_id IN ({}) ORDER BY {order}",
            placeholders(1, of.len())
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for department in of {
            query = query.bind(department.to_string());
        }
        let rows = query.fetch_all(&self.pool).await?;
        let mut found = rows.iter().map(|row| submission(row, scope)).collect::<Result<Vec<_>>>()?;
        let grades = self.collection_grades(found.iter().flat_map(|s| s.sheet.collections())).await?;
        for submission in &mut found {
            submission.grade = grade_of(&submission.sheet, &grades);
        }
        Ok(found)
    }

    /// Grades of collections, deleted ones too: what was derived from one keeps its grade.
    pub(crate) async fn collection_grades(
        &self,
        ids: impl IntoIterator<Item = CollectionId>,
    ) -> Result<HashMap<CollectionId, Grade>> {
        let mut ids: Vec<CollectionId> = ids.into_iter().collect();
        ids.sort();
        ids.dedup();
        let mut grades = HashMap::with_capacity(ids.len());
        for some in ids.chunks(500) {
            let sql = format!("SELECT id, grade FROM collections WHERE id IN ({})", placeholders(1, some.len()));
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for id in some {
                query = query.bind(id.to_string());
            }
            for row in query.fetch_all(&self.pool).await? {
                grades.insert(row.parsed("id")?, row.parsed("grade")?);
            }
        }
        Ok(grades)
    }

    async fn source_readers(&self, sheet: &DesignSheet) -> Result<Vec<SourceReaders>> {
        let departments: Vec<(DepartmentId, String)> =
            self.departments().await?.into_iter().map(|d| (d.id, d.name)).collect();
        let mut out = Vec::new();
        for id in sheet.collections() {
            out.push(self.readers_of(id, &departments, sheet).await?);
        }
        Ok(out)
    }

    async fn readers_of(
        &self,
        id: CollectionId,
        all: &[(DepartmentId, String)],
        sheet: &DesignSheet,
    ) -> Result<SourceReaders> {
        let row =
            sqlx::query("SELECT name, grade, everyone, owner_department, deleted_at FROM collections WHERE id = $1")
                .bind(id.to_string())
                .fetch_optional(&self.pool)
                .await?;
        let every = || all.iter().map(|(_, name)| name.clone()).collect::<Vec<_>>();
        let Some(row) = row.filter(|r| matches!(r.opt_int("deleted_at"), Ok(None))) else {
            let name = source_name(sheet, id);
            let grades = self.collection_grades([id]).await?;
            let grade = grades.get(&id).copied().unwrap_or(Grade::Open);
            return Ok(SourceReaders { name, grade, readers: Readers::Gone, excluded: every() });
        };
        let (name, grade) = (row.text("name")?, row.parsed("grade")?);
        // A classified collection is never everybody's.
        if row.flag("everyone")? && grade != Grade::Classified {
            return Ok(SourceReaders { name, grade, readers: Readers::Everyone, excluded: Vec::new() });
        }
        let readers = sqlx::query("SELECT department_id FROM collection_readers WHERE collection_id = $1")
            .bind(id.to_string())
            .fetch_all(&self.pool)
            .await?;
        let owner: Option<DepartmentId> = row.opt_parsed("owner_department")?;
        let mut may: Vec<DepartmentId> = owner.into_iter().collect();
        for reader in &readers {
            may.push(reader.parsed("department_id")?);
        }
        let named =
            |wanted: bool| all.iter().filter(|(d, _)| may.contains(d) == wanted).map(|(_, n)| n.clone()).collect();
        let readers = if may.is_empty() { Readers::Personal } else { Readers::Departments(named(true)) };
        Ok(SourceReaders { name, grade, readers, excluded: named(false) })
    }
}

/// Highest grade among the sheet's collections.
pub(crate) fn grade_of(sheet: &DesignSheet, grades: &HashMap<CollectionId, Grade>) -> Grade {
    Grade::highest(sheet.collections().iter().filter_map(|c| grades.get(c).copied()))
}

fn source_name(sheet: &DesignSheet, wanted: CollectionId) -> String {
    let named = sheet.sources.iter().find_map(|s| match s {
        Source::Collection { id, name, .. } if *id == wanted => Some(name.clone()),
        _ => None,
    });
    named.unwrap_or_default()
}

fn about(submission: &Submission) -> serde_json::Value {
    json!({ "submission": submission.id, "app": submission.app, "version": submission.version, "number": submission.number })
}

/// A note or reason: trimmed, at most [`MAX_NOTE`] characters.
pub(crate) fn checked_text(field: &str, text: &str) -> Result<String> {
    let text = text.trim();
    if text.chars().count() > MAX_NOTE {
        return Err(StoreError::invalid(field, format!("{MAX_NOTE}자까지 쓸 수 있습니다.")));
    }
    Ok(text.to_owned())
}

/// What sharing needs to know of an app that the reader's department owns.
struct Shared {
    department: DepartmentId,
    published: Option<AppVersionId>,
}

impl WriteTx {
    /// # Errors
    /// [`StoreError::Denied`] for another department's app, [`StoreError::Conflict`] for one that no department owns.
    async fn owned_app(&mut self, scope: &Scope, app: AppId) -> Result<Shared> {
        self.require_owned(scope, app).await?;
        let row = sqlx::query("SELECT owner_department, published_version FROM apps WHERE id = $1")
            .bind(app.to_string())
            .fetch_one(&mut *self.tx)
            .await?;
        let department = row.opt_parsed("owner_department")?.ok_or_else(|| {
            StoreError::conflict(
                "부서가 없는 개인의 앱은 공유할 수 없습니다. 운영자에게 직위를 정해 달라고 한 뒤 복제해 주세요.",
            )
        })?;
        Ok(Shared { department, published: row.opt_parsed("published_version")? })
    }

    async fn version_number(&mut self, app: AppId, version: AppVersionId) -> Result<u32> {
        let row = sqlx::query("SELECT number FROM app_versions WHERE id = $1 AND app_id = $2")
            .bind(version.to_string())
            .bind(app.to_string())
            .fetch_one(&mut *self.tx)
            .await?;
        number(&row, "number")
    }

    async fn numbered_version(&mut self, app: AppId, number: u32) -> Result<AppVersionId> {
        let row = sqlx::query("SELECT id FROM app_versions WHERE app_id = $1 AND number = $2")
            .bind(app.to_string())
            .bind(i64::from(number))
            .fetch_one(&mut *self.tx)
            .await?;
        row.parsed("id")
    }

    /// A submission that the reader may see: of a department of theirs.
    async fn submission(&mut self, scope: &Scope, id: SubmissionId) -> Result<Submission> {
        let row = sqlx::query(AssertSqlSafe(format!("{SUBMISSION} WHERE s.id = $1")))
            .bind(id.to_string())
            .fetch_one(&mut *self.tx)
            .await?;
        let found = submission(&row, scope)?;
        if scope.in_department(found.department) { Ok(found) } else { Err(StoreError::NotFound) }
    }

    /// A waiting submission that the reader may decide.
    async fn decidable(&mut self, scope: &Scope, id: SubmissionId) -> Result<Submission> {
        let found = self.submission(scope, id).await?;
        if scope.token().is_some() || !scope.manages(found.department) {
            return Err(StoreError::denied("앱을 가진 부서의 부서장만 할 수 있는 일입니다."));
        }
        if found.state != SubmissionState::Waiting {
            return Err(StoreError::conflict(format!("이미 끝난 신청입니다: {}.", found.state.korean())));
        }
        if !found.can_decide {
            return Err(StoreError::denied(
                "스스로 냈거나 만든 판은 스스로 승인하거나 반려할 수 없습니다. 다른 부서장에게 맡기거나, 운영자에게 부서장을 한 사람 더 정해 달라고 해 주세요.",
            ));
        }
        Ok(found)
    }

    async fn close_submission(
        &mut self,
        scope: &Scope,
        found: &Submission,
        to: SubmissionState,
        reason: &str,
    ) -> Result<()> {
        let done = sqlx::query(
            "UPDATE submissions SET state = $1, decided_by = $2, reason = $3, decided_at = $4 WHERE id = $5 AND state = 'waiting'",
        )
        .bind(to.as_str())
        .bind(scope.person().to_string())
        .bind(reason)
        .bind(self.now)
        .bind(found.id.to_string())
        .execute(&mut *self.tx)
        .await?;
        match done.rows_affected() {
            0 => Err(StoreError::conflict("다른 사람이 먼저 정한 신청입니다. 화면을 새로 고쳐 주세요.")),
            _ => Ok(()),
        }
    }

    async fn was_approved(&mut self, version: AppVersionId) -> Result<bool> {
        let row = sqlx::query("SELECT id FROM submissions WHERE version_id = $1 AND state = 'approved' LIMIT 1")
            .bind(version.to_string())
            .fetch_optional(&mut *self.tx)
            .await?;
        Ok(row.is_some())
    }
}
