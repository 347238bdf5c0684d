//! Outside calls under review on SQLite and, where `MADANG_TEST_POSTGRES` names a database, on PostgreSQL: filters,
//! monthly samples and who may look at what. The house that they stand in, with a clock that is moved.

use crate::apps::NewApp;
use crate::calls_review::ReviewFilter;
use crate::providers::{MAX_OUTPUT_TOKENS, NewProvider, Patience, WireForm};
use crate::reviews::{NewSample, PickVerdict};
use crate::row::RowExt;
use crate::test_house::{BEGIN, Database, databases, signed_in};
use crate::{Store, StoreError};
use madang_domain::{
    AppId, AppVersionId, DepartmentId, DesignSheet, ExternalCallId, Grade, OutputForm, OutsideCalls, ProviderId, Role,
    RunId, Scope, Sentence, TaskKind,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

pub(crate) const DAY: i64 = 86_400_000;

pub(crate) struct House {
    pub store: Store,
    pub now: Arc<AtomicI64>,
    pub here: DepartmentId,
    pub asker: Scope,
    pub officer: Scope,
    pub second: Scope,
    pub admin: Scope,
    pub app: AppId,
    pub version: AppVersionId,
    pub provider: ProviderId,
    _database: Database,
}

impl House {
    async fn open(database: Database) -> Self {
        let now = Arc::new(AtomicI64::new(BEGIN));
        let store = database.open_at(&now).await;
        let here = store.create_department_locally("정보통신과", None).await.expect("department");
        let person = async |login: &str, roles: &[Role]| signed_in(&store, here, login, roles).await;
        let asker = person("asker", &[Role::Official]).await;
        let admin = person("admin", &[Role::Admin]).await;
        let officer = person("officer", &[Role::Security]).await;
        let second = person("second", &[Role::Security]).await;
        let (app, version) = app(&store, &asker, here).await;
        let provider = ProviderId::new();
        let new = NewProvider {
            id: provider,
            name: "제공자",
            base_url: "https://api.example.kr/v1",
            host: "api.example.kr",
            model: "m",
            sealed_key: "sealed",
            wire: WireForm::default(),
            api_version: "",
            max_output_tokens: MAX_OUTPUT_TOKENS,
            stream: false,
            pins: &[],
            authority: "",
            sealed_identity: "",
            patience: Patience::default(),
        };
        store.create_provider(&admin, new).await.expect("provider");
        store.set_provider_enabled(&admin, provider, true).await.expect("enabled");
        Self { store, now, here, asker, officer, second, admin, app, version, provider, _database: database }
    }

    pub fn later(&self, ms: i64) {
        self.now.fetch_add(ms, Ordering::SeqCst);
    }

    /// A call that waits.
    pub async fn asked(&self, body: &str) -> ExternalCallId {
        let (id, run) = (ExternalCallId::new(), RunId::new());
        sqlx::query(
            "INSERT INTO runs (id, app_id, version_id, title, person_id, department_id, inputs, state, answer, answered, unfilled, \
             engine, grade, started_at) VALUES ($1, $2, $3, '', $4, $5, '{}', 'done', '', 1, '[]', 'quoting', 'O', $6)",
        )
        .bind(run.to_string())
        .bind(self.app.to_string())
        .bind(self.version.to_string())
        .bind(self.asker.person().to_string())
        .bind(self.here.to_string())
        .bind(self.store.now())
        .execute(&self.store.pool)
        .await
        .expect("run");
        // Written as it stands in the table: the columns of a decision are the gateway's to fill.
        sqlx::query(
            "INSERT INTO external_calls (id, run_id, app_id, version_id, person_id, department_id, provider_id, host, model, purpose, \
             legal_basis, grade, state, findings, sources, local_answer, body_bytes, body_hmac, sealed_body, sealed_tokens, reason, \
             created_at, verdict) VALUES ($1, $2, $3, $4, $5, $6, $7, 'api.example.kr', 'm', '목적', '', 'O', 'waiting', \
             '{\"phone\":1}', '[]', '안의 답', 10, $8, $9, 'sealed', '', $10, 'one_officer')",
        )
        .bind(id.to_string())
        .bind(run.to_string())
        .bind(self.app.to_string())
        .bind(self.version.to_string())
        .bind(self.asker.person().to_string())
        .bind(self.here.to_string())
        .bind(self.provider.to_string())
        .bind(format!("hmac-{body}"))
        .bind(body.to_owned())
        .bind(self.store.now())
        .execute(&self.store.pool)
        .await
        .expect("call");
        id
    }

    pub async fn move_to(&self, id: ExternalCallId, state: &str) {
        sqlx::query("UPDATE external_calls SET state = $1, sealed_reply = 'reply', sent_at = $2, ended_at = $2, approver = $3 WHERE id = $4")
            .bind(state.to_owned())
            .bind(self.store.now())
            .bind(self.officer.person().to_string())
            .bind(id.to_string())
            .execute(&self.store.pool)
            .await
            .expect("moved");
    }

    /// A call that was sent, approved by the officer.
    pub(crate) async fn sent(&self, body: &str) -> ExternalCallId {
        let id = self.asked(body).await;
        self.move_to(id, "sent").await;
        id
    }

    async fn found(&self, filter: ReviewFilter) -> usize {
        let listed = self.store.reviewed_calls(&self.officer, &filter, 100, 0).await.expect("listed").len();
        assert_eq!(self.store.reviewed_calls_count(&self.officer, &filter).await.expect("counted"), listed);
        listed
    }

    pub(crate) async fn sealed_body(&self, id: ExternalCallId) -> String {
        let row = sqlx::query("SELECT sealed_body, sealed_tokens, sealed_reply FROM external_calls WHERE id = $1")
            .bind(id.to_string())
            .fetch_one(&self.store.pool)
            .await
            .expect("row");
        let parts = [row.text("sealed_body"), row.text("sealed_tokens")];
        let reply = row.opt_text("sealed_reply").expect("reply").unwrap_or_default();
        parts.into_iter().map(|p| p.expect("text")).chain([reply]).collect()
    }

    pub async fn last_record(&self) -> (i64, serde_json::Value) {
        let end = self.store.ledger_end().await.expect("end");
        let entry = self.store.ledger_chain(end, 1).await.expect("chain").remove(0);
        (end, serde_json::from_str(&entry.payload).expect("payload"))
    }
}

async fn app(store: &Store, by: &Scope, department: DepartmentId) -> (AppId, AppVersionId) {
    let sheet = DesignSheet {
        title: "조례 찾기".into(),
        purpose: "조례를 찾는다.".into(),
        task: TaskKind::QuestionAnswering,
        sentences: vec![Sentence { text: "근거를 찾는다.".into(), guessed: false }],
        inputs: vec![],
        sources: vec![],
        output: OutputForm::Answer,
        schedule: None,
        outside: OutsideCalls::Ask,
    };
    let mut tx = store.write().await.expect("write");
    let new = NewApp {
        slug: None,
        icon: "book".into(),
        owner_department: Some(department),
        owner_post: None,
        created_by: Some(by.person()),
        forked_from: None,
    };
    let app = tx.insert_app(&new).await.expect("app");
    let (version, _) = tx.insert_version(app, &sheet, "", Some(by.person())).await.expect("version");
    tx.commit().await.expect("commit");
    (app, version)
}

pub(crate) async fn houses() -> Vec<House> {
    let mut out = Vec::new();
    for database in databases().await {
        out.push(House::open(database).await);
    }
    out
}

#[tokio::test]
async fn each_filter_finds_its_calls_for_officers_alone() {
    for house in houses().await {
        let first = house.asked("a").await;
        house.later(DAY);
        house.sent("b").await;
        let text = |t: &str| Some(t.to_owned());
        let all = ReviewFilter::default();
        assert_eq!(house.found(all.clone()).await, 2);
        let cases = [
            (ReviewFilter { person: text("ask"), ..all.clone() }, 2),
            (ReviewFilter { person: text("as_er"), ..all.clone() }, 0),
            (ReviewFilter { person: Some(house.asker.person().to_string()), ..all.clone() }, 2),
            (ReviewFilter { department: Some(house.here.to_string()), ..all.clone() }, 2),
            (ReviewFilter { app: text("none"), ..all.clone() }, 0),
            (ReviewFilter { provider: Some(house.provider.to_string()), ..all.clone() }, 2),
            (ReviewFilter { grade: Some(Grade::Sensitive), ..all.clone() }, 0),
            (ReviewFilter { kind: text("phone"), ..all.clone() }, 2),
            (ReviewFilter { kind: text("pho"), ..all.clone() }, 0),
            (ReviewFilter { verdict: text("one_officer"), ..all.clone() }, 2),
            (ReviewFilter { state: text("sent"), ..all.clone() }, 1),
            (ReviewFilter { from: Some(BEGIN + DAY), ..all.clone() }, 1),
            (ReviewFilter { until: Some(BEGIN + DAY), ..all.clone() }, 1),
        ];
        for (filter, expected) in cases {
            assert_eq!(house.found(filter.clone()).await, expected, "{filter:?}");
        }
        let newest = house.store.reviewed_calls(&house.officer, &all, 1, 1).await.unwrap();
        assert_eq!(newest[0].id, first, "newest first, and the second of them");
        for scope in [&house.asker, &house.admin] {
            assert!(matches!(house.store.reviewed_calls(scope, &all, 1, 0).await, Err(StoreError::Denied(_))));
            assert!(matches!(house.store.sealed_texts(scope, None, 1).await, Err(StoreError::Denied(_))));
        }
        let runs = house.store.run_counts(&house.officer, BEGIN, BEGIN + 2 * DAY).await.unwrap();
        assert_eq!((runs.runs, runs.by_app.get(&house.app)), (2, Some(&2)));
        assert_eq!(house.store.outside_shares(&house.asker, BEGIN).await.unwrap().get(&house.app), Some(&(2, 1)));
        let versions = BTreeSet::from([house.version]);
        assert!(house.store.sources_of_versions(&house.officer, &versions).await.unwrap()[&house.version].is_empty());
        assert_eq!(house.store.calls_of_provider("제공자", BEGIN, i64::MAX).await.unwrap().len(), 2);
    }
}

#[tokio::test]
async fn sealed_texts_come_newest_first_page_by_page() {
    for house in houses().await {
        for body in ["a", "b", "c"] {
            house.sent(body).await;
        }
        let first = house.store.sealed_texts(&house.officer, None, 2).await.unwrap();
        let last = first.last().unwrap();
        let rest = house.store.sealed_texts(&house.officer, Some(&(last.created_at, last.id.to_string())), 2).await;
        let bodies: Vec<_> = first.iter().chain(rest.unwrap().iter()).map(|t| t.body.clone()).collect();
        assert_eq!(bodies, ["c", "b", "a"]);
    }
}

#[tokio::test]
async fn a_sample_stays_and_nobody_reviews_what_they_decided() {
    for house in houses().await {
        let call = house.sent("a").await;
        let picks = [(call, "뽑음".to_owned())];
        let new = || NewSample {
            month: "2026-11",
            seed: "s",
            checkpoint: 1,
            calls: 1,
            strata: "[]",
            picks: &picks,
            always: &[],
            policy: None,
        };
        house.store.keep_sample(&house.officer, new()).await.unwrap();
        assert!(matches!(house.store.keep_sample(&house.second, new()).await, Err(StoreError::Conflict(_))));
        let look = |scope| house.store.review_pick(scope, "2026-11", call, PickVerdict::Sound, "");
        assert!(matches!(look(&house.officer).await, Err(StoreError::Denied(_))), "the approver");
        assert!(matches!(look(&house.asker).await, Err(StoreError::Denied(_))), "no officer");
        let signed = house.store.sign_month(&house.officer, "2026-11", "이상 없음").await;
        assert!(matches!(signed, Err(StoreError::Conflict(_))), "not all was looked at");
        look(&house.second).await.unwrap();
        assert!(house.store.review_picks(&house.second, "2026-11").await.unwrap()[0].may_review);
        assert!(!house.store.review_picks(&house.officer, "2026-11").await.unwrap()[0].may_review);
        house.store.sign_month(&house.officer, "2026-11", "이상 없음").await.unwrap();
        assert!(matches!(look(&house.second).await, Err(StoreError::Conflict(_))), "signed off");
        let review = house.store.monthly_review(&house.officer, "2026-11").await.unwrap().unwrap();
        assert_eq!((review.picks, review.looked_at, review.signed_by.as_deref()), (1, 1, Some("officer")));
        assert_eq!(house.last_record().await.1["action"], "monthly_review_signed");
        assert!(matches!(house.store.sign_month(&house.officer, "2026-10", "x").await, Err(StoreError::NotFound)));
    }
}

#[tokio::test]
async fn an_officers_decision_bars_from_review_too() {
    for house in houses().await {
        let call = house.asked("a").await;
        sqlx::query("INSERT INTO call_approvals (call_id, person_id, posts, opened_at, decided_at, approved, body_hmac, reason) VALUES ($1, $2, '[]', 1, 2, 0, 'h', '')")
            .bind(call.to_string())
            .bind(house.second.person().to_string())
            .execute(&house.store.pool)
            .await
            .unwrap();
        let picks = [(call, "뽑음".to_owned())];
        let new = NewSample {
            month: "2026-11",
            seed: "s",
            checkpoint: 1,
            calls: 1,
            strata: "[]",
            picks: &picks,
            always: &[],
            policy: None,
        };
        house.store.keep_sample(&house.officer, new).await.unwrap();
        let refused = house.store.review_pick(&house.second, "2026-11", call, PickVerdict::Fault, "왜").await;
        assert!(matches!(refused, Err(StoreError::Denied(_))));
        let decisions = house.store.officers_decisions(&house.officer, BEGIN, BEGIN + 1).await.unwrap();
        assert_eq!((decisions.len(), decisions[0].approved, decisions[0].opened_at), (1, false, Some(1)));
    }
}
