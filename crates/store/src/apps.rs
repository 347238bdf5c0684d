//! Apps and their immutable versions, and who may see which: a published app is open to all who are signed in, an
//! unpublished one to its owner. The owner is a department; a person without a department owns what they made.
//!
//! Drafts live in `drafts`, uses in `runs`, approval and ratings elsewhere.

use crate::ledger::Event;
use crate::row::{RowExt, to_json};
use crate::{Result, Store, StoreError, WriteTx};
use madang_domain::{
    AppId, AppVersionId, CollectionId, DepartmentId, DesignSheet, Grade, PersonId, PostId, Scope, TaskKind,
};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::any::AnyRow;

/// Longest note on a version, characters.
pub const MAX_NOTE: usize = 400;

/// Condition on `apps a`: person `$1` belongs to the owner.
macro_rules! owned {
    () => {
        "(a.owner_department IN (SELECT ho.department_id FROM posts ho JOIN post_holders hh ON hh.post_id = ho.id \
         WHERE hh.person_id = $1 AND ho.deleted_at IS NULL) OR (a.owner_department IS NULL AND a.created_by = $1))"
    };
}

/// Condition on `apps a`: person `$1` may see it.
macro_rules! visible {
    () => {
        concat!("(a.deleted_at IS NULL AND (a.published_version IS NOT NULL OR ", owned!(), "))")
    };
}

/// Condition on `apps a` and `app_versions v`: person `$1` may see this version. Others than the owner see what is or
/// was in the store, never a version that nobody approved.
macro_rules! visible_version {
    () => {
        concat!(
            "(",
            visible!(),
            " AND (v.id = a.published_version OR a.slug IS NOT NULL OR ",
            owned!(),
            " OR EXISTS (SELECT 1 FROM submissions su WHERE su.version_id = v.id AND su.state = 'approved')))"
        )
    };
}

macro_rules! app_columns {
    () => {
        concat!(
            "a.id, a.slug, a.icon, a.owner_department, d.name AS department_name, a.owner_post, o.title AS post_title, \
             a.created_by, p.name AS created_by_name, a.published_version, a.forked_from, a.created_at, a.updated_at, \
             a.published_at, CASE WHEN ",
            owned!(),
            " THEN 1 ELSE 0 END AS owned FROM apps a LEFT JOIN departments d ON d.id = a.owner_department \
             LEFT JOIN posts o ON o.id = a.owner_post LEFT JOIN people p ON p.id = a.created_by "
        )
    };
}

macro_rules! version_columns {
    () => {
        "SELECT v.id, v.app_id, v.number, v.sheet, v.digest, v.note, v.created_by, vp.name AS created_by_name, \
         v.created_at FROM app_versions v JOIN apps a ON a.id = v.app_id LEFT JOIN people vp ON vp.id = v.created_by "
    };
}

/// An app, as its reader sees it.
#[derive(Debug, Clone, Serialize)]
pub struct App {
    pub id: AppId,
    /// A bundled app.
    pub slug: Option<String>,
    /// Name of an icon of the sprite.
    pub icon: String,
    pub owner_department: Option<DepartmentId>,
    pub department_name: Option<String>,
    pub owner_post: Option<PostId>,
    pub post_title: Option<String>,
    /// `None` for a bundled app.
    pub created_by: Option<PersonId>,
    pub created_by_name: Option<String>,
    /// The version in the store; `None` while unpublished.
    pub published_version: Option<AppVersionId>,
    /// The version it was forked from.
    pub forked_from: Option<AppVersionId>,
    pub created_at: i64,
    pub updated_at: i64,
    pub published_at: Option<i64>,
    /// The reader belongs to the owner and may edit it.
    pub owned: bool,
}

/// An immutable version.
#[derive(Debug, Clone, Serialize)]
pub struct AppVersion {
    pub id: AppVersionId,
    pub app: AppId,
    /// From 1.
    pub number: u32,
    pub sheet: DesignSheet,
    /// SHA-256 of the sheet, hexadecimal.
    pub digest: String,
    pub note: String,
    pub created_by: Option<PersonId>,
    pub created_by_name: Option<String>,
    pub created_at: i64,
}

/// An app that the reader may edit, for their own list.
#[derive(Debug, Clone, Serialize)]
pub struct OwnApp {
    pub id: AppId,
    pub title: String,
    /// Latest version.
    pub number: u32,
    pub task: TaskKind,
    pub published: bool,
    /// State of the last submission: `waiting`, `approved`, `returned`, `withdrawn`.
    pub submission: Option<String>,
    pub collections: Vec<CollectionId>,
    pub uses: usize,
    pub updated_at: i64,
}

