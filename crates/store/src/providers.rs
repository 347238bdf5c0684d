//! Outside providers: registered by the admin, off by default. The key is sealed by the gateway before it comes here
//! and no read but the gateway's own returns it.

use crate::auth::require_admin;
use crate::calls::CallState;
use crate::ledger::Event;
use crate::people::checked_name;
use crate::row::{RowExt, to_json};
use crate::{Result, Store, StoreError, WriteTx};
use madang_domain::{ExternalCallId, ProviderId, Scope};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::any::AnyRow;

/// What an asker reads whose call was taken back.
const MOVED: &str = "제공자의 주소, 방식, 모델이나 믿을 열쇠가 바뀌었습니다. 다시 신청해 주세요.";

/// Output limit where none is named, tokens. Budgets rest on it, so that a request always names one.
pub const MAX_OUTPUT_TOKENS: u32 = 2048;
/// Largest output limit, tokens.
pub const MOST_OUTPUT_TOKENS: u32 = 131_072;

/// The form in which a provider is asked and answers. What each looks like is written in the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WireForm {
    /// `chat/completions`, as most servers speak it.
    #[default]
    #[serde(rename = "openai")]
    OpenAi,
    /// Messages.
    Anthropic,
    /// `chat/completions` with the deployment in the path.
    Azure,
    /// NAVER CLOVA Studio, chat completions v3.
    Clova,
}

impl WireForm {
    pub const ALL: [Self; 4] = [Self::OpenAi, Self::Anthropic, Self::Azure, Self::Clova];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Azure => "azure",
            Self::Clova => "clova",
        }
    }

    /// Its name on screens.
    pub fn korean(self) -> &'static str {
        match self {
            Self::OpenAi => "OpenAI 호환",
            Self::Anthropic => "Anthropic",
            Self::Azure => "Azure OpenAI",
            Self::Clova => "네이버 CLOVA Studio",
        }
    }
}

impl std::str::FromStr for WireForm {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|form| form.as_str() == s).ok_or_else(|| format!("unknown wire form {s:?}"))
    }
}

/// How long a call may take, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Patience {
    /// Until the connection stands.
    pub connect_ms: u64,
    /// From then until the reply begins.
    pub first_byte_ms: u64,
    /// The whole call, attempts and the reply's last byte included.
    pub total_ms: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self { connect_ms: 10_000, first_byte_ms: 90_000, total_ms: 120_000 }
    }
}

impl Patience {
    /// Longest that any of them may be.
    pub const MOST_MS: u64 = 900_000;

    /// Each within bounds, and none longer than the whole.
    fn is_sound(&self) -> bool {
        let parts = [self.connect_ms, self.first_byte_ms];
        parts.iter().all(|ms| (100..=self.total_ms).contains(ms)) && self.total_ms <= Self::MOST_MS
    }
}

/// A registered provider, without its key.
#[derive(Debug, Clone, Serialize)]
pub struct Provider {
    pub id: ProviderId,
    pub name: String,
    pub base_url: String,
    pub model: String,
    pub wire: WireForm,
    /// Of the API, where its address names one.
    pub api_version: String,
    /// Most tokens of a reply; every request says it.
    pub max_output_tokens: u32,
    /// Replies come as a stream.
    pub stream: bool,
    /// SHA-256 of the public keys that its certificate may have, base64; empty: any that verifies.
    pub pins: Vec<String>,
    /// PEM of the only authority that is trusted; empty: the machine's.
    #[serde(skip)]
    pub authority: String,
    /// It is shown a client certificate.
    pub has_identity: bool,
    pub patience: Patience,
    pub enabled: bool,
    /// Calls that left: counted for the admin's list alone.
    pub calls: usize,
    pub created_at: i64,
}

/// A provider with its sealed key, for the gateway.
#[derive(Clone)]
pub struct SealedProvider {
    pub provider: Provider,
    pub sealed_key: String,
    /// Client certificate and key as PEM; empty where there is none.
    pub sealed_identity: String,
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
    pub wire: WireForm,
    pub api_version: &'a str,
    pub max_output_tokens: u32,
    pub stream: bool,
    /// Checked by the gateway, as are the next two.
    pub pins: &'a [String],
    pub authority: &'a str,
    pub sealed_identity: &'a str,
    pub patience: Patience,
}

