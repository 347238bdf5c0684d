//! What the rules for outside calls ask of whoever asks: login and the line of departments above them; and what grade
//! the sources once had. What follows from it is decided in `gateway`.

use crate::row::RowExt;
use crate::{Result, Store, StoreError};
use madang_domain::{CollectionId, DepartmentId, DocumentId, Grade, Scope};
use madang_policy::Unit;
use sqlx::AnyConnection;
use std::collections::HashMap;

/// Who asks, as rules name them.
#[derive(Debug, Clone)]
pub struct Asker {
    pub login: String,
    pub department: DepartmentId,
    /// The department for which they ask and those above it, nearest first.
    pub line: Vec<Unit>,
}

impl Store {
    /// The reader as an asker.
    ///
    /// # Errors
    /// [`StoreError::Denied`] for somebody without a post.
    pub async fn asker(&self, scope: &Scope) -> Result<Asker> {
        let department = scope.home_department().ok_or_else(|| {
            StoreError::denied("맡은 직위가 없어 외부호출을 신청할 수 없습니다. 운영자에게 알려 주세요.")
        })?;
        let row = sqlx::query("SELECT login FROM people WHERE id = $1")
            .bind(scope.person().to_string())
            .fetch_one(&self.pool)
            .await?;
        let all: HashMap<DepartmentId, _> = self.departments().await?.into_iter().map(|d| (d.id, d)).collect();
        let mut line = Vec::new();
        let mut at = Some(department);
        // A ring of departments cannot be made; were there one, its length bounds the walk.
        while let Some(found) = at.and_then(|id| all.get(&id)).filter(|_| line.len() <= all.len()) {
            line.push(Unit::new(found.id.to_string(), &found.name));
            at = found.parent;
        }
        Ok(Asker { login: row.text("login")?, department, line })
    }

    /// What these collections and documents are at this moment.
    pub async fn standing(&self, collections: &[CollectionId], documents: &[DocumentId]) -> Result<Standing> {
        standing(&mut *self.pool.acquire().await?, collections, documents).await
    }
}

/// What the sources of a call are at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The highest of their grades.
    pub grade: Grade,
    /// A document is not there any more, and nothing tells what it would be.
    pub gone: bool,
    /// Highest grade that any of them had before a named officer lowered it.
    pub regraded_from: Option<Grade>,
}

/// As [`Store::standing`], also within a transaction.
pub(crate) async fn standing(
    connection: &mut AnyConnection,
    collections: &[CollectionId],
    documents: &[DocumentId],
) -> Result<Standing> {
    const OF_COLLECTION: &str = "SELECT grade, regraded_from FROM collections WHERE id = $1";
    const OF_DOCUMENT: &str = "SELECT c.grade, c.regraded_from FROM documents d JOIN collections c ON c.id = d.collection_id \
         WHERE d.id = $1";
    let collections = collections.iter().map(|id| (OF_COLLECTION, id.to_string()));
    let all = collections.chain(documents.iter().map(|id| (OF_DOCUMENT, id.to_string())));
    let mut found = Standing { grade: Grade::Open, gone: false, regraded_from: None };
    for (sql, id) in all {
        match sqlx::query(sql).bind(id).fetch_optional(&mut *connection).await? {
            Some(row) => {
                found.grade = found.grade.max(row.parsed("grade")?);
                found.regraded_from = found.regraded_from.max(row.opt_parsed("regraded_from")?);
            }
            None => found.gone = true,
        }
    }
    Ok(found)
}