/// An app about to be made.
pub(crate) struct NewApp {
    pub slug: Option<String>,
    pub icon: String,
    pub owner_department: Option<DepartmentId>,
    pub owner_post: Option<PostId>,
    pub created_by: Option<PersonId>,
    pub forked_from: Option<AppVersionId>,
}

/// A bundled app as it is shipped.
#[derive(Debug, Clone)]
pub struct BundledSheet {
    pub slug: String,
    pub icon: String,
    pub sheet: DesignSheet,
}

impl Store {
    /// One app that the reader may see.
    pub async fn app(&self, scope: &Scope, id: AppId) -> Result<App> {
        let row = sqlx::query(concat!("SELECT ", app_columns!(), "WHERE a.id = $2 AND ", visible!()))
            .bind(scope.person().to_string())
            .bind(id.to_string())
            .fetch_one(&self.pool)
            .await?;
        app(&row)
    }

    /// Versions of an app that the reader may see, newest first.
    pub async fn app_versions(&self, scope: &Scope, id: AppId) -> Result<Vec<AppVersion>> {
        let rows = sqlx::query(concat!(
            version_columns!(),
            "WHERE a.id = $2 AND ",
            visible_version!(),
            " ORDER BY v.number DESC"
        ))
        .bind(scope.person().to_string())
        .bind(id.to_string())
        .fetch_all(&self.pool)
        .await?;
        if rows.is_empty() {
            return Err(StoreError::NotFound);
        }
        rows.iter().map(version).collect()
    }

    /// Version `number` of an app.
    pub async fn app_version(&self, scope: &Scope, id: AppId, number: u32) -> Result<AppVersion> {
        let row =
            sqlx::query(concat!(version_columns!(), "WHERE a.id = $2 AND v.number = $3 AND ", visible_version!()))
                .bind(scope.person().to_string())
                .bind(id.to_string())
                .bind(i64::from(number))
                .fetch_one(&self.pool)
                .await?;
        version(&row)
    }

    /// A version by its own id.
    pub async fn version(&self, scope: &Scope, id: AppVersionId) -> Result<AppVersion> {
        let row = sqlx::query(concat!(version_columns!(), "WHERE v.id = $2 AND ", visible_version!()))
            .bind(scope.person().to_string())
            .bind(id.to_string())
            .fetch_one(&self.pool)
            .await?;
        version(&row)
    }

    /// The version that a run uses: the one in the store; of an unpublished app the latest.
    pub async fn current_version(&self, scope: &Scope, id: AppId) -> Result<AppVersion> {
        let row = sqlx::query(concat!(
            version_columns!(),
            "WHERE a.id = $2 AND (v.id = a.published_version OR a.published_version IS NULL) AND ",
            visible_version!(),
            " ORDER BY v.number DESC LIMIT 1"
        ))
        .bind(scope.person().to_string())
        .bind(id.to_string())
        .fetch_one(&self.pool)
        .await?;
        version(&row)
    }

    /// The latest version, saved or published: what its owner edits.
    pub async fn latest_version(&self, scope: &Scope, id: AppId) -> Result<AppVersion> {
        let row = sqlx::query(concat!(
            version_columns!(),
            "WHERE a.id = $2 AND ",
            visible_version!(),
            " ORDER BY v.number DESC LIMIT 1"
        ))
        .bind(scope.person().to_string())
        .bind(id.to_string())
        .fetch_one(&self.pool)
        .await?;
        version(&row)
    }

    /// Apps that the reader may edit, last changed first.
    pub async fn own_apps(&self, scope: &Scope, limit: i64) -> Result<Vec<OwnApp>> {
        let rows = sqlx::query(concat!(
            "SELECT a.id, a.published_version, a.updated_at, v.title, v.number, v.task, v.sheet, \
             (SELECT COUNT(*) FROM runs r WHERE r.app_id = a.id AND r.draft_id IS NULL) AS uses, \
             (SELECT su.state FROM submissions su WHERE su.app_id = a.id ORDER BY su.created_at DESC LIMIT 1) AS submission \
             FROM apps a JOIN app_versions v ON v.app_id = a.id \
             AND v.number = (SELECT MAX(w.number) FROM app_versions w WHERE w.app_id = a.id) \
             WHERE a.deleted_at IS NULL AND ",
            owned!(),
            " ORDER BY a.updated_at DESC LIMIT $2"
        ))
        .bind(scope.person().to_string())
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(own_app).collect()
    }

