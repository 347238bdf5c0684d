//! Where apps come from: forking a version into an app of one's own, and who forked what.

use crate::apps::NewApp;
use crate::ledger::Event;
use crate::row::RowExt;
use crate::{Result, Store, StoreError, WriteTx};
use madang_domain::{AppId, AppVersionId, DepartmentId, DesignSheet, PostId, ReadableCollections, Scope, Source};
use serde::Serialize;
use serde_json::json;

/// An app just forked.
#[derive(Debug, Clone, Serialize)]
pub struct Forked {
    pub app: AppId,
    pub version: AppVersionId,
    /// Names of the source collections that the forker may not read: the copy looks in what they may read instead.
    pub replaced: Vec<String>,
}

/// An app at the other end of a fork, as far as the reader may see it.
#[derive(Debug, Clone, Serialize)]
pub struct Relative {
    pub id: AppId,
    pub title: String,
    /// Empty for an app that no department owns.
    pub department: String,
    /// The version forked.
    pub number: u32,
}

impl Store {
    /// Copies a version (`None`: the one in the store) into a new app of the reader's department, as its version 1.
    /// Nothing of the author's data goes with it.
    pub async fn fork(&self, scope: &Scope, app: AppId, number: Option<u32>) -> Result<Forked> {
        let original = self.app(scope, app).await?;
        let version = match number {
            Some(number) => self.app_version(scope, app, number).await?,
            None => self.current_version(scope, app).await?,
        };
        let readable = self.readable_collections(scope).await?;
        let (sheet, replaced) = without_unreadable(version.sheet, &readable);
        let mut tx = self.write().await?;
        let department = scope.home_department();
        let owner_post = match department {
            Some(department) => tx.post_of(scope, department).await?,
            None => None,
        };
        let copy = tx
            .insert_app(&NewApp {
                slug: None,
                icon: original.icon,
                owner_department: department,
                owner_post,
                created_by: Some(scope.person()),
                forked_from: Some(version.id),
            })
            .await?;
        let note = fork_note(version.number, replaced.len());
        let (copied, _) = tx.insert_version(copy, &sheet, &note, Some(scope.person())).await?;
        let detail = json!({ "app": copy, "from_app": app, "from_version": version.id, "replaced": replaced.len() });
        tx.append(Event::new("app_forked", Some(scope.person()), detail)).await?;
        tx.commit().await?;
        Ok(Forked { app: copy, version: copied, replaced })
    }

    /// What the app was forked from, where the reader may see that.
    pub async fn forked_from(&self, scope: &Scope, app: AppId) -> Result<Option<Relative>> {
        let Some(from) = self.app(scope, app).await?.forked_from else { return Ok(None) };
        let version = match self.version(scope, from).await {
            Ok(version) => version,
            Err(StoreError::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        let original = self.app(scope, version.app).await?;
        Ok(Some(Relative {
            id: original.id,
            title: version.sheet.title,
            department: original.department_name.unwrap_or_default(),
            number: version.number,
        }))
    }

    /// Apps forked from any version of this one, as far as the reader may see them, latest first.
    pub async fn forks(&self, scope: &Scope, app: AppId) -> Result<Vec<Relative>> {
        self.app(scope, app).await?;
        let rows = sqlx::query(
            "SELECT f.id, v.number FROM apps f JOIN app_versions v ON v.id = f.forked_from \
             WHERE v.app_id = $1 AND f.deleted_at IS NULL ORDER BY f.created_at DESC LIMIT 100",
        )
        .bind(app.to_string())
        .fetch_all(&self.pool)
        .await?;
        let mut out = Vec::new();
        for row in &rows {
            let id: AppId = row.parsed("id")?;
            let (fork, shown) = match (self.app(scope, id).await, self.current_version(scope, id).await) {
                (Ok(fork), Ok(shown)) => (fork, shown),
                (Err(StoreError::NotFound), _) | (_, Err(StoreError::NotFound)) => continue,
                (Err(error), _) | (_, Err(error)) => return Err(error),
            };
            out.push(Relative {
                id,
                title: shown.sheet.title,
                department: fork.department_name.unwrap_or_default(),
                number: crate::apps::number(row, "number")?,
            });
        }
        Ok(out)
    }
}

impl WriteTx {
    /// The post through which the reader belongs to a department.
    async fn post_of(&mut self, scope: &Scope, department: DepartmentId) -> Result<Option<PostId>> {
        let row = sqlx::query(
            "SELECT o.id FROM post_holders h JOIN posts o ON o.id = h.post_id \
             WHERE h.person_id = $1 AND o.department_id = $2 AND o.deleted_at IS NULL ORDER BY h.since LIMIT 1",
        )
        .bind(scope.person().to_string())
        .bind(department.to_string())
        .fetch_optional(&mut *self.tx)
        .await?;
        row.map(|r| r.parsed("id")).transpose()
    }
}

/// Sources that the reader may not read become one [`Source::Readable`]; their names come back.
fn without_unreadable(mut sheet: DesignSheet, readable: &ReadableCollections) -> (DesignSheet, Vec<String>) {
    let mut replaced = Vec::new();
    sheet.sources.retain(|source| match source {
        Source::Collection { id, name, .. } if !readable.contains(*id) => {
            replaced.push(name.clone());
            false
        }
        _ => true,
    });
    if !replaced.is_empty() && !sheet.sources.contains(&Source::Readable) {
        sheet.sources.push(Source::Readable);
    }
    (sheet, replaced)
}

fn fork_note(number: u32, replaced: usize) -> String {
    match replaced {
        0 => format!("{number}판을 복제했습니다."),
        n => format!("{number}판을 복제했습니다. 볼 수 없는 자료 {n}개는 ‘내가 볼 수 있는 자료’로 바꾸었습니다."),
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // readers made up for the test
mod tests {
    use super::*;
    use madang_domain::{CollectionId, OutputForm, OutsideCalls, TaskKind};

    fn sheet(sources: Vec<Source>) -> DesignSheet {
        DesignSheet {
            title: "조례".into(),
            purpose: "조례를 찾는다.".into(),
            task: TaskKind::QuestionAnswering,
            sentences: vec![],
            inputs: vec![],
            sources,
            output: OutputForm::Answer,
            schedule: None,
            outside: OutsideCalls::Never,
        }
    }

    #[test]
    fn unreadable_sources_do_not_travel() {
        let (mine, theirs) = (CollectionId::new(), CollectionId::new());
        let source = |id, name: &str| Source::Collection { id, name: name.into(), guessed: false };
        let readable = ReadableCollections::resolved(vec![mine]);
        let (copy, replaced) =
            without_unreadable(sheet(vec![source(mine, "우리 조례"), source(theirs, "남의 자료")]), &readable);
        assert_eq!(copy.sources, [source(mine, "우리 조례"), Source::Readable]);
        assert_eq!(replaced, ["남의 자료"]);
        let (copy, replaced) = without_unreadable(sheet(vec![source(mine, "우리 조례")]), &readable);
        assert_eq!((copy.sources.len(), replaced.len()), (1, 0));
        let (copy, _) = without_unreadable(sheet(vec![Source::Readable, source(theirs, "남의 자료")]), &readable);
        assert_eq!(copy.sources, [Source::Readable]);
    }
}
