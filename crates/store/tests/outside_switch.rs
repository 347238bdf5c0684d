//! The emergency stop in the database: who may move it, what it keeps from being committed, and that a committed intent
//! and a stop never pass each other.

mod house;

use house::{House, houses, member};
use madang_domain::{DownloadId, Role};
use madang_store::downloads::{LocalUser, NewDownload};
use madang_store::providers::{NewProvider, Patience, WireForm};
use madang_store::{Store, StoreError};

async fn begin(store: &Store) -> Result<(), StoreError> {
    let by = LocalUser { name: "root".into(), id: 0 };
    let new = NewDownload {
        id: DownloadId::new(),
        model: "m",
        host: "hub.example",
        path: "/m",
        address: "1.1.1.1:443",
        hop: 0,
        resumed_from: 0,
        by: &by,
    };
    store.begin_download(&new).await
}

async fn actions(house: &House) -> Vec<String> {
    let all = house.store.ledger_chain(1, 10_000).await.unwrap();
    let action = |payload: &str| {
        let json: serde_json::Value = serde_json::from_str(payload).unwrap();
        json["action"].as_str().unwrap().to_owned()
    };
    all.iter()
        .map(|e| action(&e.payload))
        .filter(|a| a.starts_with("outside_") || a.contains("download_intent"))
        .collect()
}

#[tokio::test]
async fn it_is_thrown_by_some_and_taken_back_by_fewer() {
    for house in houses().await {
        let store = &house.store;
        let admin = member(store, "c-admin", house.here, &[Role::Admin]).await;
        store.allow_download_host("hub.example", &LocalUser { name: "root".into(), id: 0 }).await.unwrap();
        assert!(!store.outside_switch().await.unwrap().stopped);
        begin(store).await.unwrap();
        for nobody in [&house.writer, &house.manager, &house.stranger] {
            assert!(matches!(store.stop_outside(nobody, "까닭").await, Err(StoreError::Denied(_))));
        }
        store.stop_outside(&admin, "이상한 요청").await.unwrap();
        store.stop_outside(&house.security, "나도 보았음").await.unwrap();
        let known = store.outside_switch().await.unwrap();
        assert_eq!(
            (known.stopped, known.reason.as_str(), known.by.as_deref()),
            (true, "나도 보았음", Some("c-security"))
        );
        assert!(matches!(begin(store).await, Err(StoreError::Conflict(_))));
        for nobody in [&house.writer, &admin] {
            assert!(matches!(store.resume_outside(nobody, "까닭").await, Err(StoreError::Denied(_))));
        }
        store.resume_outside(&house.security, "확인함").await.unwrap();
        assert!(matches!(store.resume_outside(&house.security, "또").await, Err(StoreError::Conflict(_))));
        begin(store).await.unwrap();
        let expected =
            ["model_download_intent", "outside_stopped", "outside_stopped", "outside_resumed", "model_download_intent"];
        assert_eq!(actions(&house).await, expected);
    }
}

#[tokio::test]
async fn no_intent_is_recorded_after_a_stop() {
    for house in houses().await {
        let store = &house.store;
        store.allow_download_host("hub.example", &LocalUser { name: "root".into(), id: 0 }).await.unwrap();
        let mut many = tokio::task::JoinSet::new();
        for n in 0..24 {
            let (store, security) = (store.clone(), house.security.clone());
            many.spawn(async move {
                if n == 12 { store.stop_outside(&security, "정지").await } else { begin(&store).await }
            });
        }
        let ended = many.join_all().await;
        let actions = actions(&house).await;
        let stop = actions.iter().position(|a| a == "outside_stopped").unwrap();
        assert_eq!(stop + 1, actions.len(), "nothing follows it: {actions:?}");
        assert_eq!(ended.iter().filter(|r| r.is_ok()).count(), actions.len(), "what was told is what was recorded");
    }
}

#[tokio::test]
async fn a_provider_keeps_how_it_is_reached() {
    for house in houses().await {
        let admin = member(&house.store, "c-admin", house.here, &[Role::Admin]).await;
        let pins = ["AAAA".to_owned()];
        let new = NewProvider {
            id: madang_domain::ProviderId::new(),
            name: "제공자",
            base_url: "https://api.example",
            host: "api.example",
            model: "m",
            sealed_key: "sealed",
            wire: WireForm::Clova,
            api_version: "v",
            max_output_tokens: 77,
            stream: true,
            pins: &pins,
            authority: "pem",
            sealed_identity: "sealed too",
            patience: Patience { connect_ms: 1000, first_byte_ms: 2000, total_ms: 3000 },
        };
        let with = |max_output_tokens, patience| NewProvider { max_output_tokens, patience, pins: &pins, ..new };
        for bad in [0, 131_073] {
            assert!(house.store.create_provider(&admin, with(bad, new.patience)).await.is_err(), "{bad}");
        }
        for (connect_ms, first_byte_ms, total_ms) in [(0, 2000, 3000), (4000, 2000, 3000), (1000, 2000, 900_001)] {
            let patience = Patience { connect_ms, first_byte_ms, total_ms };
            assert!(house.store.create_provider(&admin, with(1, patience)).await.is_err(), "{patience:?}");
        }
        assert!(house.store.create_provider(&house.security, with(1, new.patience)).await.is_err());
        house.store.create_provider(&admin, with(77, new.patience)).await.unwrap();
        let kept = house.store.providers(&admin).await.unwrap().remove(0);
        let p = kept.provider;
        assert_eq!((p.wire, p.api_version.as_str(), p.max_output_tokens, p.stream), (WireForm::Clova, "v", 77, true));
        assert_eq!(
            (p.pins, p.authority.as_str(), p.has_identity, p.patience),
            (pins.to_vec(), "pem", true, new.patience)
        );
        assert_eq!(kept.sealed_identity, "sealed too");
    }
}
