//! Unfinished design sheets. A draft of a new app is its author's alone; a draft of a saved app belongs to the app's
//! owner, and there is one. Each save names the revision it was made from, so that two editors notice each other.

use crate::apps::{NewApp, sheet_digest};
use crate::erasures::run_held;
use crate::ledger::Event;
use crate::rights::{placeholders, readable};
use crate::row::{RowExt, to_json};
use crate::{Result, Store, StoreError, WriteTx};
use madang_domain::{
    AppId, AppVersionId, CollectionId, DepartmentId, DesignSheet, DraftId, PersonId, PostId, Scope, Source, TaskKind,
};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;
use std::collections::HashMap;

/// Most unsaved new apps of one person.
pub const MAX_DRAFTS: i64 = 100;
/// Largest stored sheet, bytes of JSON: far above what the limits of a sound sheet allow.
pub const MAX_SHEET_BYTES: usize = 128 * 1024;

/// Condition on `drafts dr`: person `$1` may read and edit it.
macro_rules! editable {
    () => {
        "((dr.app_id IS NULL AND dr.author = $1) OR EXISTS (SELECT 1 FROM apps a WHERE a.id = dr.app_id AND \
         a.deleted_at IS NULL AND (a.owner_department IN (SELECT ho.department_id FROM posts ho \
         JOIN post_holders hh ON hh.post_id = ho.id WHERE hh.person_id = $1 AND ho.deleted_at IS NULL) \
         OR (a.owner_department IS NULL AND a.created_by = $1))))"
    };
}

const COLUMNS: &str = "SELECT dr.id, dr.app_id, dr.author, dr.edited_by, p.name AS edited_by_name, dr.prompt, \
     dr.composition, dr.sheet, dr.revision, dr.created_at, dr.updated_at FROM drafts dr \
     LEFT JOIN people p ON p.id = dr.edited_by WHERE dr.id = $2 AND ";

/// An unfinished sheet.
#[derive(Debug, Clone, Serialize)]
pub struct Draft {
    pub id: DraftId,
    /// The app it becomes a version of.
    pub app: Option<AppId>,
    pub author: PersonId,
    pub edited_by: PersonId,
    pub edited_by_name: String,
    /// What the author asked for; empty where it began from an app.
    pub prompt: String,
    /// What the composer understood and asks, as it wrote it.
    pub composition: Value,
    pub sheet: DesignSheet,
    /// Counts up with each save.
    pub revision: i64,
    pub created_at: i64,
    pub updated_at: i64,
}

/// A draft in a list.
#[derive(Debug, Clone, Serialize)]
pub struct DraftLine {
    pub id: DraftId,
    pub app: Option<AppId>,
    pub title: String,
    pub purpose: String,
    pub updated_at: i64,
}

/// How a save went.
#[derive(Debug, Clone)]
pub enum DraftUpdate {
    /// The new revision.
    Saved(i64),
    /// Somebody saved in between: the draft as it stands.
    Stale(Box<Draft>),
}

/// A draft that became a version.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct SavedVersion {
    pub app: AppId,
    pub version: AppVersionId,
    pub number: u32,
}

