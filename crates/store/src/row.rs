//! Reading typed values out of rows: identifiers, grades and JSON are stored as text.

use crate::{Result, StoreError};
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::any::AnyRow;
use std::str::FromStr;

/// Typed getters; the column's name is in every error.
pub(crate) trait RowExt {
    fn text(&self, column: &'static str) -> Result<String>;
    fn opt_text(&self, column: &'static str) -> Result<Option<String>>;
    fn int(&self, column: &'static str) -> Result<i64>;
    fn opt_int(&self, column: &'static str) -> Result<Option<i64>>;

    /// A count or size that is never negative.
    fn count(&self, column: &'static str) -> Result<usize> {
        usize::try_from(self.int(column)?).map_err(|_| StoreError::Corrupt(column))
    }

    /// A number in the bounds of its type.
    fn parsed_int<T: TryFrom<i64>>(&self, column: &'static str) -> Result<T> {
        T::try_from(self.int(column)?).map_err(|_| StoreError::Corrupt(column))
    }

    fn flag(&self, column: &'static str) -> Result<bool> {
        Ok(self.int(column)? != 0)
    }

    /// Anything stored as text that parses: ids, grades, roles.
    fn parsed<T: FromStr>(&self, column: &'static str) -> Result<T> {
        self.text(column)?.parse().map_err(|_| StoreError::Corrupt(column))
    }

    fn opt_parsed<T: FromStr>(&self, column: &'static str) -> Result<Option<T>> {
        self.opt_text(column)?.map(|v| v.parse().map_err(|_| StoreError::Corrupt(column))).transpose()
    }

    fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T> {
        serde_json::from_str(&self.text(column)?).map_err(|_| StoreError::Corrupt(column))
    }
}

impl RowExt for AnyRow {
    fn text(&self, column: &'static str) -> Result<String> {
        Ok(self.try_get(column)?)
    }

    fn opt_text(&self, column: &'static str) -> Result<Option<String>> {
        Ok(self.try_get(column)?)
    }

    fn int(&self, column: &'static str) -> Result<i64> {
        Ok(self.try_get(column)?)
    }

    fn opt_int(&self, column: &'static str) -> Result<Option<i64>> {
        Ok(self.try_get(column)?)
    }
}

/// JSON text for a column. Our own types always serialise.
pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}
