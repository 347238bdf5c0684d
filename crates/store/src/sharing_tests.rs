//! The path of an app through the house, on SQLite and, where `MADANG_TEST_POSTGRES` names an empty database, on
//! PostgreSQL: submit, return, approve, use, rate, fork, roll back, hand over, and who may do none of it.

use crate::apps::{BundledSheet, NewApp};
use crate::sharing::{Readers, SubmissionState};
use crate::test_house::{BEGIN, Database, databases, signed_in};
use crate::{Store, StoreError};
use madang_domain::{
    AppId, AppVersionId, CollectionId, DepartmentId, DesignSheet, Grade, OutputForm, OutsideCalls, Role, Scope,
    Sentence, Source, TaskKind,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Two departments: a writer, a manager and a second manager here, an official and a manager there, an admin.
struct House {
    store: Store,
    now: Arc<AtomicI64>,
    here: DepartmentId,
    there: DepartmentId,
    writer: Scope,
    manager: Scope,
    second: Scope,
    reader: Scope,
    other_manager: Scope,
    admin: Scope,
    _database: Database,
}

impl House {
    async fn open(database: Database) -> Self {
        let now = Arc::new(AtomicI64::new(BEGIN));
        let store = database.open_at(&now).await;
        let here = store.create_department_locally("정보통신과", None).await.expect("department");
        let there = store.create_department_locally("민원과", None).await.expect("department");
        let person = async |login: &str, department, roles: &[Role]| signed_in(&store, department, login, roles).await;
        Self {
            writer: person("writer", here, &[Role::Official]).await,
            manager: person("manager", here, &[Role::Official, Role::Manager]).await,
            second: person("second", here, &[Role::Official, Role::Manager]).await,
            reader: person("reader", there, &[Role::Official]).await,
            other_manager: person("other", there, &[Role::Official, Role::Manager]).await,
            admin: person("admin", there, &[Role::Official, Role::Admin]).await,
            here,
            there,
            now,
            _database: database,
            store,
        }
    }

    fn later(&self) {
        self.now.fetch_add(60_000, Ordering::SeqCst);
    }

    /// A new app of the writer's department.
    async fn app(&self, by: &Scope, sheet: &DesignSheet) -> (AppId, AppVersionId) {
        let mut tx = self.store.write().await.expect("write");
        let new = NewApp {
            slug: None,
            icon: "book".into(),
            owner_department: Some(self.here),
            owner_post: None,
            created_by: Some(by.person()),
            forked_from: None,
        };
        let app = tx.insert_app(&new).await.expect("app");
        let (version, _) = tx.insert_version(app, sheet, "", Some(by.person())).await.expect("version");
        tx.commit().await.expect("commit");
        (app, version)
    }

    async fn next_version(&self, by: &Scope, app: AppId, sheet: &DesignSheet) -> AppVersionId {
        let mut tx = self.store.write().await.expect("write");
        let (version, _) = tx.insert_version(app, sheet, "", Some(by.person())).await.expect("version");
        tx.commit().await.expect("commit");
        version
    }

    async fn collection(&self, name: &str, grade: Grade) -> CollectionId {
        let id = CollectionId::new();
        sqlx::query(
            "INSERT INTO collections (id, name, description, owner_department, grade, everyone, created_by, created_at, updated_at) \
             VALUES ($1, $2, '', $3, $4, 0, $5, 0, 0)",
        )
        .bind(id.to_string())
        .bind(name)
        .bind(self.here.to_string())
        .bind(grade.letter())
        .bind(self.writer.person().to_string())
        .execute(&self.store.pool)
        .await
        .expect("collection");
        id
    }

    async fn ran(&self, who: &Scope, app: AppId, version: AppVersionId) {
        sqlx::query(
            "INSERT INTO runs (id, app_id, version_id, title, person_id, department_id, inputs, state, answer, answered, unfilled, \
             engine, grade, started_at) VALUES ($1, $2, $3, '', $4, $5, '{}', 'done', '', 1, '[]', 'quoting', 'O', $6)",
        )
        .bind(madang_domain::RunId::new().to_string())
        .bind(app.to_string())
        .bind(version.to_string())
        .bind(who.person().to_string())
        .bind(who.home_department().map(|d| d.to_string()))
        .bind(self.store.now())
        .execute(&self.store.pool)
        .await
        .expect("run");
    }

    async fn publish(&self, app: AppId, version: AppVersionId) {
        let id = self.store.submit(&self.writer, app, version, "").await.expect("submitted");
        self.store.approve_submission(&self.manager, id, "").await.expect("approved");
        self.later();
    }

    /// Actions on record, oldest first.
    async fn record(&self) -> Vec<String> {
        let rows = self.store.ledger_chain(0, 1000).await.expect("chain");
        rows.iter()
            .map(|e| {
                serde_json::from_str::<serde_json::Value>(&e.payload).expect("payload")["action"]
                    .as_str()
                    .expect("action")
                    .to_owned()
            })
            .collect()
    }
}

/// An empty schema of its own on the PostgreSQL server that the environment names.
async fn houses() -> Vec<House> {
    let mut out = Vec::new();
    for database in databases().await {
        out.push(House::open(database).await);
    }
    out
}

fn sheet(title: &str, sources: Vec<Source>) -> DesignSheet {
    DesignSheet {
        title: title.into(),
        purpose: "조례를 찾는다.".into(),
        task: TaskKind::QuestionAnswering,
        sentences: vec![Sentence { text: "근거를 찾는다.".into(), guessed: false }],
        inputs: vec![],
        sources,
        output: OutputForm::Answer,
        schedule: None,
        outside: OutsideCalls::Never,
    }
}

fn from(id: CollectionId, name: &str) -> Source {
    Source::Collection { id, name: name.into(), guessed: false }
}

fn denied<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Denied(_))), "{result:?}");
}