impl Store {
    /// Keeps a new draft of the reader's own.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a source that the reader may not read, [`StoreError::Conflict`] past
    /// [`MAX_DRAFTS`].
    pub async fn create_draft(
        &self,
        scope: &Scope,
        prompt: &str,
        composition: &Value,
        sheet: DesignSheet,
    ) -> Result<DraftId> {
        let sheet = self.checked_sources(scope, sheet, &[]).await?;
        let mut tx = self.write().await?;
        let drafts = sqlx::query("SELECT COUNT(*) AS n FROM drafts WHERE author = $1 AND app_id IS NULL")
            .bind(scope.person().to_string())
            .fetch_one(&mut *tx.tx)
            .await?
            .int("n")?;
        if drafts >= MAX_DRAFTS {
            return Err(StoreError::conflict(
                "쓰다 만 설계서가 100개입니다. 만들기 화면에서 안 쓰는 것을 지운 뒤 다시 해 주세요.",
            ));
        }
        let id = tx.insert_draft(scope, None, prompt, composition, &sheet).await?;
        tx.append(Event::new("draft_created", Some(scope.person()), json!({ "draft": id }))).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// The one draft of an app that the reader owns; begun from its latest version where there is none.
    pub async fn open_app_draft(&self, scope: &Scope, app: AppId) -> Result<DraftId> {
        let latest = self.latest_version(scope, app).await?;
        let mut tx = self.write().await?;
        tx.require_owned(scope, app).await?;
        let known = sqlx::query("SELECT id FROM drafts WHERE app_id = $1")
            .bind(app.to_string())
            .fetch_optional(&mut *tx.tx)
            .await?;
        if let Some(row) = known {
            return row.parsed("id");
        }
        let id = tx.insert_draft(scope, Some(app), "", &json!({}), &latest.sheet).await?;
        tx.append(Event::new("draft_created", Some(scope.person()), json!({ "draft": id, "app": app }))).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// One draft that the reader may edit.
    pub async fn draft(&self, scope: &Scope, id: DraftId) -> Result<Draft> {
        let row = sqlx::query(AssertSqlSafe(format!("{COLUMNS}{}", editable!())))
            .bind(scope.person().to_string())
            .bind(id.to_string())
            .fetch_one(&self.pool)
            .await?;
        draft(&row)
    }

    /// Drafts that the reader edited last and that differ from the latest version of their app, newest first.
    pub async fn own_drafts(&self, scope: &Scope, limit: i64) -> Result<Vec<DraftLine>> {
        let rows = sqlx::query(concat!(
            "SELECT dr.id, dr.app_id, dr.sheet, dr.updated_at, (SELECT v.digest FROM app_versions v \
             WHERE v.app_id = dr.app_id ORDER BY v.number DESC LIMIT 1) AS saved FROM drafts dr \
             WHERE dr.edited_by = $1 AND ",
            editable!(),
            " ORDER BY dr.updated_at DESC LIMIT $2"
        ))
        .bind(scope.person().to_string())
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let mut out = Vec::new();
        for row in &rows {
            let sheet: DesignSheet = row.json("sheet")?;
            if row.opt_text("saved")?.is_none_or(|digest| digest != sheet_digest(&sheet)) {
                out.push(DraftLine {
                    id: row.parsed("id")?,
                    app: row.opt_parsed("app_id")?,
                    title: sheet.title,
                    purpose: sheet.purpose,
                    updated_at: row.int("updated_at")?,
                });
            }
        }
        Ok(out)
    }

    /// Saves a sheet made from `revision`, with what the composer still asks where that changed.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a source that was not there before and that the reader may not read, or for a
    /// sheet beyond [`MAX_SHEET_BYTES`].
    pub async fn update_draft(
        &self,
        scope: &Scope,
        id: DraftId,
        revision: i64,
        sheet: DesignSheet,
        composition: Option<&Value>,
    ) -> Result<DraftUpdate> {
        let before = self.draft(scope, id).await?;
        if before.revision != revision {
            return Ok(DraftUpdate::Stale(Box::new(before)));
        }
        let sheet = self.checked_sources(scope, sheet, &before.sheet.sources).await?;
        let mut tx = self.write().await?;
        let done = sqlx::query(concat!(
            "UPDATE drafts AS dr SET sheet = $3, composition = $4, edited_by = $1, revision = revision + 1, updated_at = $5 \
             WHERE dr.id = $2 AND dr.revision = $6 AND ",
            editable!()
        ))
        .bind(scope.person().to_string())
        .bind(id.to_string())
        .bind(to_json(&sheet))
        .bind(to_json(composition.unwrap_or(&before.composition)))
        .bind(tx.now)
        .bind(revision)
        .execute(&mut *tx.tx)
        .await?;
        tx.commit().await?;
        if done.rows_affected() == 0 {
            return Ok(DraftUpdate::Stale(Box::new(self.draft(scope, id).await?)));
        }
        Ok(DraftUpdate::Saved(revision + 1))
    }

    /// Deletes a draft and its trials; saved versions stay, and so do trials that a hold keeps and the bare rows of
    /// trials whose texts were deleted, which a proof rests on.
    pub async fn delete_draft(&self, scope: &Scope, id: DraftId) -> Result<()> {
        let mut tx = self.write().await?;
        let app = sqlx::query("SELECT app_id FROM drafts WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(&mut *tx.tx)
            .await?
            .ok_or(StoreError::NotFound)?
            .opt_text("app_id")?;
        let done = sqlx::query(concat!("DELETE FROM drafts AS dr WHERE dr.id = $2 AND ", editable!()))
            .bind(scope.person().to_string())
            .bind(id.to_string())
            .execute(&mut *tx.tx)
            .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::NotFound);
        }
        sqlx::query("UPDATE runs SET trial_of = $1 WHERE draft_id = $2")
            .bind(app)
            .bind(id.to_string())
            .execute(&mut *tx.tx)
            .await?;
        for statement in [
            concat!(
                "DELETE FROM run_citations WHERE run_id IN (SELECT r.id FROM runs r WHERE r.draft_id = $1 AND r.erased_at IS NULL AND NOT ",
                run_held!(),
                ")"
            ),
            concat!("DELETE FROM runs AS r WHERE r.draft_id = $1 AND r.erased_at IS NULL AND NOT ", run_held!()),
        ] {
            sqlx::query(statement).bind(id.to_string()).execute(&mut *tx.tx).await?;
        }
        tx.append(Event::new("draft_deleted", Some(scope.person()), json!({ "draft": id }))).await?;
        tx.commit().await
    }

    /// Turns revision `revision` of a draft into the next version of its app, or into a new app. A sheet equal to the
    /// latest version makes none: that version is returned.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when somebody changed the draft meanwhile, [`StoreError::Invalid`] for an unsound
    /// sheet or one whose sources the reader may not read.
    pub async fn save_version(&self, scope: &Scope, id: DraftId, revision: i64, note: &str) -> Result<SavedVersion> {
        let draft = self.draft(scope, id).await?;
        let retained = match draft.app {
            Some(app) => self.latest_version(scope, app).await?.sheet.sources,
            None => Vec::new(),
        };
        let sheet = self.checked_sources(scope, draft.sheet.clone(), &retained).await?;
        if let Some(fault) = sheet.faults().into_iter().next() {
            return Err(StoreError::invalid(&fault.field, fault.message));
        }
        let mut tx = self.write().await?;
        let now = sqlx::query(AssertSqlSafe(format!("{COLUMNS}{}", editable!())))
            .bind(scope.person().to_string())
            .bind(id.to_string())
            .fetch_one(&mut *tx.tx)
            .await?;
        if now.int("revision")? != revision || now.int("revision")? != draft.revision {
            return Err(StoreError::conflict(format!(
                "{}님이 그사이 설계서를 고쳤습니다. 다시 열어 확인한 뒤 저장해 주세요.",
                now.opt_text("edited_by_name")?.unwrap_or_default()
            )));
        }
        let app = match now.opt_parsed("app_id")? {
            Some(app) => {
                tx.require_owned(scope, app).await?;
                if let Some(same) = tx.latest_if_same(app, &sheet).await? {
                    return Ok(same);
                }
                app
            }
            None => tx.app_of_draft(scope, id, &sheet).await?,
        };
        let (version, number) = tx.insert_version(app, &sheet, note, Some(scope.person())).await?;
        tx.commit().await?;
        Ok(SavedVersion { app, version, number })
    }

    /// The sheet with each named source under its true name.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a collection that the reader may not read and that is not among `retained`:
    /// an app's owner may keep a source that a colleague added.
    async fn checked_sources(&self, scope: &Scope, mut sheet: DesignSheet, retained: &[Source]) -> Result<DesignSheet> {
        let names = self.readable_names(scope, &sheet.collections()).await?;
        for (i, source) in sheet.sources.iter_mut().enumerate() {
            let Source::Collection { id, name, .. } = source else { continue };
            let kept = retained.iter().find_map(|r| match r {
                Source::Collection { id: other, name, .. } if other == id => Some(name),
                _ => None,
            });
            *name = match names.get(id).or(kept) {
                Some(known) => known.clone(),
                None => {
                    let field = format!("sources.{i}");
                    return Err(StoreError::invalid(
                        &field,
                        "볼 수 없거나 지워진 자료 모음입니다. 목록에서 다시 골라 주세요.",
                    ));
                }
            };
        }
        if to_json(&sheet).len() > MAX_SHEET_BYTES {
            return Err(StoreError::invalid("sentences", "설계서가 너무 깁니다. 문장을 줄이거나 앱을 나누어 주세요."));
        }
        Ok(sheet)
    }

    async fn readable_names(&self, scope: &Scope, ids: &[CollectionId]) -> Result<HashMap<CollectionId, String>> {
        let mut names = HashMap::new();
        for batch in ids.chunks(100) {
            let sql = format!(
                "SELECT c.id, c.name FROM collections c WHERE {} AND c.id IN ({})",
                readable!(),
                placeholders(2, batch.len())
            );
            let mut query = sqlx::query(AssertSqlSafe(sql)).bind(scope.person().to_string());
            for id in batch {
                query = query.bind(id.to_string());
            }
            for row in query.fetch_all(&self.pool).await? {
                names.insert(row.parsed("id")?, row.text("name")?);
            }
        }
        Ok(names)
    }
}

impl WriteTx {
    async fn insert_draft(
        &mut self,
        scope: &Scope,
        app: Option<AppId>,
        prompt: &str,
        composition: &Value,
        sheet: &DesignSheet,
    ) -> Result<DraftId> {
        let id = DraftId::new();
        sqlx::query(
            "INSERT INTO drafts (id, app_id, owner_department, author, edited_by, prompt, composition, sheet, revision, created_at, updated_at) \
             VALUES ($1, $2, (SELECT owner_department FROM apps WHERE id = $2), $3, $3, $4, $5, $6, 1, $7, $7)",
        )
        .bind(id.to_string())
        .bind(app.map(|a| a.to_string()))
        .bind(scope.person().to_string())
        .bind(prompt)
        .bind(to_json(composition))
        .bind(to_json(sheet))
        .bind(self.now)
        .execute(&mut *self.tx)
        .await
        .map_err(|e| crate::people::duplicate(e, "방금 다른 사람이 이 앱을 고치기 시작했습니다. 다시 열어 주세요."))?;
        Ok(id)
    }

