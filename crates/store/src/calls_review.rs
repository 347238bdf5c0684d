//! Outside calls as security officers review them: the filtered list, the calls of a period with what was decided on each,
//! the figures of an app, and sealed texts in order. Nothing here changes a call; reviews themselves are in `reviews`.

use crate::auth::require_security;
use crate::ledger::escape_like;
use crate::rights::placeholders;
use crate::row::RowExt;
use crate::{Result, Store};
use madang_domain::{
    AppId, AppVersionId, CollectionId, DesignSheet, ExternalCallId, Grade, PersonId, ProviderId, RunId, Scope,
};
use serde::Serialize;
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Which calls to list. Empty fields do not filter.
#[derive(Debug, Clone, Default)]
pub struct ReviewFilter {
    /// An identifier, or a part of a name or login.
    pub person: Option<String>,
    /// Identifiers.
    pub department: Option<String>,
    pub app: Option<String>,
    pub provider: Option<String>,
    pub grade: Option<Grade>,
    /// Stored name of a kind of finding.
    pub kind: Option<String>,
    /// Stored name of a policy's verdict.
    pub verdict: Option<String>,
    pub state: Option<String>,
    /// Unix milliseconds, inclusive and exclusive.
    pub from: Option<i64>,
    pub until: Option<i64>,
}

/// A call without its texts.
#[derive(Debug, Clone, Serialize)]
pub struct ReviewedCall {
    pub id: ExternalCallId,
    /// Unix milliseconds.
    pub created_at: i64,
    pub run: RunId,
    pub person: PersonId,
    pub person_name: String,
    pub login: String,
    pub department: String,
    pub department_name: String,
    pub app: AppId,
    pub app_title: String,
    pub version: AppVersionId,
    pub provider: ProviderId,
    pub provider_name: String,
    pub host: String,
    pub model: String,
    pub grade: Grade,
    pub regraded_from: Option<Grade>,
    /// Stored name.
    pub state: String,
    /// Stored name of what the policy said; `None` for calls of before there was one.
    pub verdict: Option<String>,
    pub policy_revision: Option<i64>,
    /// Kind → how many; never the values.
    pub findings: BTreeMap<String, u64>,
    /// The policy's decision and facts, JSON of `madang-policy`.
    #[serde(skip)]
    pub decision: Option<String>,
    #[serde(skip)]
    pub facts: Option<String>,
    #[serde(skip)]
    pub sketch: Option<String>,
    pub body_bytes: u64,
    pub characters: u64,
    pub body_hmac: String,
    pub answered_inside: bool,
    pub approver: Option<PersonId>,
    pub approver_name: Option<String>,
    pub status: Option<i64>,
    pub provider_request_id: Option<String>,
    pub tokens_in: Option<i64>,
    pub tokens_out: Option<i64>,
    /// Micro-won.
    pub won_spent: Option<i64>,
    pub latency_ms: Option<i64>,
    pub reply_from: Option<String>,
    pub decided_at: Option<i64>,
    pub sent_at: Option<i64>,
    pub ended_at: Option<i64>,
    pub erased_at: Option<i64>,
}

/// What one officer decided on a call.
#[derive(Debug, Clone)]
pub struct OfficersDecision {
    pub call: ExternalCallId,
    pub officer: PersonId,
    pub opened_at: Option<i64>,
    pub decided_at: i64,
    pub approved: bool,
}

/// A call's sealed texts.
#[derive(Debug)]
pub struct SealedTexts {
    pub id: ExternalCallId,
    pub created_at: i64,
    pub person_name: String,
    pub app_title: String,
    pub body: String,
    pub reply: Option<String>,
}

