//! The switch that stops everything outside at once (비상 정지): its row, who may move it, and the condition that every
//! intent to send asks for in its own transaction. Cutting what is on its way is the gateway's.

use crate::auth::{require_admin, require_security};
use crate::ledger::Event;
use crate::row::RowExt;
use crate::{Result, Store, StoreError, WriteTx};
use madang_domain::Scope;
use serde::Serialize;
use serde_json::json;

/// What is said wherever something would leave while the switch is thrown.
pub const STOPPED: &str =
    "외부로 보내는 일이 모두 멈춰 있습니다(비상 정지). 보안담당이 다시 열 때까지 보낼 수 없습니다.";

/// The switch as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutsideSwitch {
    /// Nothing may leave.
    pub stopped: bool,
    /// Why it was last moved.
    pub reason: String,
    /// Who moved it; `None` before anybody did.
    pub by: Option<String>,
    /// 0 before anybody did.
    pub changed_at: i64,
}

impl Store {
    /// The switch. It belongs to the installation and every reader may know it, so that it takes no scope.
    pub async fn outside_switch(&self) -> Result<OutsideSwitch> {
        let row = sqlx::query(
            "SELECT s.stopped, s.reason, s.changed_at, p.name AS by_name FROM outside_switch s \
             LEFT JOIN people p ON p.id = s.person_id WHERE s.id = 1",
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(OutsideSwitch {
            stopped: row.flag("stopped")?,
            reason: row.text("reason")?,
            by: row.opt_text("by_name")?,
            changed_at: row.int("changed_at")?,
        })
    }

    /// Stops everything outside. Who finds it stopped already adds their reason to the record.
    ///
    /// # Errors
    /// [`StoreError::Denied`] unless a security officer or an admin asks in a browser.
    pub async fn stop_outside(&self, scope: &Scope, reason: &str) -> Result<()> {
        require_security(scope)
            .or_else(|_| require_admin(scope))
            .map_err(|_| StoreError::denied("보안담당이나 운영자만 멈출 수 있습니다."))?;
        let mut tx = self.write().await?;
        tx.lock_ledger().await?;
        tx.set_switch(scope, true, reason).await?;
        tx.append(Event::new("outside_stopped", Some(scope.person()), json!({ "reason": reason }))).await?;
        tx.commit().await
    }

    /// Opens the way out again.
    ///
    /// # Errors
    /// [`StoreError::Denied`] unless a security officer asks in a browser; [`StoreError::Conflict`] while it is open.
    pub async fn resume_outside(&self, scope: &Scope, reason: &str) -> Result<()> {
        require_security(scope)?;
        let mut tx = self.write().await?;
        tx.lock_ledger().await?;
        if !tx.outside_stopped().await? {
            return Err(StoreError::conflict("멈춰 있지 않습니다. 화면을 새로 고쳐 확인해 주세요."));
        }
        tx.set_switch(scope, false, reason).await?;
        tx.append(Event::new("outside_resumed", Some(scope.person()), json!({ "reason": reason }))).await?;
        tx.commit().await
    }
}

impl WriteTx {
    /// The way out is open, at this very moment and until this transaction ends: stopping waits for it, or it for
    /// stopping, under the lock that appending takes.
    pub(crate) async fn require_outside_open(&mut self) -> Result<()> {
        self.lock_ledger().await?;
        if self.outside_stopped().await? { Err(StoreError::conflict(STOPPED)) } else { Ok(()) }
    }

    async fn outside_stopped(&mut self) -> Result<bool> {
        sqlx::query("SELECT stopped FROM outside_switch WHERE id = 1").fetch_one(&mut *self.tx).await?.flag("stopped")
    }

    async fn set_switch(&mut self, scope: &Scope, stopped: bool, reason: &str) -> Result<()> {
        sqlx::query(
            "UPDATE outside_switch SET stopped = $1, reason = $2, person_id = $3, changed_at = $4 WHERE id = 1",
        )
        .bind(i64::from(stopped))
        .bind(reason)
        .bind(scope.person().to_string())
        .bind(self.now)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }
}
