//! Changing collections: who owns one, its grade, its readers, its end. Each change is a record. Reading them is
//! `collections`; the rules of who may are `rights`.

use crate::collections::BATCH;
use crate::ledger::Event;
use crate::people::checked_name;
use crate::rights::{changeable, departments_of_reader, placeholders, readable};
use crate::row::RowExt;
use crate::{Result, Store, StoreError, WriteTx};
use madang_domain::{CollectionId, DepartmentId, DocumentId, Grade, Scope};
use serde_json::json;
use sqlx::AssertSqlSafe;

/// Longest description, characters.
const MAX_DESCRIPTION: usize = 300;
/// Longest reason for a lower grade, characters.
const MAX_REASON: usize = 300;
/// Shortest reason that says anything, characters.
const MIN_REASON: usize = 5;
/// Most reader departments of one collection.
const MAX_READERS: usize = 500;

/// A collection to be made.
#[derive(Debug, Clone)]
pub struct NewCollection {
    pub name: String,
    pub description: String,
    /// Owning department; `None`: the reader.
    pub department: Option<DepartmentId>,
    pub grade: Grade,
}

/// What to change of a collection; `None` leaves as it is.
#[derive(Debug, Clone, Default)]
pub struct CollectionChange {
    pub name: Option<String>,
    pub description: Option<String>,
    pub grade: Option<Grade>,
    /// Why the grade is lowered; asked for then only.
    pub reason: Option<String>,
    /// Department to which a personal collection is handed.
    pub department: Option<DepartmentId>,
}

/// What the deletion of a collection took along.
#[derive(Debug, Clone)]
pub struct DeletedCollection {
    /// Originals that may now be without a document.
    pub originals: Vec<String>,
    /// Documents removed, to be stopped where they are being read.
    pub documents: Vec<DocumentId>,
}

/// A collection about to be changed.
pub(crate) struct Held {
    pub(crate) owner_department: Option<DepartmentId>,
    grade: Grade,
    /// Highest grade that it had before it was lowered.
    regraded_from: Option<Grade>,
    everyone: bool,
}

