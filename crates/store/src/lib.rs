//! The application's database: migrations and queries, SQLite and PostgreSQL behind one set of statements, and
//! the stored originals of documents. The database is the truth; the index is rebuilt from here.
//!
//! Every read of somebody's data takes a `Scope`, and authorisation is decided here, next to the rows. What does
//! not live here: hashing of passwords, parsing, retrieval, HTTP.

mod budgets;
mod clock;
mod error;
mod ledger_tree;
mod originals;
mod rights;
mod row;
mod write;

pub mod absences;
pub mod apps;
pub mod askers;
pub mod auth;
pub mod call_approvals;
pub mod call_moves;
pub mod call_reads;
pub mod calls;
pub mod calls_review;
pub mod catalogue;
pub mod checkpoints;
pub mod collection_changes;
pub mod collections;
pub mod dictionaries;
pub mod documents;
pub mod downloads;
pub mod drafts;
pub mod erasures;
pub mod indexed;
pub mod ingest;
pub mod keeping;
pub mod ledger;
pub mod lineage;
pub mod outside_switch;
pub mod people;
pub mod policies;
pub mod policy_names;
pub mod policy_proposals;
pub mod providers;
pub mod ratings;
pub mod retention;
pub mod reviews;
pub mod runs;
pub mod sharing;
pub mod shelves;
pub mod versions;
pub mod waiting;
pub mod watched;
pub mod words;

#[cfg(test)]
mod deciding_tests;
#[cfg(test)]
mod desk_tests;
#[cfg(test)]
mod erasure_tests;
#[cfg(test)]
mod keeping_tests;
#[cfg(test)]
mod ledger_tests;
#[cfg(test)]
mod policy_tests;
#[cfg(test)]
mod sharing_tests;
#[cfg(test)]
mod test_house;
#[cfg(test)]
mod write_tests;

pub use clock::Clock;
pub use error::StoreError;
pub use originals::{Incoming, Originals};
pub use write::WriteTx;

use row::RowExt;
use sqlx::any::{AnyPoolOptions, AnyRow};
use sqlx::migrate::Migrator;
use sqlx::{AnyPool, Executor};
use std::path::Path;

/// Result of a store call.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Sqlite,
    Postgres,
}

/// Handle to the database; cheap to clone.
#[derive(Clone)]
pub struct Store {
    pool: AnyPool,
    dialect: Dialect,
    clock: Clock,
    writer: write::Writer,
}

impl Store {
    /// Opens (creating) the SQLite file `path` and brings its schema up to date.
    pub async fn open_sqlite(path: &Path, clock: Clock) -> Result<Self> {
        let mut encoded = String::new();
        for byte in path.to_string_lossy().bytes() {
            match byte {
                b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => encoded.push(byte as char),
                _ => encoded.push_str(&format!("%{byte:02X}")),
            }
        }
        Self::open(&format!("sqlite://{encoded}?mode=rwc"), clock).await
    }

    /// Opens `url`: `sqlite://…` or `postgres://…`, and brings its schema up to date.
    pub async fn open(url: &str, clock: Clock) -> Result<Self> {
        sqlx::any::install_default_drivers();
        let dialect = if url.starts_with("postgres") { Dialect::Postgres } else { Dialect::Sqlite };
        let pool = AnyPoolOptions::new()
            .max_connections(8)
            .acquire_timeout(std::time::Duration::from_secs(20))
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    if dialect == Dialect::Sqlite {
                        // FULL: an intent that is committed has reached the disk before anything leaves.
                        connection
                            .execute("PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")
                            .await?;
                    }
                    Ok(())
                })
            })
            .connect(url)
            .await?;
        let store = Self { pool, dialect, clock, writer: write::Writer::default() };
        match dialect {
            Dialect::Sqlite => SQLITE.run(&store.pool).await?,
            Dialect::Postgres => POSTGRES.run(&store.pool).await?,
        }
        store.catch_up_tree().await?;
        Ok(store)
    }

    /// Now, Unix milliseconds.
    pub fn now(&self) -> i64 {
        self.clock.now_ms()
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Name of the database for screens: `SQLite` or `PostgreSQL`.
    pub fn database_name(&self) -> &'static str {
        match self.dialect {
            Dialect::Sqlite => "SQLite",
            Dialect::Postgres => "PostgreSQL",
        }
    }

    /// Answers when the database does.
    pub async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }

    /// Value of a setting of the installation.
    pub async fn meta(&self, key: &str) -> Result<Option<String>> {
        let row: Option<AnyRow> =
            sqlx::query("SELECT value FROM meta WHERE key = $1").bind(key).fetch_optional(&self.pool).await?;
        row.map(|r| r.text("value")).transpose()
    }

    /// Sets or, with `None`, removes a setting of the installation.
    pub async fn set_meta(&self, key: &str, value: Option<&str>) -> Result<()> {
        let mut tx = self.write().await?;
        tx.set_meta(key, value).await?;
        tx.commit().await
    }

    /// Copies a consistent image of the SQLite database to `target`, which must not exist.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for PostgreSQL, which has its own tools for that.
    pub async fn copy_to(&self, target: &Path) -> Result<()> {
        if self.dialect != Dialect::Sqlite {
            return Err(StoreError::invalid("database", "PostgreSQL은 pg_dump로 백업해 주세요."));
        }
        sqlx::query("VACUUM INTO $1").bind(target.to_string_lossy().into_owned()).execute(&self.pool).await?;
        Ok(())
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

impl WriteTx {
    async fn set_meta(&mut self, key: &str, value: Option<&str>) -> Result<()> {
        match value {
            Some(value) => sqlx::query(
                "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            )
            .bind(key)
            .bind(value)
            .execute(&mut *self.tx)
            .await?,
            None => sqlx::query("DELETE FROM meta WHERE key = $1").bind(key).execute(&mut *self.tx).await?,
        };
        Ok(())
    }
}
