//! Reads of a call by somebody other than its asker: each is a record, once for a person and a day, so that the record
//! stays readable. Opening a call to decide on it is noted in `call_approvals`, a search in texts by the gateway.

use crate::calls::Call;
use crate::ledger::Event;
use crate::{Result, Store};
use madang_domain::Scope;
use serde_json::json;

const DAY_MS: i64 = 86_400_000;
/// Korea is so far ahead of UTC.
const ZONE_MS: i64 = 9 * 3_600_000;

impl Store {
    /// Records that the reader opens this call, unless it is on record for them and this day in Korea already.
    pub async fn note_read(&self, scope: &Scope, call: &Call) -> Result<()> {
        let day = (self.now() + ZONE_MS).div_euclid(DAY_MS);
        let known = sqlx::query("SELECT day FROM call_reads WHERE call_id = $1 AND person_id = $2 AND day = $3")
            .bind(call.id.to_string())
            .bind(scope.person().to_string())
            .bind(day)
            .fetch_optional(&self.pool)
            .await?;
        if known.is_some() {
            return Ok(());
        }
        let mut tx = self.write().await?;
        let noted = sqlx::query(
            "INSERT INTO call_reads (call_id, person_id, day) VALUES ($1, $2, $3) ON CONFLICT (call_id, person_id, day) DO NOTHING",
        )
        .bind(call.id.to_string())
        .bind(scope.person().to_string())
        .bind(day)
        .execute(&mut *tx.tx)
        .await?;
        if noted.rows_affected() > 0 {
            let detail = json!({ "call": call.id, "state": call.state, "grade": call.grade });
            tx.append(Event::new("outside_call_read", Some(scope.person()), detail)).await?;
        }
        tx.commit().await
    }
}