/// A provider as it shall be from now on.
pub struct ProviderEdit<'a> {
    pub new: NewProvider<'a>,
    /// `new.sealed_key` is another key; else the one that is kept stays.
    pub other_key: bool,
    /// `new.sealed_identity` stands for what was there, empty or not; else that stays.
    pub other_identity: bool,
}

/// What an edit came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Edited {
    /// Where calls go, in what form, to which model or what is trusted there is another: it was switched off, and calls
    /// that waited or were approved were taken back.
    pub elsewhere: bool,
    pub calls_cancelled: usize,
}

const COLUMNS: &str = "SELECT p.id, p.name, p.base_url, p.model, p.enabled, p.sealed_key, p.created_at, p.wire, p.api_version, \
     p.max_output_tokens, p.stream, p.pins, p.authority, p.sealed_identity, p.connect_ms, p.first_byte_ms, p.total_ms \
     FROM providers p ";

impl Store {
    /// All providers with their sealed keys, for the admin's screen by way of the gateway.
    pub async fn providers(&self, scope: &Scope) -> Result<Vec<SealedProvider>> {
        require_admin(scope)?;
        let rows =
            sqlx::query(sqlx::AssertSqlSafe(format!("{COLUMNS} WHERE p.deleted_at IS NULL ORDER BY p.name, p.id")))
                .fetch_all(&self.pool)
                .await?;
        let mut all = rows.iter().map(sealed).collect::<Result<Vec<_>>>()?;
        let counted = sqlx::query(
            "SELECT provider_id, COUNT(*) AS calls FROM external_calls \
             WHERE sent_at IS NOT NULL AND reply_from IS NULL AND state <> 'failed' GROUP BY provider_id",
        )
        .fetch_all(&self.pool)
        .await?;
        for row in &counted {
            let id: ProviderId = row.parsed("provider_id")?;
            if let Some(found) = all.iter_mut().find(|p| p.provider.id == id) {
                found.provider.calls = row.count("calls")?;
            }
        }
        Ok(all)
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
        let (name, model) = new.checked()?;
        let mut tx = self.write().await?;
        sqlx::query(
            "INSERT INTO providers (id, name, base_url, model, sealed_key, enabled, created_at, updated_at, wire, api_version, \
             max_output_tokens, stream, pins, authority, sealed_identity, connect_ms, first_byte_ms, total_ms) \
             VALUES ($1, $2, $3, $4, $5, 0, $6, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        )
        .bind(new.id.to_string())
        .bind(&name)
        .bind(new.base_url.trim())
        .bind(model)
        .bind(new.sealed_key)
        .bind(tx.now)
        .bind(new.wire.as_str())
        .bind(new.api_version)
        .bind(i64::from(new.max_output_tokens))
        .bind(i64::from(new.stream))
        .bind(to_json(&new.pins))
        .bind(new.authority)
        .bind(new.sealed_identity)
        .bind(ms(new.patience.connect_ms))
        .bind(ms(new.patience.first_byte_ms))
        .bind(ms(new.patience.total_ms))
        .execute(&mut *tx.tx)
        .await?;
        let detail = json!({
            "provider": new.id, "name": name, "host": new.host, "model": model, "wire": new.wire.as_str(),
            "max_output_tokens": new.max_output_tokens, "stream": new.stream, "pins": new.pins,
            "own_authority": !new.authority.is_empty(), "client_certificate": !new.sealed_identity.is_empty(),
        });
        tx.append(Event::new("provider_created", Some(scope.person()), detail)).await?;
        tx.commit().await
    }

    /// Changes a provider. Where calls go elsewhere from now on, it is switched off, and calls that waited for it or
    /// were approved are taken back in the same step: what was decided was decided for what stood here before.
    pub async fn edit_provider(&self, scope: &Scope, edit: ProviderEdit<'_>) -> Result<Edited> {
        require_admin(scope)?;
        let new = &edit.new;
        let (name, model) = new.checked()?;
        let mut tx = self.write().await?;
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("{COLUMNS} WHERE p.id = $1 AND p.deleted_at IS NULL")))
            .bind(new.id.to_string())
            .fetch_optional(&mut *tx.tx)
            .await?;
        let before = sealed(&row.ok_or(StoreError::NotFound)?)?;
        let (changes, elsewhere) = changes(&before.provider, &edit, &name, model);
        if changes.is_empty() {
            return Ok(Edited { elsewhere: false, calls_cancelled: 0 });
        }
        sqlx::query(
            "UPDATE providers SET name = $1, base_url = $2, model = $3, sealed_key = $4, enabled = $5, updated_at = $6, wire = $7, \
             api_version = $8, max_output_tokens = $9, stream = $10, pins = $11, authority = $12, sealed_identity = $13, \
             connect_ms = $14, first_byte_ms = $15, total_ms = $16 WHERE id = $17",
        )
        .bind(&name)
        .bind(new.base_url.trim())
        .bind(model)
        .bind(if edit.other_key { new.sealed_key } else { &before.sealed_key })
        .bind(i64::from(before.provider.enabled && !elsewhere))
        .bind(tx.now)
        .bind(new.wire.as_str())
        .bind(new.api_version)
        .bind(i64::from(new.max_output_tokens))
        .bind(i64::from(new.stream))
        .bind(to_json(&new.pins))
        .bind(new.authority)
        .bind(if edit.other_identity { new.sealed_identity } else { &before.sealed_identity })
        .bind(ms(new.patience.connect_ms))
        .bind(ms(new.patience.first_byte_ms))
        .bind(ms(new.patience.total_ms))
        .bind(new.id.to_string())
        .execute(&mut *tx.tx)
        .await?;
        let calls = if elsewhere { tx.take_back_calls(scope, new.id, MOVED).await? } else { Vec::new() };
        let detail = json!({
            "provider": new.id, "name": name, "host": new.host, "changed": changes, "calls_cancelled": calls.len(), "calls": calls,
            "switched_off": elsewhere && before.provider.enabled,
        });
        tx.append(Event::new("provider_changed", Some(scope.person()), detail)).await?;
        tx.commit().await?;
        Ok(Edited { elsewhere, calls_cancelled: calls.len() })
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
            "UPDATE providers SET deleted_at = $1, updated_at = $1, enabled = 0, sealed_key = '', sealed_identity = '' WHERE id = $2 AND deleted_at IS NULL",
        )
        .bind(tx.now)
        .bind(id.to_string())
        .execute(&mut *tx.tx)
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::NotFound);
        }
        let calls = tx.take_back_calls(scope, id, "제공자가 지워졌습니다.").await?;
        let detail = json!({ "provider": id, "calls_cancelled": calls.len(), "calls": calls });
        tx.append(Event::new("provider_deleted", Some(scope.person()), detail)).await?;
        tx.commit().await
    }
}

