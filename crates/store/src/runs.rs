//! Runs: one use of one version, or one trial of a draft, by one reader. A run is its reader's own; the app's owner
//! sees how often an app is used and what was reported as wrong, never another person's inputs or answers.

use crate::apps::AppVersion;
use crate::drafts::Draft;
use crate::ledger::{Event, escape_like};
use crate::row::{RowExt, to_json};
use crate::{Result, Store, StoreError};
use madang_domain::{AppId, AppVersionId, Citation, DraftId, Grade, RunId, Scope};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::any::AnyRow;
use std::collections::HashSet;

/// Longest report, characters.
pub const MAX_REPORT: usize = 2000;

/// A filled field, kept as it was labelled then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunInput {
    pub key: String,
    pub label: String,
    pub value: String,
}

/// The engine that answered, kept with the run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RunEngine {
    pub name: String,
    pub label: String,
    /// Writes words of its own.
    pub generates: bool,
}

/// How far a run came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    Running,
    Done,
    Stopped,
    Failed,
}

impl RunState {
    /// Stored name.
    pub fn as_str(self) -> &'static str {
        match self {
            RunState::Running => "running",
            RunState::Done => "done",
            RunState::Stopped => "stopped",
            RunState::Failed => "failed",
        }
    }

    /// Korean word for screens.
    pub fn korean(self) -> &'static str {
        match self {
            RunState::Running => "진행 중",
            RunState::Done => "끝남",
            RunState::Stopped => "멈춤",
            RunState::Failed => "실패",
        }
    }
}

impl std::str::FromStr for RunState {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        [RunState::Running, RunState::Done, RunState::Stopped, RunState::Failed]
            .into_iter()
            .find(|state| state.as_str() == s)
            .ok_or_else(|| format!("unknown state {s:?}"))
    }
}

/// What is run; both come from reads with the reader's rights.
#[derive(Debug, Clone, Copy)]
pub enum RunOf<'a> {
    Version(&'a AppVersion),
    Trial(&'a Draft),
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct RunEnd {
    pub state: RunState,
    /// Markdown as far as it came.
    pub answer: String,
    pub answered: bool,
    pub unfilled: Vec<String>,
    /// Highest grade of the passages used.
    pub grade: Grade,
    /// Korean, for the reader.
    pub error: Option<String>,
    pub citations: Vec<Citation>,
    /// The engine that spoke, where another took over from the one asked at the start.
    pub engine: Option<RunEngine>,
}

/// A run, as its reader sees it.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    pub id: RunId,
    /// `None` for a trial.
    pub app: Option<AppId>,
    pub version: Option<AppVersionId>,
    pub version_number: Option<u32>,
    pub draft: Option<DraftId>,
    /// Title of the app at that time.
    pub title: String,
    pub inputs: Vec<RunInput>,
    pub state: RunState,
    pub answer: String,
    pub answered: bool,
    pub unfilled: Vec<String>,
    pub engine: RunEngine,
    pub grade: Grade,
    pub error: Option<String>,
    /// What the reader reported as wrong.
    pub report: Option<String>,
    pub started_at: i64,
    pub ended_at: Option<i64>,
    /// Those that the reader may open now.
    pub citations: Vec<Citation>,
    /// Citations left out because their passage is gone or no longer readable.
    pub withheld: usize,
    /// When its texts were deleted at the end of their retention; they are empty since.
    pub erased_at: Option<i64>,
}

/// A run in a list.
#[derive(Debug, Clone, Serialize)]
pub struct RunLine {
    pub id: RunId,
    pub app: AppId,
    pub version_number: u32,
    pub title: String,
    pub inputs: Vec<RunInput>,
    /// First characters of the answer.
    pub answer: String,
    pub state: RunState,
    pub engine: RunEngine,
    pub grade: Grade,
    pub citations: usize,
    pub started_at: i64,
    /// When its texts were deleted.
    pub erased_at: Option<i64>,
}

/// Which of the reader's runs to list.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Words in inputs, answer or title.
    pub text: Option<String>,
    pub app: Option<AppId>,
}

/// Uses of an app by one department.
#[derive(Debug, Clone, Serialize)]
pub struct DepartmentUses {
    pub department: String,
    pub uses: usize,
}

