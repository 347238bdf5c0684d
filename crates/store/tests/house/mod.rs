//! A house with two departments and four people, empty otherwise, on SQLite and, where `MADANG_TEST_POSTGRES` names a
//! database, in a schema of its own there.

#![allow(dead_code)] // each test file uses its own part

use madang_domain::{CollectionId, DepartmentId, DocumentId, Grade, PassageDraft, Role, Scope, Span};
use madang_store::collection_changes::NewCollection;
use madang_store::documents::{DocumentState, NewDocument};
use madang_store::ingest::{Job, MadeReady, ReadDocument};
use madang_store::people::NewPerson;
use madang_store::{Clock, Store};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

pub struct House {
    pub store: Store,
    pub here: DepartmentId,
    pub there: DepartmentId,
    pub writer: Scope,
    pub manager: Scope,
    pub stranger: Scope,
    pub security: Scope,
    _home: tempfile::TempDir,
}

/// Databases to run on.
pub async fn houses() -> Vec<House> {
    let mut out = vec![House::open(None).await];
    match std::env::var("MADANG_TEST_POSTGRES") {
        Ok(url) => {
            sqlx::any::install_default_drivers();
            let pool = sqlx::AnyPool::connect(&url).await.expect("PostgreSQL answers");
            let name = format!("t{}", uuid::Uuid::now_v7().simple());
            sqlx::query(sqlx::AssertSqlSafe(format!("CREATE SCHEMA {name}"))).execute(&pool).await.expect("schema");
            let mark = if url.contains('?') { '&' } else { '?' };
            out.push(House::open(Some(format!("{url}{mark}options=-c%20search_path%3D{name}"))).await);
        }
        Err(_) => eprintln!("skipped: PostgreSQL, MADANG_TEST_POSTGRES is not set"),
    }
    out
}

/// Somebody new with a post in the department, signed in.
pub async fn member(store: &Store, login: &str, department: DepartmentId, roles: &[Role]) -> Scope {
    let post = store.create_post_locally(department, login, roles).await.expect("post");
    let new = NewPerson { login: login.into(), name: login.into(), password_hash: String::new(), posts: vec![post] };
    let id = store.create_person_locally(new).await.expect("person");
    let secret = store.open_session(id, "127.0.0.1", "test").await.expect("session");
    store.authenticate_session(&secret).await.expect("authentication").expect("signed in").scope
}

impl House {
    async fn open(url: Option<String>) -> Self {
        let home = tempfile::tempdir().expect("temporary folder");
        let clock = Clock::Manual(Arc::new(AtomicI64::new(1_795_328_400_000)));
        let store = match url {
            Some(url) => Store::open(&url, clock).await.expect("PostgreSQL opens"),
            None => Store::open_sqlite(&home.path().join("house.db"), clock).await.expect("SQLite opens"),
        };
        let here = store.create_department_locally("기록과", None).await.expect("department");
        let there = store.create_department_locally("세무과", None).await.expect("department");
        let person = async |login, department, roles| member(&store, login, department, roles).await;
        Self {
            writer: person("c-writer", here, &[Role::Official]).await,
            manager: person("c-manager", here, &[Role::Official, Role::Manager]).await,
            stranger: person("c-stranger", there, &[Role::Official, Role::Manager]).await,
            security: person("c-security", there, &[Role::Official, Role::Security]).await,
            here,
            there,
            _home: home,
            store,
        }
    }

    pub async fn collection(&self, grade: Grade) -> CollectionId {
        let new =
            NewCollection { name: "기록물".into(), description: String::new(), department: Some(self.here), grade };
        self.store.create_collection(&self.writer, new).await.expect("made")
    }

    pub async fn document(&self, collection: CollectionId, digest: char) -> DocumentId {
        self.store.add_document(&self.writer, collection, new_document(digest)).await.expect("added").id
    }

    pub async fn claim(&self, document: DocumentId) -> Job {
        self.store.claim_document(document).await.expect("claim").expect("waits")
    }

    /// Reads it as the worker does.
    pub async fn ready(&self, document: DocumentId) -> MadeReady {
        self.claim(document).await;
        self.store.store_read_document(document, &read()).await.expect("stored").expect("still wanted");
        self.store.make_ready(document).await.expect("ready").expect("still wanted")
    }

    pub async fn fail(&self, document: DocumentId) {
        self.claim(document).await;
        self.store.fail_document(document, "깨진 파일입니다.").await.expect("failed");
    }

    /// Adds a version of `old`, to be read.
    pub async fn replace(&self, old: DocumentId, digest: char) -> DocumentId {
        let collection = self.store.document(&self.writer, old).await.expect("document").collection;
        let new = NewDocument { replaces: Some(old), ..new_document(digest) };
        self.store.add_document(&self.writer, collection, new).await.expect("added").id
    }

    pub async fn state(&self, document: DocumentId) -> DocumentState {
        self.store.document(&self.writer, document).await.expect("document").state
    }
}

pub fn new_document(digest: char) -> NewDocument {
    NewDocument {
        title: "기록물 편람".into(),
        file_name: "기록물 편람.md".into(),
        format: "MD".into(),
        original: digest.to_string().repeat(64),
        bytes: 10,
        replaces: None,
    }
}

pub fn read() -> ReadDocument {
    let text = "보존기간은 10년이다. 폐기는 심의한다.";
    let passage = |start: usize, end: usize| PassageDraft {
        heading_path: vec!["보존".into()],
        page: None,
        page_estimated: false,
        text: text.chars().skip(start).take(end - start).collect(),
        span: Span { start, end },
    };
    ReadDocument {
        format: "Markdown".into(),
        text: text.into(),
        pages: None,
        pages_estimated: false,
        warnings: Vec::new(),
        passages: vec![passage(0, 12), passage(13, 21)],
    }
}