    /// The app that a new draft becomes: of the reader's first department and post, else of the reader.
    async fn app_of_draft(&mut self, scope: &Scope, draft: DraftId, sheet: &DesignSheet) -> Result<AppId> {
        let department = scope.home_department();
        let new = NewApp {
            slug: None,
            icon: icon(sheet.task).to_owned(),
            owner_department: department,
            owner_post: match department {
                Some(department) => self.first_post(scope, department).await?,
                None => None,
            },
            created_by: Some(scope.person()),
            forked_from: None,
        };
        let app = self.insert_app(&new).await?;
        sqlx::query("UPDATE drafts SET app_id = $1, owner_department = $2 WHERE id = $3")
            .bind(app.to_string())
            .bind(department.map(|d| d.to_string()))
            .bind(draft.to_string())
            .execute(&mut *self.tx)
            .await?;
        Ok(app)
    }

    /// The post that the reader holds longest in a department: what they make there belongs to it.
    pub(crate) async fn first_post(&mut self, scope: &Scope, department: DepartmentId) -> Result<Option<PostId>> {
        let row = sqlx::query(
            "SELECT o.id FROM posts o JOIN post_holders h ON h.post_id = o.id WHERE h.person_id = $1 AND o.department_id = $2 \
             AND o.deleted_at IS NULL ORDER BY h.since, o.title LIMIT 1",
        )
        .bind(scope.person().to_string())
        .bind(department.to_string())
        .fetch_optional(&mut *self.tx)
        .await?;
        row.map(|r| r.parsed("id")).transpose()
    }

