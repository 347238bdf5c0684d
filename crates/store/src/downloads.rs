//! Fetching files of models from outside: which hosts are allowed (none at first), and the rows of the requests, each
//! recorded before it leaves and after it ends.
//!
//! ```text
//! fetching ─► fetched | redirected | refused (its reply was not taken) | stopped | failed (nothing left)
//!        └─► unknown (the process died: counts as sent)
//! ```
//!
//! Both are done from the command line, where holding the machine is the authority; the record names the operating
//! system's user. What an address may be and how it is reached is decided in `gateway`.

use crate::ledger::Event;
use crate::row::RowExt;
use crate::{Result, Store, StoreError, WriteTx};
use madang_domain::DownloadId;
use serde::Serialize;
use serde_json::{Value, json};

/// Where a request for a file stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DownloadState {
    /// The intent is on disk; the request may be on its way.
    Fetching,
    Fetched,
    /// The host named another address; following it is a request of its own.
    Redirected,
    /// A reply came and was not taken: its status, size or hash.
    Refused,
    /// Broken off before its end, by a person or on the way. What came is kept.
    Stopped,
    /// Nothing left.
    Failed,
    /// It may have left: counts as sent.
    Unknown,
}

impl DownloadState {
    const ALL: [Self; 7] =
        [Self::Fetching, Self::Fetched, Self::Redirected, Self::Refused, Self::Stopped, Self::Failed, Self::Unknown];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fetching => "fetching",
            Self::Fetched => "fetched",
            Self::Redirected => "redirected",
            Self::Refused => "refused",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }

    /// Korean name, as screens show it.
    pub fn korean(self) -> &'static str {
        match self {
            Self::Fetching => "받는 중",
            Self::Fetched => "받음",
            Self::Redirected => "다른 주소로 안내받음",
            Self::Refused => "받지 않음",
            Self::Stopped => "받다가 멈춤",
            Self::Failed => "보내지 못함",
            Self::Unknown => "알 수 없음(보낸 것으로 셈)",
        }
    }
}

impl std::str::FromStr for DownloadState {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|state| state.as_str() == s).ok_or_else(|| format!("unknown state {s:?}"))
    }
}

/// Who acts on the command line: the operating system's user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalUser {
    /// As the system's list of users names them; empty where it does not.
    pub name: String,
    pub id: u32,
}

impl LocalUser {
    /// The detail of a record with who acted.
    pub fn fields(&self, mut detail: Value) -> Value {
        if let Some(map) = detail.as_object_mut() {
            map.insert("by".to_owned(), json!("command line"));
            map.insert("os_user".to_owned(), json!(self.name));
            map.insert("uid".to_owned(), json!(self.id));
        }
        detail
    }
}

/// A request about to be made.
pub struct NewDownload<'a> {
    pub id: DownloadId,
    pub model: &'a str,
    /// As in the list of allowed hosts.
    pub host: &'a str,
    /// Without the query, in which content hosts carry signatures.
    pub path: &'a str,
    /// The addresses that the connection is pinned to, in their order.
    pub address: &'a str,
    /// 0, and one more for every redirect followed.
    pub hop: usize,
    /// Bytes that were there from an earlier attempt.
    pub resumed_from: u64,
    pub by: &'a LocalUser,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadEnd {
    pub state: DownloadState,
    pub status: Option<u16>,
    /// Bytes of the reply that were kept.
    pub bytes: u64,
    /// Of the whole file, once it is whole.
    pub sha256: Option<String>,
    /// Korean.
    pub error: Option<String>,
}

impl Store {
    /// Hosts that files of models may be fetched from, in order.
    pub async fn download_hosts(&self) -> Result<Vec<String>> {
        let rows = sqlx::query("SELECT host FROM download_hosts ORDER BY host").fetch_all(&self.pool).await?;
        rows.iter().map(|r| r.text("host")).collect()
    }

    /// Allows a host, with its record; `false` when it was allowed already.
    pub async fn allow_download_host(&self, host: &str, by: &LocalUser) -> Result<bool> {
        let mut tx = self.write().await?;
        let done =
            sqlx::query("INSERT INTO download_hosts (host, created_at) VALUES ($1, $2) ON CONFLICT (host) DO NOTHING")
                .bind(host)
                .bind(tx.now)
                .execute(&mut *tx.tx)
                .await?;
        tx.host_changed("download_host_allowed", done.rows_affected(), host, by).await
    }

    /// Takes a host off the list, with its record; `false` when it was not on it.
    pub async fn forbid_download_host(&self, host: &str, by: &LocalUser) -> Result<bool> {
        let mut tx = self.write().await?;
        let done = sqlx::query("DELETE FROM download_hosts WHERE host = $1").bind(host).execute(&mut *tx.tx).await?;
        tx.host_changed("download_host_removed", done.rows_affected(), host, by).await
    }

