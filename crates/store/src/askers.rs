//! What the rules for outside calls ask of whoever asks: login and the line of departments above them; and what grade
//! the sources once had. What follows from it is decided in `gateway`.

use crate::row::RowExt;
use crate::{Result, Store, StoreError};
use madang_domain::{CollectionId, DepartmentId, Grade, Scope};
use madang_policy::Unit;
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

    /// Highest grade that any of these collections had before a named officer lowered it.
    pub async fn regraded_from(&self, collections: &[CollectionId]) -> Result<Option<Grade>> {
        let mut highest = None;
        for id in collections {
            let row = sqlx::query("SELECT regraded_from FROM collections WHERE id = $1")
                .bind(id.to_string())
                .fetch_optional(&self.pool)
                .await?;
            if let Some(row) = row {
                highest = highest.max(row.opt_parsed("regraded_from")?);
            }
        }
        Ok(highest)
    }
}