fn unknown<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::NotFound)), "{result:?}");
}

fn conflict<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Conflict(_))), "{result:?}");
}

#[tokio::test]
async fn from_submission_to_another_departments_fork() {
    for h in houses().await {
        let secret = h.collection("우리 과 지침", Grade::Sensitive).await;
        let (app, v1) = h.app(&h.writer, &sheet("조례 찾기", vec![from(secret, "우리 과 지침")])).await;
        unknown(h.store.app(&h.reader, app).await);
        assert!(h.store.store_apps(&h.reader).await.expect("store").is_empty());

        let first = h.store.submit(&h.writer, app, v1, "  모두가 같은 조례를 봅니다. ").await.expect("submitted");
        conflict(h.store.submit(&h.writer, app, v1, "").await);
        let seen = h.store.submissions_to_decide(&h.manager).await.expect("desk");
        assert_eq!(
            seen.iter().map(|s| (s.id, s.note.as_str(), s.grade)).collect::<Vec<_>>(),
            [(first, "모두가 같은 조례를 봅니다.", Grade::Sensitive)]
        );
        let detail = h.store.submission(&h.manager, first).await.expect("detail");
        assert_eq!(detail.sources[0].readers, Readers::Departments(vec!["정보통신과".into()]));
        assert_eq!(detail.sources[0].excluded, ["민원과"]);
        h.later();

        let bare = h.store.return_submission(&h.manager, first, "  ").await;
        assert!(matches!(bare, Err(StoreError::Invalid { .. })), "{bare:?}");
        h.store.return_submission(&h.manager, first, "이름을 알기 쉽게 고쳐 주세요.").await.expect("returned");
        conflict(h.store.approve_submission(&h.manager, first, "").await);
        assert_eq!(
            h.store.submissions_returned(&h.writer).await.expect("mine")[0].reason,
            "이름을 알기 쉽게 고쳐 주세요."
        );
        assert_eq!(
            (
                h.store.sharing_waits(&h.writer).await.expect("bell"),
                h.store.sharing_waits(&h.manager).await.expect("bell")
            ),
            (1, 0)
        );
        h.later();

        let v2 = h.next_version(&h.writer, app, &sheet("조례 질의응답", vec![from(secret, "우리 과 지침")])).await;
        h.publish(app, v2).await;
        assert_eq!(h.store.sharing_waits(&h.writer).await.expect("bell"), 0, "answered by the new submission");

        let listed = h.store.store_apps(&h.reader).await.expect("store");
        assert_eq!(
            (listed.len(), listed[0].sheet.title.as_str(), listed[0].grade, listed[0].ready),
            (1, "조례 질의응답", Grade::Sensitive, false)
        );
        assert!(h.store.store_apps(&h.writer).await.expect("store")[0].ready);
        let seen: Vec<u32> =
            h.store.app_versions(&h.reader, app).await.expect("versions").iter().map(|v| v.number).collect();
        assert_eq!(seen, [2], "a version that nobody approved stays in the house");

        denied(h.store.rate(&h.reader, app, 5, "").await);
        h.ran(&h.reader, app, v2).await;
        h.store.rate(&h.reader, app, 3, "쓸 만합니다.").await.expect("rated");
        h.store.rate(&h.reader, app, 4, "좋아졌습니다.").await.expect("rated again");
        h.ran(&h.writer, app, v2).await;
        denied(h.store.rate(&h.writer, app, 5, "제가 만들었습니다.").await);
        let ratings = h.store.ratings(&h.reader, app).await.expect("ratings");
        assert_eq!(
            (ratings.len(), ratings[0].stars, ratings[0].department.as_str(), ratings[0].mine),
            (1, 4, "민원과", true)
        );
        let figures = h.store.app_figures(&h.reader, app).await.expect("figures");
        assert_eq!((figures.uses, figures.stars.mean().as_deref()), (2, Some("4.0")));
        let reuse = h.store.reuse(&h.reader, 0).await.expect("reuse");
        assert_eq!((reuse.apps, reuse.departments_reusing, reuse.runs), (1, 1, 2));
        assert_eq!(h.store.uses_of_my_departments(&h.reader, 0).await.expect("uses").get(&app), Some(&1));

        unknown(h.store.fork(&h.reader, app, Some(1)).await);
        let fork = h.store.fork(&h.reader, app, None).await.expect("forked");
        assert_eq!(fork.replaced, ["우리 과 지침"]);
        let copy = h.store.current_version(&h.reader, fork.app).await.expect("version 1");
        assert_eq!((copy.number, copy.sheet.sources.as_slice()), (1, [Source::Readable].as_slice()));
        let parent = h.store.forked_from(&h.reader, fork.app).await.expect("lineage").expect("a parent");
        assert_eq!((parent.id, parent.number), (app, 2));
        assert_eq!(h.store.forks(&h.reader, app).await.expect("forks").len(), 1);
        assert_eq!(
            h.store.forks(&h.writer, app).await.expect("forks").len(),
            0,
            "unpublished copies stay in their house"
        );
        unknown(h.store.app(&h.writer, fork.app).await);

        let record = h.record().await;
        for action in ["app_submitted", "submission_returned", "submission_approved", "app_rated", "app_forked"] {
            assert!(record.iter().any(|a| a == action), "{action} in {record:?}");
        }
    }
}