/// Runs of a period.
#[derive(Debug, Clone, Default)]
pub struct RunCounts {
    pub runs: u64,
    /// Runs by app.
    pub by_app: HashMap<AppId, u64>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT c.id, c.created_at, c.run_id, c.person_id, p.name AS person_name, p.login, c.department_id, d.name AS department_name, \
             c.app_id, v.title AS app_title, c.version_id, c.provider_id, o.name AS provider_name, c.host, c.model, c.grade, \
             c.regraded_from, c.state, c.verdict, c.policy_revision, c.findings, c.decision, c.facts, c.sketch, c.body_bytes, \
             c.characters, c.body_hmac, c.answered_inside, c.approver, a.name AS approver_name, c.status, c.provider_request_id, \
             c.tokens_in, c.tokens_out, c.won_spent, c.latency_ms, c.reply_from, c.decided_at, c.sent_at, c.ended_at, c.erased_at \
             FROM external_calls c JOIN app_versions v ON v.id = c.version_id JOIN people p ON p.id = c.person_id \
             LEFT JOIN departments d ON d.id = c.department_id JOIN providers o ON o.id = c.provider_id \
             LEFT JOIN people a ON a.id = c.approver WHERE ",
            $rest
        )
    };
}

/// Condition of a [`ReviewFilter`], parameters `$1` to `$11`.
macro_rules! filtered {
    () => {
        "(CAST($1 AS TEXT) IS NULL OR c.person_id = $1 OR p.name LIKE $2 ESCAPE '\\' OR p.login LIKE $2 ESCAPE '\\') \
         AND (CAST($3 AS TEXT) IS NULL OR c.department_id = $3) AND (CAST($4 AS TEXT) IS NULL OR c.app_id = $4) \
         AND (CAST($5 AS TEXT) IS NULL OR c.provider_id = $5) AND (CAST($6 AS TEXT) IS NULL OR c.grade = $6) \
         AND (CAST($7 AS TEXT) IS NULL OR c.findings LIKE $7 ESCAPE '\\') AND (CAST($8 AS TEXT) IS NULL OR c.verdict = $8) \
         AND (CAST($9 AS TEXT) IS NULL OR c.state = $9) AND (CAST($10 AS BIGINT) IS NULL OR c.created_at >= $10) \
         AND (CAST($11 AS BIGINT) IS NULL OR c.created_at < $11)"
    };
}

type Statement = sqlx::query::Query<'static, sqlx::Any, sqlx::any::AnyArguments>;

impl ReviewFilter {
    /// Binds the parameters of `filtered!`.
    fn bound(&self, statement: Statement) -> Statement {
        statement
            .bind(self.person.clone())
            .bind(self.person.as_ref().map(|p| format!("%{}%", escape_like(p))))
            .bind(self.department.clone())
            .bind(self.app.clone())
            .bind(self.provider.clone())
            .bind(self.grade.map(|g| g.letter().to_owned()))
            .bind(self.kind.as_deref().map(found))
            .bind(self.verdict.clone())
            .bind(self.state.clone())
            .bind(self.from)
            .bind(self.until)
    }
}

/// Pattern of findings that hold a kind; `custom` finds every rule of the body's own dictionary.
fn found(kind: &str) -> String {
    let name = serde_json::Value::from(kind).to_string();
    match kind {
        "custom" => r#"%"custom%"#.to_owned(),
        _ => format!("%{}:%", escape_like(&name)),
    }
}

impl Store {
    /// Calls that a filter finds, newest first: at most `limit` after leaving out `offset`.
    pub async fn reviewed_calls(
        &self,
        scope: &Scope,
        filter: &ReviewFilter,
        limit: i64,
        offset: i64,
    ) -> Result<Vec<ReviewedCall>> {
        require_security(scope)?;
        let sql = concat!(select!(""), filtered!(), " ORDER BY c.created_at DESC, c.id DESC LIMIT $12 OFFSET $13");
        let rows = filter.bound(sqlx::query(sql)).bind(limit).bind(offset).fetch_all(&self.pool).await?;
        rows.iter().map(reviewed).collect()
    }