/// A report on a wrong answer, without who asked what.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub version_number: u32,
    pub department: String,
    pub report: String,
    pub at: i64,
}

const COLUMNS: &str = "SELECT r.id, r.app_id, r.version_id, v.number, r.draft_id, r.title, r.inputs, r.state, r.answer, \
     r.answered, r.unfilled, r.engine, r.grade, r.error, r.report, r.started_at, r.ended_at, r.erased_at \
     FROM runs r LEFT JOIN app_versions v ON v.id = r.version_id WHERE r.person_id = $1 AND r.id = $2";

/// Condition on `runs r` for a list: `$1` reader, `$2` text pattern or NULL, `$3` app or NULL.
macro_rules! listed {
    () => {
        "r.person_id = $1 AND r.draft_id IS NULL AND r.app_id IS NOT NULL AND (CAST($2 AS TEXT) IS NULL \
         OR r.inputs LIKE $2 ESCAPE '\\' OR r.answer LIKE $2 ESCAPE '\\' OR r.title LIKE $2 ESCAPE '\\') \
         AND (CAST($3 AS TEXT) IS NULL OR r.app_id = $3)"
    };
}

impl Store {
    /// Keeps the beginning of a run.
    pub async fn start_run(
        &self,
        scope: &Scope,
        of: RunOf<'_>,
        inputs: &[RunInput],
        engine: &RunEngine,
    ) -> Result<RunId> {
        let (app, version, draft, title) = match of {
            RunOf::Version(v) => (Some(v.app), Some(v.id), None, &v.sheet.title),
            RunOf::Trial(d) => (None, None, Some(d.id), &d.sheet.title),
        };
        let id = RunId::new();
        let mut tx = self.write().await?;
        sqlx::query(
            "INSERT INTO runs (id, app_id, version_id, draft_id, title, person_id, department_id, inputs, state, answer, answered, \
             unfilled, engine, grade, started_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'running', '', 0, '[]', $9, 'O', $10)",
        )
        .bind(id.to_string())
        .bind(app.map(|a| a.to_string()))
        .bind(version.map(|v| v.to_string()))
        .bind(draft.map(|d| d.to_string()))
        .bind(title)
        .bind(scope.person().to_string())
        .bind(scope.home_department().map(|d| d.to_string()))
        .bind(to_json(&inputs))
        .bind(to_json(engine))
        .bind(tx.now)
        .execute(&mut *tx.tx)
        .await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Keeps the end of a running run, with its citations and a record, at once. A run that has ended already, or was
    /// deleted with its draft, stays as it is.
    pub async fn finish_run(&self, scope: &Scope, id: RunId, end: &RunEnd) -> Result<()> {
        let mut tx = self.write().await?;
        let done = sqlx::query(
            "UPDATE runs SET state = $1, answer = $2, answered = $3, unfilled = $4, grade = $5, error = $6, ended_at = $7, \
             engine = COALESCE($8, engine) WHERE id = $9 AND person_id = $10 AND state = 'running'",
        )
        .bind(end.state.as_str())
        .bind(&end.answer)
        .bind(i64::from(end.answered))
        .bind(to_json(&end.unfilled))
        .bind(end.grade.letter())
        .bind(end.error.clone())
        .bind(tx.now)
        .bind(end.engine.as_ref().map(to_json))
        .bind(id.to_string())
        .bind(scope.person().to_string())
        .execute(&mut *tx.tx)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(());
        }
        for citation in &end.citations {
            sqlx::query("INSERT INTO run_citations (run_id, number, passage_id, document_id, citation) VALUES ($1, $2, $3, $4, $5)")
                .bind(id.to_string())
                .bind(i64::from(citation.number))
                .bind(citation.passage.to_string())
                .bind(citation.document.to_string())
                .bind(to_json(citation))
                .execute(&mut *tx.tx)
                .await?;
        }
        let row = sqlx::query("SELECT app_id, version_id, draft_id FROM runs WHERE id = $1")
            .bind(id.to_string())
            .fetch_one(&mut *tx.tx)
            .await?;
        let documents: HashSet<_> = end.citations.iter().map(|c| c.document).collect();
        let detail = json!({
            "run": id, "app": row.opt_text("app_id")?, "version": row.opt_text("version_id")?,
            "draft": row.opt_text("draft_id")?, "state": end.state, "grade": end.grade,
            "answered": end.answered, "citations": end.citations.len(), "documents": documents.len(),
        });
        tx.append(Event::new("run_ended", Some(scope.person()), detail)).await?;
        tx.commit().await
    }