impl WriteTx {
    /// Cancels the calls that wait for a provider or are approved, with a record each; which.
    async fn take_back_calls(&mut self, scope: &Scope, id: ProviderId, why: &str) -> Result<Vec<ExternalCallId>> {
        let waiting = format!("provider_id = '{id}' AND state IN ('waiting', 'approved')");
        let calls = self.settle(&waiting, CallState::Cancelled, why).await?;
        for call in &calls {
            let detail = json!({ "call": call, "reason": why, "provider": id });
            self.append(Event::new("outside_call_cancelled", Some(scope.person()), detail)).await?;
        }
        Ok(calls)
    }

    /// A call may be kept only for the provider that it was written for, as it stands now.
    pub(crate) async fn require_same_provider(&mut self, written_for: &Provider) -> Result<()> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "{COLUMNS} WHERE p.id = $1 AND p.deleted_at IS NULL AND p.enabled = 1"
        )))
        .bind(written_for.id.to_string())
        .fetch_optional(&mut *self.tx)
        .await?;
        match row {
            Some(row) if sealed(&row)?.provider.stands_where(written_for) => Ok(()),
            _ => Err(StoreError::conflict("그 사이에 제공자가 꺼졌거나 바뀌었습니다. 다시 신청해 주세요.")),
        }
    }
}