impl Store {
    /// Makes an empty collection, readable by its owner alone.
    ///
    /// # Errors
    /// [`StoreError::Denied`] for a department that the reader does not belong to.
    pub async fn create_collection(&self, scope: &Scope, new: NewCollection) -> Result<CollectionId> {
        let name = checked_name("name", &new.name, "모음 이름")?;
        let description = checked_description(&new.description)?;
        let id = CollectionId::new();
        let mut tx = self.write().await?;
        if let Some(department) = new.department {
            tx.member_of(scope, department).await?;
        }
        let owner_person = new.department.is_none().then(|| scope.person().to_string());
        sqlx::query(
            "INSERT INTO collections (id, name, description, owner_department, owner_person, grade, everyone, created_by, \
             created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8, $8)",
        )
        .bind(id.to_string())
        .bind(name)
        .bind(description)
        .bind(new.department.map(|d| d.to_string()))
        .bind(owner_person)
        .bind(new.grade.letter())
        .bind(scope.person().to_string())
        .bind(tx.now)
        .execute(&mut *tx.tx)
        .await?;
        let detail = json!({ "collection": id, "department": new.department, "grade": new.grade });
        tx.append(Event::new("collection_created", Some(scope.person()), detail)).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Changes name, description, grade or owner. Raising the grade is open to all who may change the collection, and
    /// closes a classified one to everyone; lowering it takes a manager of the owning department, at a screen, with a
    /// reason that is recorded.
    pub async fn change_collection(&self, scope: &Scope, id: CollectionId, change: CollectionChange) -> Result<()> {
        let name = change.name.as_deref().map(|n| checked_name("name", n, "모음 이름")).transpose()?;
        let description = change.description.as_deref().map(checked_description).transpose()?;
        let mut tx = self.write().await?;
        let held = tx.changeable_collection(scope, id).await?;
        if let Some(department) = change.department {
            if held.owner_department.is_some() {
                return Err(StoreError::invalid("department", "이미 부서의 모음입니다."));
            }
            tx.member_of(scope, department).await?;
        }
        let grade = change.grade.unwrap_or(held.grade);
        let reason = change.reason.as_deref().unwrap_or_default().trim();
        if grade < held.grade {
            may_lower(scope, held.owner_department, reason)?;
        }
        let everyone = held.everyone && grade != Grade::Classified;
        let lowered = (grade < held.grade).then(|| held.regraded_from.map_or(held.grade, |g| g.max(held.grade)));
        sqlx::query(
            "UPDATE collections SET name = COALESCE($2, name), description = COALESCE($3, description), grade = $4, \
             everyone = $5, updated_at = $6, owner_department = COALESCE($7, owner_department), \
             owner_person = CASE WHEN $7 IS NULL THEN owner_person ELSE NULL END, \
             regraded_from = COALESCE($8, regraded_from) WHERE id = $1",
        )
        .bind(id.to_string())
        .bind(name)
        .bind(description)
        .bind(grade.letter())
        .bind(i64::from(everyone))
        .bind(tx.now)
        .bind(change.department.map(|d| d.to_string()))
        .bind(lowered.map(|g| g.letter()))
        .execute(&mut *tx.tx)
        .await?;
        let mut detail = json!({ "collection": id });
        if grade != held.grade {
            detail["grade"] = json!({ "from": held.grade, "to": grade });
        }
        if grade < held.grade {
            detail["reason"] = json!(reason);
        }
        if let Some(department) = change.department {
            detail["handed_to"] = json!(department);
        }
        if held.everyone != everyone {
            detail["everyone"] = json!(everyone);
        }
        let action = if grade < held.grade { "grade_lowered" } else { "collection_changed" };
        tx.append(Event::new(action, Some(scope.person()), detail)).await?;
        tx.commit().await
    }

    /// Names who may read beside the owner: everyone, or these departments. Counts from the next query on.
    pub async fn set_collection_readers(
        &self,
        scope: &Scope,
        id: CollectionId,
        everyone: bool,
        departments: &[DepartmentId],
    ) -> Result<()> {
        let mut departments = departments.to_vec();
        departments.sort();
        departments.dedup();
        if departments.len() > MAX_READERS {
            return Err(StoreError::invalid("departments", format!("부서는 {MAX_READERS}개까지 고를 수 있습니다.")));
        }
        let mut tx = self.write().await?;
        let held = tx.changeable_collection(scope, id).await?;
        if everyone && held.grade == Grade::Classified {
            return Err(StoreError::invalid(
                "everyone",
                "기밀(C) 모음은 전 직원에게 열 수 없습니다. 볼 부서를 골라 주세요.",
            ));
        }
        departments.retain(|d| Some(*d) != held.owner_department);
        tx.live_departments(&departments).await?;
        sqlx::query("DELETE FROM collection_readers WHERE collection_id = $1")
            .bind(id.to_string())
            .execute(&mut *tx.tx)
            .await?;
        for department in &departments {
            sqlx::query("INSERT INTO collection_readers (collection_id, department_id) VALUES ($1, $2)")
                .bind(id.to_string())
                .bind(department.to_string())
                .execute(&mut *tx.tx)
                .await?;
        }
        sqlx::query("UPDATE collections SET everyone = $2, updated_at = $3 WHERE id = $1")
            .bind(id.to_string())
            .bind(i64::from(everyone))
            .bind(tx.now)
            .execute(&mut *tx.tx)
            .await?;
        let detail = json!({ "collection": id, "everyone": everyone, "departments": departments });
        tx.append(Event::new("collection_readers_changed", Some(scope.person()), detail)).await?;
        tx.commit().await
    }

    /// Published apps that name the collection as a source.
    pub async fn apps_using_collection(&self, scope: &Scope, id: CollectionId) -> Result<usize> {
        self.collection_summary(scope, id).await?;
        let row = sqlx::query(
            "SELECT COUNT(*) AS n FROM apps a JOIN app_versions v ON v.id = a.published_version \
             WHERE a.deleted_at IS NULL AND v.sheet LIKE $1",
        )
        .bind(format!("%{id}%"))
        .fetch_one(&self.pool)
        .await?;
        row.count("n")
    }

    /// Deletes a collection with its documents and passages at once; the index follows.
    pub async fn delete_collection(&self, scope: &Scope, id: CollectionId) -> Result<DeletedCollection> {
        let mut tx = self.write().await?;
        tx.changeable_collection(scope, id).await?;
        let rows = sqlx::query("SELECT id, original FROM documents WHERE collection_id = $1")
            .bind(id.to_string())
            .fetch_all(&mut *tx.tx)
            .await?;
        let documents = rows.iter().map(|r| r.parsed("id")).collect::<Result<Vec<_>>>()?;
        let originals = rows.iter().map(|r| r.text("original")).collect::<Result<Vec<_>>>()?;
        for statement in [
            "DELETE FROM passages WHERE document_id IN (SELECT id FROM documents WHERE collection_id = $1)",
            "DELETE FROM document_texts WHERE document_id IN (SELECT id FROM documents WHERE collection_id = $1)",
            "INSERT INTO index_removals (document_id, created_at) SELECT id, updated_at FROM documents \
             WHERE collection_id = $1 ON CONFLICT (document_id) DO NOTHING",
            "DELETE FROM documents WHERE collection_id = $1",
            "DELETE FROM collection_readers WHERE collection_id = $1",
            "DELETE FROM watched_files WHERE collection_id = $1",
            "DELETE FROM watched_folders WHERE collection_id = $1",
        ] {
            sqlx::query(statement).bind(id.to_string()).execute(&mut *tx.tx).await?;
        }
        sqlx::query("UPDATE collections SET deleted_at = $2, updated_at = $2 WHERE id = $1")
            .bind(id.to_string())
            .bind(tx.now)
            .execute(&mut *tx.tx)
            .await?;
        let detail = json!({ "collection": id, "documents": documents.len() });
        tx.append(Event::new("collection_deleted", Some(scope.person()), detail)).await?;
        tx.commit().await?;
        Ok(DeletedCollection { originals, documents })
    }
}

/// Lowering a grade needs a named officer and a reason.
fn may_lower(scope: &Scope, owner: Option<DepartmentId>, reason: &str) -> Result<()> {
    let Some(owner) = owner else {
        return Err(StoreError::denied(
            "개인 모음의 등급은 낮출 수 없습니다. 모음을 부서에 넘긴 뒤 부서장이 낮출 수 있습니다.",
        ));
    };
    if !scope.manages(owner) || scope.token().is_some() {
        return Err(StoreError::denied("등급은 주인 부서의 부서장만 낮출 수 있습니다. 부서장에게 요청해 주세요."));
    }
    if !(MIN_REASON..=MAX_REASON).contains(&reason.chars().count()) {
        return Err(StoreError::invalid("reason", "등급을 낮추는 까닭을 5~300자로 적어 주세요. 원장에 남습니다."));
    }
    Ok(())
}

fn checked_description(text: &str) -> Result<String> {
    let text = text.trim();
    if text.chars().count() > MAX_DESCRIPTION || text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(StoreError::invalid("description", format!("설명은 {MAX_DESCRIPTION}자까지 적을 수 있습니다.")));
    }
    Ok(text.to_owned())
}