    /// At start: what a killed server left running has failed, and says so. Returns how many there were.
    pub async fn fail_interrupted_runs(&self) -> Result<u64> {
        let left = sqlx::query("SELECT COUNT(*) AS n FROM runs WHERE state = 'running'")
            .fetch_one(&self.pool)
            .await?
            .int("n")?;
        if left == 0 {
            return Ok(0);
        }
        let mut tx = self.write().await?;
        let done = sqlx::query("UPDATE runs SET state = 'failed', error = $1, ended_at = $2 WHERE state = 'running'")
            .bind("답하는 사이에 서버가 멈췄습니다. 다시 실행해 주세요.")
            .bind(tx.now)
            .execute(&mut *tx.tx)
            .await?;
        tx.append(Event::new("runs_interrupted", None, json!({ "runs": done.rows_affected() }))).await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    }

    /// One run of the reader's own. Citations are checked against the reader's rights now.
    pub async fn run(&self, scope: &Scope, id: RunId) -> Result<Run> {
        let row =
            sqlx::query(COLUMNS).bind(scope.person().to_string()).bind(id.to_string()).fetch_one(&self.pool).await?;
        let kept =
            sqlx::query("SELECT citation FROM run_citations WHERE run_id = $1 AND citation <> '' ORDER BY number")
                .bind(id.to_string())
                .fetch_all(&self.pool)
                .await?;
        let kept = kept.iter().map(|r| r.json::<Citation>("citation")).collect::<Result<Vec<_>>>()?;
        let ids: Vec<_> = kept.iter().map(|c| c.passage).collect();
        let open: HashSet<_> = self.passages(scope, &ids).await?.into_iter().map(|p| p.id).collect();
        let all = kept.len();
        let citations: Vec<_> = kept.into_iter().filter(|c| open.contains(&c.passage)).collect();
        let withheld = all - citations.len();
        run(&row, citations, withheld)
    }

    /// The reader's own runs, newest first, and how many there are in all. Trials are not listed.
    pub async fn runs(
        &self,
        scope: &Scope,
        filter: &RunFilter,
        limit: i64,
        offset: i64,
    ) -> Result<(Vec<RunLine>, usize)> {
        let person = scope.person().to_string();
        let pattern =
            filter.text.as_deref().map(str::trim).filter(|t| !t.is_empty()).map(|t| format!("%{}%", escape_like(t)));
        let app = filter.app.map(|a| a.to_string());
        let total = sqlx::query(concat!("SELECT COUNT(*) AS n FROM runs r WHERE ", listed!()))
            .bind(&person)
            .bind(pattern.clone())
            .bind(app.clone())
            .fetch_one(&self.pool)
            .await?
            .count("n")?;
        let rows = sqlx::query(concat!(
            "SELECT r.id, r.app_id, v.number, r.title, r.inputs, SUBSTR(r.answer, 1, 200) AS answer, r.state, r.engine, r.grade, \
             r.started_at, r.erased_at, (SELECT COUNT(*) FROM run_citations c WHERE c.run_id = r.id) AS citations \
             FROM runs r JOIN app_versions v ON v.id = r.version_id WHERE ",
            listed!(),
            " ORDER BY r.started_at DESC, r.id DESC LIMIT $4 OFFSET $5"
        ))
        .bind(person)
        .bind(pattern)
        .bind(app)
        .bind(limit)
        .bind(offset)
        .fetch_all(&self.pool)
        .await?;
        Ok((rows.iter().map(line).collect::<Result<_>>()?, total))
    }