    /// Calls that a filter finds, newest first, older than `before` (time and id): at most `limit`. However many move
    /// meanwhile, none is left out or comes twice.
    pub async fn reviewed_calls_before(
        &self,
        scope: &Scope,
        filter: &ReviewFilter,
        before: Option<(i64, ExternalCallId)>,
        limit: i64,
    ) -> Result<Vec<ReviewedCall>> {
        require_security(scope)?;
        let sql = concat!(
            select!(""),
            filtered!(),
            " AND (c.created_at < $12 OR (c.created_at = $12 AND c.id < $13)) ORDER BY c.created_at DESC, c.id DESC LIMIT $14"
        );
        let rows = filter
            .bound(sqlx::query(sql))
            .bind(before.map_or(i64::MAX, |(at, _)| at))
            .bind(before.map_or_else(String::new, |(_, id)| id.to_string()))
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(reviewed).collect()
    }

    /// Of how many calls something left, or may have left, by grade.
    pub async fn left_by_grade(&self, scope: &Scope) -> Result<HashMap<Grade, u64>> {
        require_security(scope)?;
        let rows = sqlx::query(
            "SELECT grade, COUNT(*) AS n FROM external_calls \
             WHERE sent_at IS NOT NULL AND reply_from IS NULL AND state <> 'failed' GROUP BY grade",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|r| Ok((r.parsed("grade")?, unsigned(r.int("n")?)))).collect()
    }

    /// How many calls a filter finds.
    pub async fn reviewed_calls_count(&self, scope: &Scope, filter: &ReviewFilter) -> Result<usize> {
        require_security(scope)?;
        let sql = concat!(
            "SELECT COUNT(*) AS n FROM external_calls c JOIN people p ON p.id = c.person_id WHERE ",
            filtered!()
        );
        filter.bound(sqlx::query(sql)).fetch_one(&self.pool).await?.count("n")
    }

