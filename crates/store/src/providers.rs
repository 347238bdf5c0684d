//! Outside providers: registered by the admin, off by default. The key is sealed by the gateway before it comes here
//! and no read but the gateway's own returns it.

use crate::auth::require_admin;
use crate::ledger::Event;
use crate::people::checked_name;
use crate::row::RowExt;
use crate::{Result, Store, StoreError};
use madang_domain::{ProviderId, Scope};
use serde::Serialize;
use serde_json::json;
use sqlx::any::AnyRow;

/// A registered provider, without its key.
#[derive(Debug, Clone, Serialize)]
pub struct Provider {
    pub id: ProviderId,
    pub name: String,
    pub base_url: String,
    pub model: String,
    pub enabled: bool,
    /// Calls that left.
    pub calls: usize,
    pub created_at: i64,
}

/// A provider with its sealed key, for the gateway.
#[derive(Clone)]
pub struct SealedProvider {
    pub provider: Provider,
    pub sealed_key: String,
}

/// A provider about to be registered.
pub struct NewProvider<'a> {
    /// Chosen by the gateway, which seals the key under it.
    pub id: ProviderId,
    pub name: &'a str,
    pub base_url: &'a str,
    /// Host of `base_url`, for the record.
    pub host: &'a str,
    pub model: &'a str,
    pub sealed_key: &'a str,
}

const COLUMNS: &str = "SELECT p.id, p.name, p.base_url, p.model, p.enabled, p.sealed_key, p.created_at, \
     (SELECT COUNT(*) FROM external_calls c WHERE c.provider_id = p.id AND c.sent_at IS NOT NULL AND c.state <> 'failed') AS calls FROM providers p ";

impl Store {
    /// All providers with their sealed keys, for the admin's screen by way of the gateway.
    pub async fn providers(&self, scope: &Scope) -> Result<Vec<SealedProvider>> {
        require_admin(scope)?;
        let rows =
            sqlx::query(sqlx::AssertSqlSafe(format!("{COLUMNS} WHERE p.deleted_at IS NULL ORDER BY p.name, p.id")))
                .fetch_all(&self.pool)
                .await?;
        rows.iter().map(sealed).collect()
    }

    /// Providers that are switched on, for whoever may ask for a call.
    pub async fn enabled_providers(&self, _: &Scope) -> Result<Vec<Provider>> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "{COLUMNS} WHERE p.deleted_at IS NULL AND p.enabled = 1 ORDER BY p.name, p.id"
        )))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|r| Ok(sealed(r)?.provider)).collect()
    }

    /// A provider that is switched on, with its sealed key, for the gateway.
    pub async fn enabled_provider(&self, _: &Scope, id: ProviderId) -> Result<SealedProvider> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "{COLUMNS} WHERE p.id = $1 AND p.deleted_at IS NULL AND p.enabled = 1"
        )))
        .bind(id.to_string())
        .fetch_optional(&self.pool)
        .await?;
        match row {
            Some(row) => sealed(&row),
            None => Err(StoreError::conflict("그 제공자는 꺼져 있거나 지워졌습니다. 운영자에게 물어보세요.")),
        }
    }

    /// Registers a provider, switched off.
    pub async fn create_provider(&self, scope: &Scope, new: NewProvider<'_>) -> Result<()> {
        require_admin(scope)?;
        let name = checked_name("name", new.name, "제공자 이름")?;
        let model = new.model.trim();
        if model.is_empty() || model.chars().count() > 100 || model.chars().any(char::is_control) {
            return Err(StoreError::invalid("model", "모델 이름을 1~100자로 적어 주세요."));
        }
        let mut tx = self.write().await?;
        sqlx::query(
            "INSERT INTO providers (id, name, base_url, model, sealed_key, enabled, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, 0, $6, $6)",
        )
        .bind(new.id.to_string())
        .bind(&name)
        .bind(new.base_url.trim())
        .bind(model)
        .bind(new.sealed_key)
        .bind(tx.now)
        .execute(&mut *tx.tx)
        .await?;
        let detail = json!({ "provider": new.id, "name": name, "host": new.host, "model": model });
        tx.append(Event::new("provider_created", Some(scope.person()), detail)).await?;
        tx.commit().await
    }

    /// Switches a provider on or off. What is approved for one that is off cannot be sent.
    pub async fn set_provider_enabled(&self, scope: &Scope, id: ProviderId, enabled: bool) -> Result<()> {
        require_admin(scope)?;
        let mut tx = self.write().await?;
        let done =
            sqlx::query("UPDATE providers SET enabled = $1, updated_at = $2 WHERE id = $3 AND deleted_at IS NULL")
                .bind(i64::from(enabled))
                .bind(tx.now)
                .bind(id.to_string())
                .execute(&mut *tx.tx)
                .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::NotFound);
        }
        let action = if enabled { "provider_enabled" } else { "provider_disabled" };
        tx.append(Event::new(action, Some(scope.person()), json!({ "provider": id }))).await?;
        tx.commit().await
    }

    /// Deletes a provider and its key; calls that wait for it are cancelled.
    pub async fn delete_provider(&self, scope: &Scope, id: ProviderId) -> Result<()> {
        require_admin(scope)?;
        let mut tx = self.write().await?;
        let done = sqlx::query(
            "UPDATE providers SET deleted_at = $1, updated_at = $1, enabled = 0, sealed_key = '' WHERE id = $2 AND deleted_at IS NULL",
        )
        .bind(tx.now)
        .bind(id.to_string())
        .execute(&mut *tx.tx)
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::NotFound);
        }
        let cancelled = sqlx::query(
            "UPDATE external_calls SET state = 'cancelled', ended_at = $1, error = '제공자가 지워졌습니다.' \
             WHERE provider_id = $2 AND state IN ('waiting', 'approved')",
        )
        .bind(tx.now)
        .bind(id.to_string())
        .execute(&mut *tx.tx)
        .await?;
        let detail = json!({ "provider": id, "calls_cancelled": cancelled.rows_affected() });
        tx.append(Event::new("provider_deleted", Some(scope.person()), detail)).await?;
        tx.commit().await
    }
}

fn sealed(row: &AnyRow) -> Result<SealedProvider> {
    Ok(SealedProvider {
        provider: Provider {
            id: row.parsed("id")?,
            name: row.text("name")?,
            base_url: row.text("base_url")?,
            model: row.text("model")?,
            enabled: row.flag("enabled")?,
            calls: row.count("calls")?,
            created_at: row.int("created_at")?,
        },
        sealed_key: row.text("sealed_key")?,
    })
}