    /// Apps that the reader has run, with the title of the last run, by title.
    pub async fn apps_run(&self, scope: &Scope) -> Result<Vec<(AppId, String)>> {
        let rows = sqlx::query(
            "SELECT app_id, MAX(title) AS title FROM runs WHERE person_id = $1 AND draft_id IS NULL AND app_id IS NOT NULL \
             GROUP BY app_id ORDER BY 2 LIMIT 200",
        )
        .bind(scope.person().to_string())
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|r| Ok((r.parsed("app_id")?, r.text("title")?))).collect()
    }

    /// Reports a wrong answer of the reader's own run to the app's owner, who sees the words of the report alone.
    pub async fn report_run(&self, scope: &Scope, id: RunId, words: &str) -> Result<()> {
        let words = words.trim();
        if words.is_empty() || words.chars().count() > MAX_REPORT {
            return Err(StoreError::invalid("note", "무엇이 잘못되었는지 1~2,000자로 적어 주세요."));
        }
        let mut tx = self.write().await?;
        let done = sqlx::query(
            "UPDATE runs SET report = $1 WHERE id = $2 AND person_id = $3 AND app_id IS NOT NULL AND state <> 'running' \
             AND erased_at IS NULL",
        )
        .bind(words)
        .bind(id.to_string())
        .bind(scope.person().to_string())
        .execute(&mut *tx.tx)
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::NotFound);
        }
        tx.append(Event::new("run_reported", Some(scope.person()), json!({ "run": id }))).await?;
        tx.commit().await
    }

    /// Reports on an app that the reader owns, newest first.
    pub async fn reports(&self, scope: &Scope, app: AppId, limit: i64) -> Result<Vec<Report>> {
        if !self.app(scope, app).await?.owned {
            return Err(StoreError::denied("앱을 가진 부서만 볼 수 있습니다."));
        }
        let rows = sqlx::query(
            "SELECT v.number, d.name AS department, r.report, r.ended_at FROM runs r JOIN app_versions v ON v.id = r.version_id \
             LEFT JOIN departments d ON d.id = r.department_id WHERE r.app_id = $1 AND r.report IS NOT NULL \
             ORDER BY r.started_at DESC LIMIT $2",
        )
        .bind(app.to_string())
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|r| {
                Ok(Report {
                    version_number: crate::apps::number(r, "number")?,
                    department: r.opt_text("department")?.unwrap_or_default(),
                    report: r.text("report")?,
                    at: r.opt_int("ended_at")?.unwrap_or_default(),
                })
            })
            .collect()
    }

    /// Uses of an app since a time by department, most first; trials do not count.
    pub async fn uses_by_department(&self, scope: &Scope, app: AppId, since: i64) -> Result<Vec<DepartmentUses>> {
        self.app(scope, app).await?;
        let rows = sqlx::query(
            "SELECT d.name AS department, COUNT(*) AS uses FROM runs r JOIN departments d ON d.id = r.department_id \
             WHERE r.app_id = $1 AND r.draft_id IS NULL AND r.started_at >= $2 GROUP BY d.name ORDER BY uses DESC, d.name",
        )
        .bind(app.to_string())
        .bind(since)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|r| Ok(DepartmentUses { department: r.text("department")?, uses: r.count("uses")? })).collect()
    }
}

fn run(row: &AnyRow, citations: Vec<Citation>, withheld: usize) -> Result<Run> {
    Ok(Run {
        id: row.parsed("id")?,
        app: row.opt_parsed("app_id")?,
        version: row.opt_parsed("version_id")?,
        version_number: row.opt_int("number")?.and_then(|n| u32::try_from(n).ok()),
        draft: row.opt_parsed("draft_id")?,
        title: row.text("title")?,
        inputs: row.json("inputs")?,
        state: row.parsed("state")?,
        answer: row.text("answer")?,
        answered: row.flag("answered")?,
        unfilled: row.json("unfilled")?,
        engine: row.json("engine")?,
        grade: row.parsed("grade")?,
        error: row.opt_text("error")?,
        report: row.opt_text("report")?,
        started_at: row.int("started_at")?,
        ended_at: row.opt_int("ended_at")?,
        citations,
        withheld,
        erased_at: row.opt_int("erased_at")?,
    })
}

fn line(row: &AnyRow) -> Result<RunLine> {
    Ok(RunLine {
        id: row.parsed("id")?,
        app: row.parsed("app_id")?,
        version_number: crate::apps::number(row, "number")?,
        title: row.text("title")?,
        inputs: row.json("inputs")?,
        answer: row.text("answer")?,
        state: row.parsed("state")?,
        engine: row.json("engine")?,
        grade: row.parsed("grade")?,
        citations: row.count("citations")?,
        started_at: row.int("started_at")?,
        erased_at: row.opt_int("erased_at")?,
    })
}