    /// Why the last submission of an app that the reader owns came back; `None` where it did not.
    pub async fn returned_reason(&self, scope: &Scope, id: AppId) -> Result<Option<String>> {
        let row = sqlx::query(concat!(
            "SELECT su.state, su.reason FROM submissions su JOIN apps a ON a.id = su.app_id WHERE su.app_id = $2 AND ",
            owned!(),
            " ORDER BY su.created_at DESC LIMIT 1"
        ))
        .bind(scope.person().to_string())
        .bind(id.to_string())
        .fetch_optional(&self.pool)
        .await?;
        match row {
            Some(row) if row.text("state")? == "returned" => Ok(Some(row.text("reason")?)),
            _ => Ok(None),
        }
    }

    /// Highest grade of the collections that a sheet names, whether or not the reader may read them, deleted ones too:
    /// deleting a source makes nothing that was derived from it more open. Open for none.
    pub async fn grade_of(&self, collections: &[CollectionId]) -> Result<Grade> {
        Ok(Grade::highest(self.collection_grades(collections.iter().copied()).await?.into_values()))
    }

    /// Brings the bundled apps up to date: published, owned by nobody, a changed sheet as a new version. Returns how
    /// many changed; nothing is written when none did.
    pub async fn sync_bundled(&self, bundled: &[BundledSheet]) -> Result<usize> {
        let rows = sqlx::query(
            "SELECT a.slug, v.digest FROM apps a JOIN app_versions v ON v.id = a.published_version WHERE a.slug IS NOT NULL",
        )
        .fetch_all(&self.pool)
        .await?;
        let known = rows.iter().map(|r| Ok((r.text("slug")?, r.text("digest")?))).collect::<Result<Vec<_>>>()?;
        let changed: Vec<_> =
            bundled.iter().filter(|b| !known.contains(&(b.slug.clone(), sheet_digest(&b.sheet)))).collect();
        if changed.is_empty() {
            return Ok(0);
        }
        let mut tx = self.write().await?;
        for one in &changed {
            tx.sync_one(one).await?;
        }
        tx.commit().await?;
        Ok(changed.len())
    }
}

impl WriteTx {
    /// A new app without a version; the caller adds one in the same transaction.
    pub(crate) async fn insert_app(&mut self, app: &NewApp) -> Result<AppId> {
        let id = AppId::new();
        sqlx::query(
            "INSERT INTO apps (id, slug, icon, owner_department, owner_post, created_by, forked_from, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)",
        )
        .bind(id.to_string())
        .bind(app.slug.clone())
        .bind(&app.icon)
        .bind(app.owner_department.map(|d| d.to_string()))
        .bind(app.owner_post.map(|o| o.to_string()))
        .bind(app.created_by.map(|p| p.to_string()))
        .bind(app.forked_from.map(|v| v.to_string()))
        .bind(self.now)
        .execute(&mut *self.tx)
        .await?;
        Ok(id)
    }

