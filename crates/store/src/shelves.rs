//! What the store shows: published apps with their figures, reuse across the body, one app's use by department.
//! Filtering and ranking words are the caller's: a body has hundreds of apps, not millions.

use crate::apps::number;
use crate::ratings::Stars;
use crate::rights::placeholders;
use crate::row::RowExt;
use crate::sharing::grade_of;
use crate::{Result, Store};
use madang_domain::{AppId, AppVersionId, CollectionId, DepartmentId, DesignSheet, Grade, ReadableCollections, Scope};
use serde::Serialize;
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;
use std::collections::HashMap;

/// A published app.
#[derive(Debug, Clone, Serialize)]
pub struct StoreApp {
    pub id: AppId,
    /// Name of an icon of the sprite.
    pub icon: String,
    /// `None` for a bundled app.
    pub department: Option<DepartmentId>,
    pub department_name: Option<String>,
    pub version: AppVersionId,
    pub number: u32,
    pub sheet: DesignSheet,
    /// Highest grade among its source collections.
    pub grade: Grade,
    /// The reader may read all its source collections.
    pub ready: bool,
    /// Runs by anybody that were not failures.
    pub uses: usize,
    pub stars: Stars,
    /// Unix milliseconds.
    pub published_at: i64,
}

/// Figures of reuse across the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Reuse {
    /// Published apps.
    pub apps: usize,
    /// Departments that ran an app of another department in the period.
    pub departments_reusing: usize,
    /// Runs in the period.
    pub runs: usize,
}

/// Condition on `runs r`: a use of a version, not a trial and not a failure.
macro_rules! used {
    () => {
        "r.version_id IS NOT NULL AND r.state <> 'failed'"
    };
}

const PUBLISHED: &str = concat!(
    "SELECT a.id, a.icon, a.owner_department, d.name AS department_name, v.id AS version_id, v.number, v.sheet, a.published_at, \
     (SELECT COUNT(*) FROM runs r WHERE r.app_id = a.id AND ",
    used!(),
    ") AS uses, \
     (SELECT CAST(COALESCE(SUM(g.stars), 0) AS BIGINT) FROM ratings g WHERE g.app_id = a.id) AS stars, \
     (SELECT COUNT(*) FROM ratings g WHERE g.app_id = a.id) AS ratings \
     FROM apps a JOIN app_versions v ON v.id = a.published_version LEFT JOIN departments d ON d.id = a.owner_department \
     WHERE a.deleted_at IS NULL"
);

fn store_app(row: &AnyRow) -> Result<StoreApp> {
    Ok(StoreApp {
        id: row.parsed("id")?,
        icon: row.text("icon")?,
        department: row.opt_parsed("owner_department")?,
        department_name: row.opt_text("department_name")?,
        version: row.parsed("version_id")?,
        number: number(row, "number")?,
        sheet: row.json("sheet")?,
        grade: Grade::Open,
        ready: false,
        uses: row.count("uses")?,
        stars: Stars { sum: row.int("stars")?, count: row.int("ratings")? },
        published_at: row.opt_int("published_at")?.unwrap_or_default(),
    })
}

impl Store {
    /// All published apps, newest first: the store is open to everybody who is signed in; `ready` is the reader's.
    pub async fn store_apps(&self, scope: &Scope) -> Result<Vec<StoreApp>> {
        let rows = sqlx::query(AssertSqlSafe(format!("{PUBLISHED} ORDER BY a.published_at DESC, a.id DESC")))
            .fetch_all(&self.pool)
            .await?;
        let mut apps = rows.iter().map(store_app).collect::<Result<Vec<_>>>()?;
        let grades = self.collection_grades(apps.iter().flat_map(|a| a.sheet.collections())).await?;
        let readable = self.readable_collections(scope).await?;
        for app in &mut apps {
            app.judge(&grades, &readable);
        }
        Ok(apps)
    }

    /// Figures of the whole body since `since`, Unix milliseconds.
    pub async fn reuse(&self, _: &Scope, since: i64) -> Result<Reuse> {
        let row = sqlx::query(concat!(
            "SELECT (SELECT COUNT(*) FROM apps WHERE deleted_at IS NULL AND published_version IS NOT NULL) AS apps, \
             (SELECT COUNT(*) FROM runs r WHERE r.started_at >= $1 AND ",
            used!(),
            ") AS runs, (SELECT COUNT(DISTINCT r.department_id) FROM runs r JOIN apps a ON a.id = r.app_id \
             WHERE r.started_at >= $1 AND ",
            used!(),
            " AND a.owner_department <> r.department_id) AS departments"
        ))
        .bind(since)
        .fetch_one(&self.pool)
        .await?;
        Ok(Reuse { apps: row.count("apps")?, departments_reusing: row.count("departments")?, runs: row.count("runs")? })
    }

    /// How often people of the reader's departments ran each app since `since`.
    pub async fn uses_of_my_departments(&self, scope: &Scope, since: i64) -> Result<HashMap<AppId, usize>> {
        let mine = scope.departments();
        if mine.is_empty() {
            return Ok(HashMap::new());
        }
        let sql = format!(
            "SELECT r.app_id, COUNT(*) AS uses FROM runs r WHERE r.started_at >= $1 AND {} AND r.department_id IN ({}) GROUP BY r.app_id",
            used!(),
            placeholders(2, mine.len())
        );
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(since);
        for department in &mine {
            query = query.bind(department.to_string());
        }
        let rows = query.fetch_all(&self.pool).await?;
        rows.iter().map(|r| Ok((r.parsed("app_id")?, r.count("uses")?))).collect()
    }

    /// Uses and stars of one app, published or not, and how many of its runs led to an outside call that was sent.
    pub async fn app_figures(&self, scope: &Scope, app: AppId) -> Result<AppFigures> {
        self.app(scope, app).await?;
        let row = sqlx::query(concat!(
            "SELECT (SELECT COUNT(*) FROM runs r WHERE r.app_id = $1 AND ",
            used!(),
            ") AS uses, (SELECT CAST(COALESCE(SUM(g.stars), 0) AS BIGINT) FROM ratings g WHERE g.app_id = $1) AS stars, \
             (SELECT COUNT(*) FROM ratings g WHERE g.app_id = $1) AS ratings, \
             (SELECT COUNT(DISTINCT e.run_id) FROM external_calls e WHERE e.app_id = $1 AND e.sent_at IS NOT NULL \
             AND e.reply_from IS NULL AND e.state <> 'failed') AS outside"
        ))
        .bind(app.to_string())
        .fetch_one(&self.pool)
        .await?;
        Ok(AppFigures {
            uses: row.count("uses")?,
            stars: Stars { sum: row.int("stars")?, count: row.int("ratings")? },
            outside: row.count("outside")?,
        })
    }

    /// Grade of one collection, also one that its reader may not open; [`Grade::Classified`] for an unknown one.
    pub async fn grade_of_collection(&self, id: CollectionId) -> Result<Grade> {
        Ok(self.collection_grades([id]).await?.get(&id).copied().unwrap_or(Grade::Classified))
    }
}

/// Figures of one app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AppFigures {
    pub uses: usize,
    pub stars: Stars,
    /// Runs after which something was sent outside.
    pub outside: usize,
}

impl StoreApp {
    fn judge(&mut self, grades: &HashMap<CollectionId, Grade>, readable: &ReadableCollections) {
        self.grade = grade_of(&self.sheet, grades);
        self.ready = self.sheet.collections().iter().all(|c| readable.contains(*c));
    }
}
