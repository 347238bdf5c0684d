//! What the tests of this crate start from: an empty database of each kind, and people who are signed in.

use crate::people::NewPerson;
use crate::{Clock, Store};
use madang_domain::{DepartmentId, Role, Scope};
use sqlx::AssertSqlSafe;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

/// Where moved clocks begin, Unix milliseconds.
pub(crate) const BEGIN: i64 = 1_795_328_400_000;

/// An empty database: a file of SQLite in a folder of its own, or a schema of PostgreSQL.
pub(crate) struct Database {
    pub url: String,
    _home: Option<tempfile::TempDir>,
}

impl Database {
    pub async fn open(&self, clock: Clock) -> Store {
        Store::open(&self.url, clock).await.expect("the database opens")
    }

    /// Opened with a clock that is moved by hand.
    pub async fn open_at(&self, now: &Arc<AtomicI64>) -> Store {
        self.open(Clock::Manual(now.clone())).await
    }
}

/// SQLite and, where `MADANG_TEST_POSTGRES` names a database, PostgreSQL.
pub(crate) async fn databases() -> Vec<Database> {
    let home = tempfile::tempdir().expect("temporary folder");
    let url = format!("sqlite://{}?mode=rwc", home.path().join("house.db").display());
    let mut out = vec![Database { url, _home: Some(home) }];
    match std::env::var("MADANG_TEST_POSTGRES") {
        Ok(url) => {
            sqlx::any::install_default_drivers();
            let pool = sqlx::AnyPool::connect(&url).await.expect("PostgreSQL answers");
            let name = format!("t{}", uuid::Uuid::now_v7().simple());
            sqlx::query(AssertSqlSafe(format!("CREATE SCHEMA {name}"))).execute(&pool).await.expect("schema");
            let mark = if url.contains('?') { '&' } else { '?' };
            out.push(Database { url: format!("{url}{mark}options=-c%20search_path%3D{name}"), _home: None });
        }
        Err(_) => eprintln!("skipped: PostgreSQL, MADANG_TEST_POSTGRES is not set"),
    }
    out
}

/// Somebody new with a post of these roles in the department, signed in.
pub(crate) async fn signed_in(store: &Store, department: DepartmentId, login: &str, roles: &[Role]) -> Scope {
    let post = store.create_post_locally(department, login, roles).await.expect("post");
    let new = NewPerson { login: login.into(), name: login.into(), password_hash: String::new(), posts: vec![post] };
    let id = store.create_person_locally(new).await.expect("person");
    let secret = store.open_session(id, "127.0.0.1", "test").await.expect("session");
    store.authenticate_session(&secret).await.expect("known").expect("signed in").scope
}