    /// The next version of an app and its record.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when somebody saved one at the same moment.
    pub(crate) async fn insert_version(
        &mut self,
        app: AppId,
        sheet: &DesignSheet,
        note: &str,
        by: Option<PersonId>,
    ) -> Result<(AppVersionId, u32)> {
        let note = checked_note(note)?;
        let last = sqlx::query("SELECT COALESCE(MAX(number), 0) AS n FROM app_versions WHERE app_id = $1")
            .bind(app.to_string())
            .fetch_one(&mut *self.tx)
            .await?
            .int("n")?;
        let (id, number) = (AppVersionId::new(), last + 1);
        let digest = sheet_digest(sheet);
        sqlx::query(
            "INSERT INTO app_versions (id, app_id, number, title, purpose, task, sheet, digest, note, created_by, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(id.to_string())
        .bind(app.to_string())
        .bind(number)
        .bind(&sheet.title)
        .bind(&sheet.purpose)
        .bind(sheet.task.as_str())
        .bind(to_json(sheet))
        .bind(&digest)
        .bind(note)
        .bind(by.map(|p| p.to_string()))
        .bind(self.now)
        .execute(&mut *self.tx)
        .await
        .map_err(|e| crate::people::duplicate(e, "방금 다른 사람이 새 판을 저장했습니다. 다시 열어 확인해 주세요."))?;
        sqlx::query("UPDATE apps SET updated_at = $1 WHERE id = $2")
            .bind(self.now)
            .bind(app.to_string())
            .execute(&mut *self.tx)
            .await?;
        let detail = json!({ "app": app, "version": id, "number": number, "title": sheet.title, "digest": digest });
        self.append(Event::new("app_version_saved", by, detail)).await?;
        Ok((id, u32::try_from(number).map_err(|_| StoreError::Corrupt("number"))?))
    }

    /// Puts a version of this very app into the store.
    pub(crate) async fn set_published(&mut self, app: AppId, version: AppVersionId) -> Result<()> {
        let done = sqlx::query(
            "UPDATE apps SET published_version = $1, published_at = $2, updated_at = $2 WHERE id = $3 AND deleted_at IS NULL \
             AND EXISTS (SELECT 1 FROM app_versions v WHERE v.id = $1 AND v.app_id = $3)",
        )
        .bind(version.to_string())
        .bind(self.now)
        .bind(app.to_string())
        .execute(&mut *self.tx)
        .await?;
        if done.rows_affected() == 0 { Err(StoreError::NotFound) } else { Ok(()) }
    }

    /// Is the reader of the app's owner? Within the transaction, so that a personnel move cannot slip between.
    pub(crate) async fn require_owned(&mut self, scope: &Scope, app: AppId) -> Result<()> {
        let row = sqlx::query(concat!(
            "SELECT CASE WHEN ",
            owned!(),
            " THEN 1 ELSE 0 END AS owned FROM apps a WHERE a.id = $2 AND ",
            visible!()
        ))
        .bind(scope.person().to_string())
        .bind(app.to_string())
        .fetch_one(&mut *self.tx)
        .await?;
        if row.flag("owned")? {
            Ok(())
        } else {
            Err(StoreError::denied("이 앱을 가진 부서만 고칠 수 있습니다. 복제해서 고쳐 쓰실 수 있습니다."))
        }
    }

    async fn sync_one(&mut self, bundled: &BundledSheet) -> Result<()> {
        let known = sqlx::query("SELECT id FROM apps WHERE slug = $1")
            .bind(&bundled.slug)
            .fetch_optional(&mut *self.tx)
            .await?;
        let (app, note) = match known {
            Some(row) => (row.parsed("id")?, "새 배포판의 설계서"),
            None => {
                let new = NewApp {
                    slug: Some(bundled.slug.clone()),
                    icon: bundled.icon.clone(),
                    owner_department: None,
                    owner_post: None,
                    created_by: None,
                    forked_from: None,
                };
                (self.insert_app(&new).await?, "기본 제공 앱")
            }
        };
        let (version, _) = self.insert_version(app, &bundled.sheet, note, None).await?;
        self.set_published(app, version).await
    }
}

fn app(row: &AnyRow) -> Result<App> {
    Ok(App {
        id: row.parsed("id")?,
        slug: row.opt_text("slug")?,
        icon: row.text("icon")?,
        owner_department: row.opt_parsed("owner_department")?,
        department_name: row.opt_text("department_name")?,
        owner_post: row.opt_parsed("owner_post")?,
        post_title: row.opt_text("post_title")?,
        created_by: row.opt_parsed("created_by")?,
        created_by_name: row.opt_text("created_by_name")?,
        published_version: row.opt_parsed("published_version")?,
        forked_from: row.opt_parsed("forked_from")?,
        created_at: row.int("created_at")?,
        updated_at: row.int("updated_at")?,
        published_at: row.opt_int("published_at")?,
        owned: row.flag("owned")?,
    })
}

fn version(row: &AnyRow) -> Result<AppVersion> {
    Ok(AppVersion {
        id: row.parsed("id")?,
        app: row.parsed("app_id")?,
        number: number(row, "number")?,
        sheet: row.json("sheet")?,
        digest: row.text("digest")?,
        note: row.text("note")?,
        created_by: row.opt_parsed("created_by")?,
        created_by_name: row.opt_text("created_by_name")?,
        created_at: row.int("created_at")?,
    })
}

fn own_app(row: &AnyRow) -> Result<OwnApp> {
    let sheet: DesignSheet = row.json("sheet")?;
    Ok(OwnApp {
        id: row.parsed("id")?,
        number: number(row, "number")?,
        task: sheet.task,
        collections: sheet.collections(),
        title: sheet.title,
        published: row.opt_text("published_version")?.is_some(),
        submission: row.opt_text("submission")?,
        uses: row.count("uses")?,
        updated_at: row.int("updated_at")?,
    })
}

pub(crate) fn number(row: &AnyRow, column: &'static str) -> Result<u32> {
    u32::try_from(row.int(column)?).map_err(|_| StoreError::Corrupt(column))
}

/// SHA-256 of the sheet as it is stored, hexadecimal.
pub fn sheet_digest(sheet: &DesignSheet) -> String {
    hex::encode(Sha256::digest(to_json(sheet).as_bytes()))
}

fn checked_note(note: &str) -> Result<String> {
    let note = note.trim();
    if note.chars().count() > MAX_NOTE {
        return Err(StoreError::invalid("note", "판의 설명은 400자까지 쓸 수 있습니다."));
    }
    Ok(note.to_owned())
}