impl NewProvider<'_> {
    /// Name and model, and all that is counted, within bounds.
    fn checked(&self) -> Result<(String, &str)> {
        let name = checked_name("name", self.name, "제공자 이름")?;
        let model = self.model.trim();
        if model.is_empty() || model.chars().count() > 100 || model.chars().any(char::is_control) {
            return Err(StoreError::invalid("model", "모델 이름을 1~100자로 적어 주세요."));
        }
        if !(1..=MOST_OUTPUT_TOKENS).contains(&self.max_output_tokens) {
            let message = format!("출력 한도는 1~{MOST_OUTPUT_TOKENS}토큰입니다.");
            return Err(StoreError::invalid("max_output_tokens", message));
        }
        if !self.patience.is_sound() {
            let message = "기다리는 시간은 0.1초 이상, 모두 합한 시간보다 길지 않게, 15분까지 적어 주세요.";
            return Err(StoreError::invalid("total_ms", message));
        }
        Ok((name, model))
    }
}

impl Provider {
    /// Calls to `other` would go to the same place, in the same form, trusting the same.
    fn stands_where(&self, other: &Self) -> bool {
        let what = |p: &Self| (p.base_url.clone(), p.model.clone(), p.wire, p.api_version.clone(), p.stream);
        what(self) == what(other) && self.pins == other.pins && self.authority == other.authority
    }
}

/// What an edit changes, for the record (never a key), and whether calls go elsewhere with it.
fn changes(
    before: &Provider,
    edit: &ProviderEdit<'_>,
    name: &str,
    model: &str,
) -> (serde_json::Map<String, serde_json::Value>, bool) {
    let (new, old) = (&edit.new, &before.patience);
    let patience = |p: &Patience| json!([p.connect_ms, p.first_byte_ms, p.total_ms]);
    let plain = [
        ("name", json!(before.name), json!(name)),
        ("max_output_tokens", json!(before.max_output_tokens), json!(new.max_output_tokens)),
        ("patience_ms", patience(old), patience(&new.patience)),
    ];
    let place = [
        ("base_url", json!(before.base_url), json!(new.base_url.trim())),
        ("model", json!(before.model), json!(model)),
        ("wire", json!(before.wire), json!(new.wire)),
        ("api_version", json!(before.api_version), json!(new.api_version)),
        ("stream", json!(before.stream), json!(new.stream)),
        ("pins", json!(before.pins), json!(new.pins)),
    ];
    let differ = |all: &[(&str, serde_json::Value, serde_json::Value)]| -> Vec<(String, serde_json::Value)> {
        let changed = all.iter().filter(|(_, was, is)| was != is);
        changed.map(|(what, was, is)| ((*what).to_owned(), json!({ "from": was, "to": is }))).collect()
    };
    let mut elsewhere = differ(&place);
    if before.authority != new.authority {
        elsewhere.push((
            "own_authority".to_owned(),
            json!({ "from": !before.authority.is_empty(), "to": !new.authority.is_empty() }),
        ));
    }
    let moved = !elsewhere.is_empty();
    let mut out: serde_json::Map<_, _> = differ(&plain).into_iter().chain(elsewhere).collect();
    if edit.other_key {
        out.insert("api_key".to_owned(), json!("replaced"));
    }
    if edit.other_identity && (before.has_identity || !new.sealed_identity.is_empty()) {
        let to = if new.sealed_identity.is_empty() { "removed" } else { "replaced" };
        out.insert("client_certificate".to_owned(), json!(to));
    }
    (out, moved)
}

fn ms(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn sealed(row: &AnyRow) -> Result<SealedProvider> {
    let count = |name: &'static str| Ok::<_, StoreError>(row.count(name)? as u64);
    let sealed_identity = row.text("sealed_identity")?;
    Ok(SealedProvider {
        provider: Provider {
            id: row.parsed("id")?,
            name: row.text("name")?,
            base_url: row.text("base_url")?,
            model: row.text("model")?,
            wire: row.parsed("wire")?,
            api_version: row.text("api_version")?,
            max_output_tokens: u32::try_from(count("max_output_tokens")?)
                .map_err(|_| StoreError::Corrupt("max_output_tokens"))?,
            stream: row.flag("stream")?,
            pins: row.json("pins")?,
            authority: row.text("authority")?,
            has_identity: !sealed_identity.is_empty(),
            patience: Patience {
                connect_ms: count("connect_ms")?,
                first_byte_ms: count("first_byte_ms")?,
                total_ms: count("total_ms")?,
            },
            enabled: row.flag("enabled")?,
            calls: 0,
            created_at: row.int("created_at")?,
        },
        sealed_key: row.text("sealed_key")?,
        sealed_identity,
    })
}