    /// Decisions of officers on calls that were asked for in a period.
    pub async fn officers_decisions(&self, scope: &Scope, from: i64, until: i64) -> Result<Vec<OfficersDecision>> {
        require_security(scope)?;
        let rows = sqlx::query(
            "SELECT a.call_id, a.person_id, a.opened_at, a.decided_at, a.approved FROM call_approvals a \
             JOIN external_calls c ON c.id = a.call_id WHERE a.decided_at IS NOT NULL AND c.created_at >= $1 AND c.created_at < $2 \
             ORDER BY a.decided_at",
        )
        .bind(from)
        .bind(until)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|r| {
                Ok(OfficersDecision {
                    call: r.parsed("call_id")?,
                    officer: r.parsed("person_id")?,
                    opened_at: r.opt_int("opened_at")?,
                    decided_at: r.int("decided_at")?,
                    approved: r.opt_int("approved")? == Some(1),
                })
            })
            .collect()
    }

    /// What stands in the lists of filters: apps and providers that calls were ever asked for.
    pub async fn reviewed_choices(&self, scope: &Scope) -> Result<(Vec<(String, String)>, Vec<(String, String)>)> {
        require_security(scope)?;
        let apps = "SELECT c.app_id AS id, MAX(v.title) AS name FROM external_calls c JOIN app_versions v ON v.id = c.version_id \
                    GROUP BY c.app_id ORDER BY 2, 1 LIMIT 500";
        let providers = "SELECT id, name FROM providers ORDER BY name, id";
        let read = async |sql: &'static str| {
            let rows = sqlx::query(sql).fetch_all(&self.pool).await?;
            rows.iter().map(|r| Ok((r.text("id")?, r.text("name")?))).collect::<Result<Vec<_>>>()
        };
        Ok((read(apps).await?, read(providers).await?))
    }

    /// Runs of saved apps that were not failures, of a period.
    pub async fn run_counts(&self, scope: &Scope, from: i64, until: i64) -> Result<RunCounts> {
        require_security(scope)?;
        let rows = sqlx::query(
            "SELECT r.app_id, COUNT(*) AS n FROM runs r WHERE r.started_at >= $1 AND r.started_at < $2 \
             AND r.version_id IS NOT NULL AND r.app_id IS NOT NULL AND r.state <> 'failed' GROUP BY r.app_id",
        )
        .bind(from)
        .bind(until)
        .fetch_all(&self.pool)
        .await?;
        let mut out = RunCounts::default();
        for row in &rows {
            let n = u64::try_from(row.int("n")?).unwrap_or(0);
            out.runs += n;
            out.by_app.insert(row.parsed("app_id")?, n);
        }
        Ok(out)
    }

    /// Runs of each app since `since` and, of those, how many led to something that was sent: the store tells everybody.
    pub async fn outside_shares(&self, _: &Scope, since: i64) -> Result<HashMap<AppId, (u64, u64)>> {
        let rows = sqlx::query(
            "SELECT r.app_id, COUNT(*) AS runs, CAST(SUM(CASE WHEN EXISTS (SELECT 1 FROM external_calls c WHERE c.run_id = r.id \
             AND c.sent_at IS NOT NULL AND c.reply_from IS NULL AND c.state <> 'failed') THEN 1 ELSE 0 END) AS BIGINT) AS outside \
             FROM runs r WHERE r.started_at >= $1 AND r.version_id IS NOT NULL AND r.app_id IS NOT NULL AND r.state <> 'failed' \
             AND r.app_id IN (SELECT app_id FROM external_calls WHERE created_at >= $1) GROUP BY r.app_id",
        )
        .bind(since)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|r| Ok((r.parsed("app_id")?, (unsigned(r.int("runs")?), unsigned(r.int("outside")?)))))
            .collect()
    }

    /// The collections that versions of apps look into, with their names.
    pub async fn sources_of_versions(
        &self,
        scope: &Scope,
        versions: &BTreeSet<AppVersionId>,
    ) -> Result<HashMap<AppVersionId, Vec<(CollectionId, String)>>> {
        require_security(scope)?;
        if versions.is_empty() {
            return Ok(HashMap::new());
        }
        let sql = format!("SELECT id, sheet FROM app_versions WHERE id IN ({})", placeholders(1, versions.len()));
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for id in versions {
            query = query.bind(id.to_string());
        }
        let rows = query.fetch_all(&self.pool).await?;
        let names: HashMap<CollectionId, String> = sqlx::query("SELECT id, name FROM collections")
            .fetch_all(&self.pool)
            .await?
            .iter()
            .map(|r| Ok((r.parsed("id")?, r.text("name")?)))
            .collect::<Result<_>>()?;
        rows.iter()
            .map(|r| {
                let sheet: DesignSheet = r.json("sheet")?;
                let named = sheet.collections().into_iter().filter_map(|c| Some((c, names.get(&c)?.clone())));
                Ok((r.parsed("id")?, named.collect()))
            })
            .collect()
    }

    /// Sealed texts that were not deleted, newest first, older than `before` (time and id): at most `limit`.
    pub async fn sealed_texts(
        &self,
        scope: &Scope,
        before: Option<&(i64, String)>,
        limit: i64,
    ) -> Result<Vec<SealedTexts>> {
        require_security(scope)?;
        let rows = sqlx::query(
            "SELECT c.id, c.created_at, p.name AS person_name, v.title AS app_title, c.sealed_body, c.sealed_reply \
             FROM external_calls c JOIN people p ON p.id = c.person_id JOIN app_versions v ON v.id = c.version_id \
             WHERE c.erased_at IS NULL AND c.sealed_body <> '' \
             AND (c.created_at < $1 OR (c.created_at = $1 AND c.id < $2)) ORDER BY c.created_at DESC, c.id DESC LIMIT $3",
        )
        .bind(before.map_or(i64::MAX, |(at, _)| *at))
        .bind(before.map_or_else(String::new, |(_, id)| id.clone()))
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|r| {
                Ok(SealedTexts {
                    id: r.parsed("id")?,
                    created_at: r.int("created_at")?,
                    person_name: r.text("person_name")?,
                    app_title: r.text("app_title")?,
                    body: r.text("sealed_body")?,
                    reply: r.opt_text("sealed_reply")?,
                })
            })
            .collect()
    }

    /// The policy that was in force at a moment, its revision and text; `None` before the first.
    pub async fn policy_for_review(&self, scope: &Scope, at: i64) -> Result<Option<(i64, String)>> {
        require_security(scope)?;
        let row =
            sqlx::query("SELECT revision, text FROM policies WHERE created_at <= $1 ORDER BY revision DESC LIMIT 1")
                .bind(at)
                .fetch_optional(&self.pool)
                .await?;
        row.map(|r| Ok((r.int("revision")?, r.text("text")?))).transpose()
    }

    /// Calls that a provider may have billed: those sent through a provider of this name or host in a period. For the
    /// operator's own command.
    pub async fn calls_of_provider(&self, name: &str, from: i64, until: i64) -> Result<Vec<ReviewedCall>> {
        let rows = sqlx::query(select!(
            "(o.name = $1 OR c.host = $1) AND c.created_at >= $2 AND c.created_at < $3 ORDER BY c.created_at, c.id"
        ))
        .bind(name.to_owned())
        .bind(from)
        .bind(until)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(reviewed).collect()
    }

    /// Names of the providers, deleted ones too: for the operator's own command.
    pub async fn provider_names(&self) -> Result<Vec<String>> {
        let rows = sqlx::query("SELECT name FROM providers ORDER BY name").fetch_all(&self.pool).await?;
        rows.iter().map(|r| r.text("name")).collect()
    }
}