#[tokio::test]
async fn only_a_manager_of_the_house_and_never_of_ones_own() {
    for h in houses().await {
        let (app, version) = h.app(&h.writer, &sheet("조례 찾기", vec![])).await;
        unknown(h.store.submit(&h.reader, app, version, "").await);
        let id = h.store.submit(&h.writer, app, version, "").await.expect("submitted");
        denied(h.store.approve_submission(&h.writer, id, "").await);
        for stranger in [&h.reader, &h.other_manager, &h.admin] {
            unknown(h.store.submission(stranger, id).await);
            unknown(h.store.approve_submission(stranger, id, "").await);
            unknown(h.store.return_submission(stranger, id, "까닭").await);
            unknown(h.store.withdraw_submission(stranger, id).await);
        }
        h.store.withdraw_submission(&h.writer, id).await.expect("withdrawn");
        conflict(h.store.approve_submission(&h.manager, id, "").await);

        // Submitted by themselves, or written by themselves and submitted by another.
        let own = h.store.submit(&h.manager, app, version, "").await.expect("submitted");
        denied(h.store.approve_submission(&h.manager, own, "").await);
        denied(h.store.return_submission(&h.manager, own, "까닭").await);
        assert!(h.store.submissions_to_decide(&h.manager).await.expect("desk").is_empty());
        h.store.approve_submission(&h.second, own, "").await.expect("another manager");
        let written = h.next_version(&h.manager, app, &sheet("새 이름", vec![])).await;
        let lent = h.store.submit(&h.writer, app, written, "").await.expect("submitted");
        denied(h.store.approve_submission(&h.manager, lent, "").await);

        // Others see it in the store and may not touch it.
        denied(h.store.submit(&h.reader, app, version, "").await);
        denied(h.store.unpublish(&h.reader, app, "").await);
        denied(h.store.roll_back(&h.other_manager, app, 1, "").await);
        // A version of another app cannot be slipped in.
        let (_, foreign) = h.app(&h.writer, &sheet("다른 앱", vec![])).await;
        unknown(h.store.submit(&h.writer, app, foreign, "").await);
    }
}