    async fn latest_if_same(&mut self, app: AppId, sheet: &DesignSheet) -> Result<Option<SavedVersion>> {
        let row =
            sqlx::query("SELECT id, number, digest FROM app_versions WHERE app_id = $1 ORDER BY number DESC LIMIT 1")
                .bind(app.to_string())
                .fetch_optional(&mut *self.tx)
                .await?;
        match row {
            Some(row) if row.text("digest")? == sheet_digest(sheet) => {
                Ok(Some(SavedVersion { app, version: row.parsed("id")?, number: crate::apps::number(&row, "number")? }))
            }
            _ => Ok(None),
        }
    }
}

fn draft(row: &AnyRow) -> Result<Draft> {
    Ok(Draft {
        id: row.parsed("id")?,
        app: row.opt_parsed("app_id")?,
        author: row.parsed("author")?,
        edited_by: row.parsed("edited_by")?,
        edited_by_name: row.opt_text("edited_by_name")?.unwrap_or_default(),
        prompt: row.text("prompt")?,
        composition: row.json("composition")?,
        sheet: row.json("sheet")?,
        revision: row.int("revision")?,
        created_at: row.int("created_at")?,
        updated_at: row.int("updated_at")?,
    })
}

/// Icon of a new app, by what it does.
fn icon(task: TaskKind) -> &'static str {
    match task {
        TaskKind::QuestionAnswering => "quote",
        TaskKind::Summary => "file",
        TaskKind::Draft => "edit",
        TaskKind::Extraction | TaskKind::TableAnalysis => "table",
        TaskKind::Classification => "flag",
        TaskKind::RuleCheck => "check",
    }
}