    /// Commits the intent to fetch: afterwards, and only afterwards, the connection may be opened.
    ///
    /// # Errors
    /// [`StoreError::Denied`] unless the host is allowed at this very moment; [`StoreError::Conflict`] while everything
    /// outside is stopped.
    pub async fn begin_download(&self, new: &NewDownload<'_>) -> Result<()> {
        let mut tx = self.write().await?;
        tx.require_outside_open().await?;
        let done = sqlx::query(
            "INSERT INTO downloads (id, model, host, path, address, hop, os_user, state, bytes, started_at) \
             SELECT $1, $2, $3, $4, $5, CAST($6 AS BIGINT), $7, 'fetching', 0, CAST($8 AS BIGINT) WHERE EXISTS (SELECT 1 FROM download_hosts WHERE host = $3)",
        )
        .bind(new.id.to_string())
        .bind(new.model)
        .bind(new.host)
        .bind(new.path)
        .bind(new.address)
        .bind(i64::try_from(new.hop).unwrap_or(i64::MAX))
        .bind(new.by.name.as_str())
        .bind(tx.now)
        .execute(&mut *tx.tx)
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::denied(format!("{}은(는) 내려받기가 허용된 곳이 아닙니다.", new.host)));
        }
        let detail = json!({
            "download": new.id, "purpose": "model download", "model": new.model, "host": new.host, "path": new.path,
            "pinned": new.address, "hop": new.hop, "resumed_from": new.resumed_from,
        });
        tx.append(Event::new("model_download_intent", None, new.by.fields(detail))).await?;
        tx.commit().await
    }

    /// Keeps how a request ended, with its record.
    pub async fn finish_download(&self, id: DownloadId, end: &DownloadEnd, by: &LocalUser) -> Result<()> {
        let mut tx = self.write().await?;
        let detail = json!({
            "download": id, "outcome": end.state, "status": end.status, "reply_bytes": end.bytes, "sha256": end.sha256,
            "error": end.error,
        });
        tx.end_download(id, end, by.fields(detail)).await?;
        tx.commit().await
    }

    /// Records that something was not fetched and why: nothing left.
    pub async fn refuse_download(&self, model: &str, host: &str, reason: &str, by: &LocalUser) -> Result<()> {
        let detail = json!({ "model": model, "host": host, "reason": reason });
        self.record(Event::new("model_download_refused", None, by.fields(detail))).await?;
        Ok(())
    }

    /// Requests whose end is not recorded.
    pub async fn open_downloads(&self) -> Result<Vec<DownloadId>> {
        let rows = sqlx::query("SELECT id FROM downloads WHERE state = 'fetching' ORDER BY started_at, id")
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|r| r.parsed("id")).collect()
    }

    /// What a process that died was fetching may have left, and counts as sent. Call it only where no process fetches.
    /// Returns how many there were.
    pub async fn settle_downloads(&self) -> Result<usize> {
        let open = self.open_downloads().await?;
        let error = "받는 사이에 프로그램이 멈췄습니다. 보낸 것으로 봅니다.".to_owned();
        let end =
            DownloadEnd { state: DownloadState::Unknown, status: None, bytes: 0, sha256: None, error: Some(error) };
        let mut tx = self.write().await?;
        for id in &open {
            tx.end_download(*id, &end, json!({ "download": id, "outcome": end.state, "error": end.error })).await?;
        }
        tx.commit().await?;
        Ok(open.len())
    }
}

impl WriteTx {
    async fn host_changed(mut self, action: &'static str, rows: u64, host: &str, by: &LocalUser) -> Result<bool> {
        if rows > 0 {
            self.append(Event::new(action, None, by.fields(json!({ "host": host })))).await?;
        }
        self.commit().await?;
        Ok(rows > 0)
    }

    async fn end_download(&mut self, id: DownloadId, end: &DownloadEnd, detail: Value) -> Result<()> {
        let done = sqlx::query(
            "UPDATE downloads SET state = $1, status = $2, bytes = $3, sha256 = $4, error = $5, ended_at = $6 \
             WHERE id = $7 AND state = 'fetching'",
        )
        .bind(end.state.as_str())
        .bind(end.status.map(i64::from))
        .bind(i64::try_from(end.bytes).unwrap_or(i64::MAX))
        .bind(end.sha256.clone())
        .bind(end.error.clone())
        .bind(self.now)
        .bind(id.to_string())
        .execute(&mut *self.tx)
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::conflict("이 내려받기의 결과는 이미 적혀 있습니다."));
        }
        self.append(Event::new("model_download_outcome", None, detail)).await?;
        Ok(())
    }
}