fn reviewed(r: &AnyRow) -> Result<ReviewedCall> {
    Ok(ReviewedCall {
        id: r.parsed("id")?,
        created_at: r.int("created_at")?,
        run: r.parsed("run_id")?,
        person: r.parsed("person_id")?,
        person_name: r.text("person_name")?,
        login: r.text("login")?,
        department: r.text("department_id")?,
        department_name: r.opt_text("department_name")?.unwrap_or_default(),
        app: r.parsed("app_id")?,
        app_title: r.text("app_title")?,
        version: r.parsed("version_id")?,
        provider: r.parsed("provider_id")?,
        provider_name: r.text("provider_name")?,
        host: r.text("host")?,
        model: r.text("model")?,
        grade: r.parsed("grade")?,
        regraded_from: r.opt_parsed("regraded_from")?,
        state: r.text("state")?,
        verdict: r.opt_text("verdict")?,
        policy_revision: r.opt_int("policy_revision")?,
        findings: r.json("findings")?,
        decision: r.opt_text("decision")?,
        facts: r.opt_text("facts")?,
        sketch: r.opt_text("sketch")?,
        body_bytes: unsigned(r.int("body_bytes")?),
        characters: unsigned(r.int("characters")?),
        body_hmac: r.text("body_hmac")?,
        answered_inside: r.flag("answered_inside")?,
        approver: r.opt_parsed("approver")?,
        approver_name: r.opt_text("approver_name")?,
        status: r.opt_int("status")?,
        provider_request_id: r.opt_text("provider_request_id")?,
        tokens_in: r.opt_int("tokens_in")?,
        tokens_out: r.opt_int("tokens_out")?,
        won_spent: r.opt_int("won_spent")?,
        latency_ms: r.opt_int("latency_ms")?,
        reply_from: r.opt_text("reply_from")?,
        decided_at: r.opt_int("decided_at")?,
        sent_at: r.opt_int("sent_at")?,
        ended_at: r.opt_int("ended_at")?,
        erased_at: r.opt_int("erased_at")?,
    })
}

fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}
