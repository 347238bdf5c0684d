//! Times in which officers are away, said by themselves. Who stands in for them is the policy's.

use crate::ledger::Event;
use crate::row::RowExt;
use crate::{Result, Store, StoreError};
use madang_domain::{AbsenceId, PersonId, Role, Scope};
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeSet;

/// Longest absence, milliseconds: a year and a day.
const LONGEST: i64 = 366 * 86_400_000;
/// Absences of one person that are not over, at most.
const MOST: i64 = 20;

/// A time in which an officer is away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Absence {
    pub id: AbsenceId,
    pub person: PersonId,
    pub name: String,
    /// Unix milliseconds.
    pub from_at: i64,
    pub until_at: i64,
    /// The reader's own, which they may take back.
    pub own: bool,
}

/// Those who decide on something: security officers and managers, in a browser.
fn require_officer(scope: &Scope) -> Result<()> {
    if scope.token().is_none() && (scope.has_role(Role::Security) || scope.has_role(Role::Manager)) {
        Ok(())
    } else {
        Err(StoreError::denied("부서장과 보안담당이 하는 일입니다."))
    }
}

impl Store {
    /// Absences that are not over, the next first.
    pub async fn absences(&self, scope: &Scope) -> Result<Vec<Absence>> {
        require_officer(scope)?;
        let rows = sqlx::query(
            "SELECT a.id, a.person_id, p.name, a.from_at, a.until_at, CASE WHEN a.person_id = $1 THEN 1 ELSE 0 END AS own \
             FROM officer_absences a JOIN people p ON p.id = a.person_id WHERE a.until_at > $2 AND p.active = 1 \
             ORDER BY a.from_at, a.id",
        )
        .bind(scope.person().to_string())
        .bind(self.now())
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|r| {
                Ok(Absence {
                    id: r.parsed("id")?,
                    person: r.parsed("person_id")?,
                    name: r.text("name")?,
                    from_at: r.int("from_at")?,
                    until_at: r.int("until_at")?,
                    own: r.flag("own")?,
                })
            })
            .collect()
    }

    /// Who is away at a moment (Unix milliseconds). No Scope: the gateway asks it when somebody decides on a call.
    pub async fn officers_away(&self, now: i64) -> Result<BTreeSet<PersonId>> {
        let rows = sqlx::query("SELECT DISTINCT person_id FROM officer_absences WHERE from_at <= $1 AND until_at > $1")
            .bind(now)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|r| r.parsed("person_id")).collect()
    }

    /// Says that the reader is away, from and until as Unix milliseconds.
    ///
    /// # Errors
    /// [`StoreError::Denied`] for all but security officers and managers, [`StoreError::Invalid`] for a time that is
    /// over, ends before it begins or lasts longer than a year.
    pub async fn add_absence(&self, scope: &Scope, from_at: i64, until_at: i64) -> Result<AbsenceId> {
        require_officer(scope)?;
        let mut tx = self.write().await?;
        if until_at <= from_at || until_at <= tx.now {
            return Err(StoreError::invalid("until", "돌아오는 때를 지금과 비우는 때보다 뒤로 정해 주세요."));
        }
        if until_at.saturating_sub(from_at) > LONGEST {
            return Err(StoreError::invalid("until", "자리를 비우는 동안은 1년까지 정할 수 있습니다."));
        }
        let pending = sqlx::query("SELECT COUNT(*) AS n FROM officer_absences WHERE person_id = $1 AND until_at > $2")
            .bind(scope.person().to_string())
            .bind(tx.now)
            .fetch_one(&mut *tx.tx)
            .await?
            .int("n")?;
        if pending >= MOST {
            return Err(StoreError::conflict(format!(
                "정해 둔 때가 {MOST}개입니다. 필요 없는 것을 지우고 다시 해 주세요."
            )));
        }
        let id = AbsenceId::new();
        sqlx::query("INSERT INTO officer_absences (id, person_id, from_at, until_at) VALUES ($1, $2, $3, $4)")
            .bind(id.to_string())
            .bind(scope.person().to_string())
            .bind(from_at)
            .bind(until_at)
            .execute(&mut *tx.tx)
            .await?;
        let detail = json!({ "absence": id, "from_at": from_at, "until_at": until_at });
        tx.append(Event::new("officer_absence_added", Some(scope.person()), detail)).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Takes back an absence of the reader's own. What it brought about while it lasted stays.
    pub async fn remove_absence(&self, scope: &Scope, id: AbsenceId) -> Result<()> {
        require_officer(scope)?;
        let mut tx = self.write().await?;
        let row = sqlx::query("SELECT from_at, until_at FROM officer_absences WHERE id = $1 AND person_id = $2")
            .bind(id.to_string())
            .bind(scope.person().to_string())
            .fetch_one(&mut *tx.tx)
            .await?;
        sqlx::query("DELETE FROM officer_absences WHERE id = $1").bind(id.to_string()).execute(&mut *tx.tx).await?;
        let detail = json!({ "absence": id, "from_at": row.int("from_at")?, "until_at": row.int("until_at")? });
        tx.append(Event::new("officer_absence_removed", Some(scope.person()), detail)).await?;
        tx.commit().await
    }
}