impl WriteTx {
    /// The collection, if the reader may change it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when they may not even read it, [`StoreError::Denied`] when they may only read it.
    pub(crate) async fn changeable_collection(&mut self, scope: &Scope, id: CollectionId) -> Result<Held> {
        let row = sqlx::query(concat!(
            "SELECT c.owner_department, c.grade, c.regraded_from, c.everyone, CASE WHEN ",
            changeable!(),
            " THEN 1 ELSE 0 END AS can_change FROM collections c WHERE ",
            readable!(),
            " AND c.id = $2"
        ))
        .bind(scope.person().to_string())
        .bind(id.to_string())
        .fetch_one(&mut *self.tx)
        .await?;
        if !row.flag("can_change")? {
            return Err(StoreError::denied("이 모음은 주인만 바꿀 수 있습니다."));
        }
        Ok(Held {
            owner_department: row.opt_parsed("owner_department")?,
            grade: row.parsed("grade")?,
            regraded_from: row.opt_parsed("regraded_from")?,
            everyone: row.flag("everyone")?,
        })
    }

    async fn member_of(&mut self, scope: &Scope, department: DepartmentId) -> Result<()> {
        let sql = concat!(
            "SELECT id FROM departments WHERE id = $2 AND deleted_at IS NULL AND id IN (",
            departments_of_reader!(),
            ")"
        );
        let row = sqlx::query(sql)
            .bind(scope.person().to_string())
            .bind(department.to_string())
            .fetch_optional(&mut *self.tx)
            .await?;
        row.map(|_| ()).ok_or_else(|| StoreError::denied("내가 속한 부서의 모음만 만들 수 있습니다."))
    }

    async fn live_departments(&mut self, departments: &[DepartmentId]) -> Result<()> {
        let mut known = 0;
        for batch in departments.chunks(BATCH) {
            let list = placeholders(1, batch.len());
            let sql = format!("SELECT COUNT(*) AS n FROM departments WHERE deleted_at IS NULL AND id IN ({list})");
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for department in batch {
                query = query.bind(department.to_string());
            }
            known += query.fetch_one(&mut *self.tx).await?.count("n")?;
        }
        if known == departments.len() {
            Ok(())
        } else {
            Err(StoreError::invalid(
                "departments",
                "없어진 부서가 들어 있습니다. 화면을 새로 고친 뒤 다시 골라 주세요.",
            ))
        }
    }
}
