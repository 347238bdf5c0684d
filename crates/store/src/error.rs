//! What can go wrong with a store call, in the terms of its caller.

/// A failed store call. Messages are Korean and may be shown to the reader.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It does not exist, or the reader may not know that it does.
    #[error("찾을 수 없습니다. 지워졌거나 볼 권한이 없습니다.")]
    NotFound,
    /// The reader may see it but not do this.
    #[error("{0}")]
    Denied(String),
    /// A value cannot be accepted.
    #[error("{message}")]
    Invalid { field: String, message: String },
    /// Somebody else was faster, or something stands in the way.
    #[error("{0}")]
    Conflict(String),
    /// A budget for outside calls does not allow it.
    #[error(transparent)]
    Budget(#[from] madang_policy::budget::BudgetError),
    /// No room left on the disk.
    #[error("저장 공간이 가득 찼습니다. 운영자에게 알려 주세요. 방금 하신 일은 저장되지 않았습니다.")]
    Full,
    /// The database failed.
    #[error("database: {0}")]
    Database(sqlx::Error),
    /// A file could not be written or read.
    #[error("file: {0}")]
    File(std::io::Error),
    /// A stored value does not read back: a defect or outside tampering.
    #[error("stored value of {0} does not read back")]
    Corrupt(&'static str),
    /// The schema could not be brought up to date.
    #[error("migration: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
}

impl StoreError {
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::Invalid { field: field.to_owned(), message: message.into() }
    }

    pub fn denied(message: impl Into<String>) -> Self {
        Self::Denied(message.into())
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Self::Conflict(message.into())
    }

    /// Did the database refuse a second row with the same key?
    pub fn is_duplicate(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::Database(e)) if e.is_unique_violation())
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::RowNotFound => Self::NotFound,
            // SQLITE_FULL is 13; PostgreSQL's disk_full is 53100.
            sqlx::Error::Database(e) if matches!(e.code().as_deref(), Some("13" | "53100")) => Self::Full,
            _ => Self::Database(error),
        }
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::File(error),
        }
    }
}
