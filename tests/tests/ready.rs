//! What monitoring reads at `/readyz`: a record that cannot be signed shows there, and people go on working.

use anyhow::Context;
use madang_tests::{City, Client, Madang, PASSWORD};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{AnyPool, AssertSqlSafe};

type Test = anyhow::Result<()>;

struct Place {
    server: Madang,
    city: City,
    _home: tempfile::TempDir,
}

impl Place {
    async fn open() -> anyhow::Result<Self> {
        let home = tempfile::tempdir()?;
        let server = Madang::start_in(&home.path().join("home"), &[])?;
        let city = City::build(&server).await?;
        let place = Self { server, city, _home: home };
        assert_eq!(
            place.ready().await?,
            json!({ "status": "ready", "ledger": { "signed": true, "reason": null, "since": null } })
        );
        Ok(place)
    }

    /// As nobody: monitoring does not sign in.
    async fn ready(&self) -> anyhow::Result<Value> {
        let answer = Client::new(&self.server.base)?.get("/readyz").await?;
        assert_eq!(answer.status(), StatusCode::OK, "people can work");
        Ok(answer.json().await?)
    }

    async fn degraded(&self, why: &str) -> anyhow::Result<Value> {
        let found = self.ready().await?;
        assert_eq!((&found["status"], &found["ledger"]["signed"]), (&json!("degraded"), &json!(false)));
        let reason = found["ledger"]["reason"].as_str().context("reason")?;
        assert!(reason.contains(why), "{reason}");
        assert_eq!(Client::new(&self.server.base)?.get("/healthz").await?.status(), StatusCode::OK, "the process runs");
        Ok(found)
    }

    /// Signs what is not signed yet.
    async fn export(&self) -> anyhow::Result<StatusCode> {
        let wanted = json!({ "format": "jsonl", "reason": "정기 점검" });
        Ok(self.city.security.client.post("/api/v1/ledger/export", wanted).await?.status())
    }

    /// As whoever has the database.
    async fn tamper(&self, statements: &[&str]) -> Test {
        sqlx::any::install_default_drivers();
        let pool = AnyPool::connect(&format!("sqlite://{}", self.server.home().join("madang.db").display())).await?;
        for statement in statements {
            sqlx::query(AssertSqlSafe((*statement).to_owned())).execute(&pool).await.context(statement.to_string())?;
        }
        pool.close().await;
        Ok(())
    }
}

#[tokio::test]
async fn a_tree_that_does_not_end_where_the_record_ends_shows_and_people_sign_in() -> Test {
    let place = Place::open().await?;
    place.tamper(&["UPDATE ledger_tree SET size = size - 1"]).await?;
    place.degraded("해시 트리의 끝").await?;
    let mut client = Client::new(&place.server.base)?;
    client.sign_in(&place.city.ict_official.login, PASSWORD).await?;
    assert_eq!(client.page("/").await?.0, StatusCode::OK);
    place.degraded("해시 트리의 끝").await?;
    Ok(())
}

#[tokio::test]
async fn a_key_that_does_not_open_or_is_gone_shows() -> Test {
    let place = Place::open().await?;
    place
        .tamper(&["CREATE TABLE kept AS SELECT sealed FROM ledger_keys", "UPDATE ledger_keys SET sealed = 'AAAA'"])
        .await?;
    place.degraded("원장의 키를 열 수 없습니다").await?;
    place.tamper(&["UPDATE ledger_keys SET sealed = (SELECT sealed FROM kept)"]).await?;
    assert_eq!(place.ready().await?["status"], "ready");
    place.tamper(&["CREATE TABLE keys AS SELECT * FROM ledger_keys", "DELETE FROM ledger_keys"]).await?;
    place.degraded("없어져").await?;
    place.tamper(&["INSERT INTO ledger_keys SELECT * FROM keys"]).await?;
    assert_eq!(place.ready().await?["status"], "ready");
    Ok(())
}

#[tokio::test]
async fn a_refusal_to_sign_shows_until_the_contradiction_is_gone() -> Test {
    let place = Place::open().await?;
    assert_eq!(place.export().await?, StatusCode::OK);
    // Another record than the one that the tree holds, among those that are not signed yet.
    place.city.security.client.get("/ledger").await?;
    let at = "WHERE seq = (SELECT MAX(seq) - 1 FROM ledger)";
    let alter = format!("UPDATE ledger SET hash = '{}' {at}", "0".repeat(64));
    place
        .tamper(&[
            "DROP TRIGGER ledger_no_update",
            &format!("CREATE TABLE kept AS SELECT seq, hash FROM ledger {at}"),
            &alter,
        ])
        .await?;
    place.export().await?;
    let found = place.degraded("다릅니다").await?;
    assert!(found["ledger"]["since"].is_i64(), "{found}");
    place.tamper(&["UPDATE ledger SET hash = (SELECT hash FROM kept) WHERE seq = (SELECT seq FROM kept)"]).await?;
    place.export().await?;
    assert_eq!(place.ready().await?["status"], "ready");
    Ok(())
}