#[tokio::test]
async fn versions_do_not_change_and_only_approved_ones_return() {
    for h in houses().await {
        let (app, v1) = h.app(&h.writer, &sheet("첫 이름", vec![])).await;
        conflict(h.store.roll_back(&h.writer, app, 1, "").await);
        h.publish(app, v1).await;
        h.next_version(&h.writer, app, &sheet("승인받지 않은 이름", vec![])).await;
        let v3 = h.next_version(&h.writer, app, &sheet("셋째 이름", vec![])).await;
        h.publish(app, v3).await;
        conflict(h.store.submit(&h.writer, app, v3, "").await);
        conflict(h.store.roll_back(&h.writer, app, 2, "").await);
        unknown(h.store.roll_back(&h.writer, app, 9, "").await);
        h.store.roll_back(&h.writer, app, 1, "").await.expect("rolled back");
        assert_eq!(h.store.current_version(&h.reader, app).await.expect("current").number, 1);
        let mut approved = h.store.approved_versions(&h.writer, app).await.expect("approved");
        approved.sort();
        assert_eq!(approved, [v1, v3]);

        let rewritten = sqlx::query("UPDATE app_versions SET title = 'x' WHERE id = $1")
            .bind(v1.to_string())
            .execute(&h.store.pool)
            .await;
        assert!(rewritten.is_err(), "a version was rewritten");

        h.store.unpublish(&h.writer, app, "조례가 바뀌었습니다.").await.expect("withdrawn");
        unknown(h.store.app(&h.reader, app).await);
        conflict(h.store.unpublish(&h.writer, app, "").await);
        conflict(h.store.roll_back(&h.writer, app, 3, "").await);
        assert!(h.record().await.ends_with(&["app_rolled_back".to_owned(), "app_unpublished".to_owned()]));
    }
}

#[tokio::test]
async fn a_deleted_department_hands_its_apps_and_submissions_over() {
    for h in houses().await {
        let (app, v1) = h.app(&h.writer, &sheet("조례 찾기", vec![])).await;
        h.publish(app, v1).await;
        let v2 = h.next_version(&h.writer, app, &sheet("조례 질의응답", vec![])).await;
        let waiting = h.store.submit(&h.writer, app, v2, "").await.expect("submitted");
        for gone in [&h.writer, &h.manager, &h.second] {
            h.store.move_person(&h.admin, gone.person(), None, None).await.expect("moved");
        }
        conflict(h.store.delete_department(&h.admin, h.here, None).await);
        h.store.delete_department(&h.admin, h.here, Some(h.there)).await.expect("deleted");
        let stored = h.store.app(&h.reader, app).await.expect("still there");
        assert_eq!((stored.owner_department, stored.owned), (Some(h.there), true));
        h.store.approve_submission(&h.other_manager, waiting, "").await.expect("the heir decides");
        assert_eq!(
            h.store.submission(&h.other_manager, waiting).await.expect("seen").submission.state,
            SubmissionState::Approved
        );
        assert_eq!(h.store.store_apps(&h.reader).await.expect("store")[0].number, 2);
    }
}

#[tokio::test]
async fn bundled_apps_belong_to_nobody_and_fork_like_any_other() {
    for h in houses().await {
        let bundled = BundledSheet {
            slug: "ordinance-qa".into(),
            icon: "book".into(),
            sheet: sheet("조례·규정 질의응답", vec![Source::Readable]),
        };
        h.store.sync_bundled(&[bundled]).await.expect("bundled");
        let app = h.store.store_apps(&h.reader).await.expect("store")[0].clone();
        assert_eq!((app.department, app.ready), (None, true));
        denied(h.store.unpublish(&h.admin, app.id, "").await);
        denied(h.store.submit(&h.manager, app.id, app.version, "").await);
        let fork = h.store.fork(&h.reader, app.id, None).await.expect("forked");
        assert!(h.store.app(&h.reader, fork.app).await.expect("mine").owned);
    }
}
