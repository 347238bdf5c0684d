//! Retention with a moved clock, holds, deletions and their proofs, of outside calls and of runs, on SQLite and, where
//! `MADANG_TEST_POSTGRES` names a database, on PostgreSQL.

use crate::StoreError;
use crate::calls_review::ReviewFilter;
use crate::desk_tests::{DAY, House, houses};
use crate::erasures::{BATCH, Retained, erasure_digest};
use crate::retention::{DEFAULT_DAYS, HoldTarget, NewHold, TextKind};
use crate::row::RowExt;
use crate::runs::{RunEnd, RunEngine, RunFilter, RunInput, RunOf, RunState};
use crate::test_house::BEGIN;
use madang_domain::{Citation, DocumentId, DraftId, Grade, PassageId, RunId, Span};
use serde_json::json;

/// Stands for the HMAC of whoever holds the key: what it is over can be read.
fn keyed(texts: &[u8]) -> String {
    format!("keyed({})", String::from_utf8_lossy(texts))
}

impl House {
    /// A run of the app, or a trial, that asked `words` and ended.
    async fn ran(&self, draft: Option<DraftId>, words: &str) -> RunId {
        let input = RunInput { key: "q".into(), label: "물음".into(), value: words.into() };
        let engine = RunEngine { name: "quoting".into(), label: "인용".into(), generates: false };
        let version = self.store.version(&self.asker, self.version).await.expect("version");
        let id = match draft {
            None => self.store.start_run(&self.asker, RunOf::Version(&version), &[input], &engine).await,
            Some(draft) => {
                let draft = self.store.draft(&self.asker, draft).await.expect("draft");
                self.store.start_run(&self.asker, RunOf::Trial(&draft), &[input], &engine).await
            }
        };
        let id = id.expect("begun");
        let citation = Citation {
            number: 1,
            passage: PassageId::new(),
            document: DocumentId::new(),
            document_title: "조례".into(),
            grade: Grade::Open,
            heading_path: vec![],
            page: None,
            page_estimated: false,
            quote: format!("옮긴 {words}"),
            span: Span { start: 0, end: 1 },
        };
        let end = RunEnd {
            state: RunState::Done,
            answer: format!("답 {words}"),
            answered: true,
            unfilled: vec!["담당자".into()],
            grade: Grade::Open,
            error: None,
            citations: vec![citation],
            engine: None,
        };
        self.store.finish_run(&self.asker, id, &end).await.expect("ended");
        id
    }

    /// All that stands in the row of a run and those of its citations; `None` once the row is gone.
    async fn run_row(&self, id: RunId) -> Option<String> {
        let row = sqlx::query(
            "SELECT inputs, answer, unfilled, COALESCE(error, '') AS error, COALESCE(report, '') AS report FROM runs WHERE id = $1",
        )
        .bind(id.to_string())
        .fetch_optional(&self.store.pool)
        .await
        .expect("row")?;
        let cited = sqlx::query("SELECT citation FROM run_citations WHERE run_id = $1")
            .bind(id.to_string())
            .fetch_all(&self.store.pool)
            .await
            .expect("citations");
        let columns = ["inputs", "answer", "unfilled", "error", "report"].map(|c| row.text(c).expect("text"));
        Some(columns.into_iter().chain(cited.iter().map(|c| c.text("citation").expect("text"))).collect())
    }
}

#[tokio::test]
async fn texts_go_after_their_time_and_the_proof_stays() {
    for house in houses().await {
        let (old, waiting) = (house.sent("old").await, house.asked("waiting").await);
        house.later(DEFAULT_DAYS * DAY);
        let young = house.sent("young").await;
        assert_eq!(house.store.erase_due_texts().await.unwrap(), 0, "not a millisecond early");
        house.later(1);
        let calls = Retained { kind: TextKind::OutsideBodies, kept: 3, gone: 0, due: 1 };
        assert_eq!(house.store.retained(&house.admin).await.unwrap()[0], calls);
        assert_eq!(house.store.erase_due_texts().await.unwrap(), 1);
        assert_eq!(house.store.erase_due_texts().await.unwrap(), 0);
        assert_eq!(house.sealed_body(old).await, "");
        assert_eq!(house.sealed_body(young).await, "youngsealedreply");
        assert_eq!(house.sealed_body(waiting).await, "waitingsealed", "a call under way keeps its texts");
        assert!(house.store.call(&house.asker, old).await.unwrap().erased_at.is_some());
        assert_eq!(house.store.call(&house.officer, young).await.unwrap().erased_at, None);
        assert_eq!(house.store.reviewed_calls_count(&house.officer, &ReviewFilter::default()).await.unwrap(), 3);
        let (seq, record) = house.last_record().await;
        let expected = erasure_digest(&[(old.to_string(), "hmac-old".to_owned())]);
        assert_eq!(
            (&record["action"], &record["detail"]["digest"]),
            (&"bodies_erased".into(), &expected.as_str().into())
        );
        let proofs = house.store.erasures(&house.officer, 10).await.unwrap();
        assert_eq!((proofs[0].seq, proofs[0].items, proofs[0].holds), (seq, 1, true));
        let items = house.store.erasure_items(&house.admin, &proofs[0].id).await.unwrap();
        assert_eq!(erasure_digest(&items), expected);
        // Whoever alters what was deleted, or the proof, is found out.
        sqlx::query("UPDATE external_calls SET body_hmac = 'other' WHERE id = $1")
            .bind(old.to_string())
            .execute(&house.store.pool)
            .await
            .unwrap();
        assert!(!house.store.erasures(&house.officer, 10).await.unwrap()[0].holds);
        assert!(matches!(house.store.erasures(&house.asker, 10).await, Err(StoreError::Denied(_))));
    }
}

fn hold(target: HoldTarget, subject: &str) -> NewHold<'_> {
    let period = target == HoldTarget::Period;
    NewHold { target, subject, from: period.then_some(BEGIN), until: period.then_some(BEGIN + 1), reason: "감사" }
}

#[tokio::test]
async fn holds_keep_texts_until_they_are_lifted() {
    for house in houses().await {
        let call = house.sent("held").await;
        house.later(DEFAULT_DAYS * DAY + 1);
        let run = house.store.call(&house.asker, call).await.unwrap().run;
        let subjects = [
            (HoldTarget::Call, call.to_string()),
            (HoldTarget::Run, run.to_string()),
            (HoldTarget::App, house.app.to_string()),
            (HoldTarget::Person, "asker".to_owned()),
            (HoldTarget::Period, String::new()),
        ];
        for (target, subject) in subjects {
            let id = house.store.place_hold(&house.admin, hold(target, &subject)).await.unwrap();
            assert_eq!(house.store.erase_due_texts().await.unwrap(), 0, "{target:?}");
            house.lifted(&id).await;
            assert!(matches!(house.store.lift_hold(&house.officer, &id, "끝").await, Err(StoreError::NotFound)));
        }
        for bad in
            [hold(HoldTarget::Call, "x"), hold(HoldTarget::Run, &call.to_string()), hold(HoldTarget::Person, "nobody")]
        {
            assert!(matches!(house.store.place_hold(&house.officer, bad).await, Err(StoreError::Invalid { .. })));
        }
        let refused = house.store.place_hold(&house.asker, hold(HoldTarget::Person, "asker")).await;
        assert!(matches!(refused, Err(StoreError::Denied(_))));
        assert_eq!(house.store.holds(&house.admin).await.unwrap().len(), 5);
        assert_eq!(house.store.erase_due_texts().await.unwrap(), 1);
    }
}

#[tokio::test]
async fn retention_is_bounded_and_its_change_is_recorded() {
    for house in houses().await {
        house.sent("a").await;
        house.later(400 * DAY);
        for days in [0, 364, 3651, -1] {
            let refused = house.store.set_retention(&house.officer, TextKind::OutsideBodies, days, "까닭").await;
            assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{days}");
        }
        let refused = house.store.set_retention(&house.asker, TextKind::Runs, 400, "까닭").await;
        assert!(matches!(refused, Err(StoreError::Denied(_))));
        let shorter = house.store.set_retention(&house.officer, TextKind::OutsideBodies, 365, "까닭").await.unwrap();
        house.store.confirm_keeping(&house.second, &shorter.expect("a proposal")).await.unwrap();
        let (_, record) = house.last_record().await;
        assert_eq!((&record["detail"]["from"], &record["detail"]["to"]), (&1095.into(), &365.into()));
        let kept: Vec<_> =
            house.store.retention(&house.officer).await.unwrap().iter().map(|r| (r.kind, r.days)).collect();
        assert_eq!(kept, [(TextKind::OutsideBodies, 365), (TextKind::Runs, DEFAULT_DAYS)]);
        assert_eq!(house.store.erase_due_runs(keyed).await.unwrap(), 0, "a period of its own");
        assert_eq!(house.store.erase_due_texts().await.unwrap(), 1);
    }
}

#[tokio::test]
async fn texts_of_runs_go_and_who_ran_what_stays() {
    for house in houses().await {
        let old = house.ran(None, "비밀스러운 물음").await;
        house.store.report_run(&house.asker, old, "틀린 답").await.unwrap();
        let before = house.store.run(&house.asker, old).await.unwrap();
        let texts = house.run_row(old).await.unwrap();
        assert!(
            ["비밀스러운 물음", "답 비밀", "담당자", "틀린 답", "옮긴"].iter().all(|w| texts.contains(w)),
            "{texts}"
        );
        house.later(DEFAULT_DAYS * DAY);
        let young = house.ran(None, "젊은").await;
        assert_eq!(house.store.erase_due_runs(keyed).await.unwrap(), 0, "not a millisecond early");
        house.later(1);
        let due = Retained { kind: TextKind::Runs, kept: 2, gone: 0, due: 1 };
        assert_eq!(house.store.retained(&house.admin).await.unwrap()[1], due);
        assert_eq!(house.store.erase_due_runs(keyed).await.unwrap(), 1);
        assert_eq!(house.store.erase_due_runs(keyed).await.unwrap(), 0);
        assert_eq!(house.run_row(old).await.unwrap(), "[][]", "nothing but empty lists");
        assert!(house.run_row(young).await.unwrap().contains("젊은"));
        let after = house.store.run(&house.asker, old).await.unwrap();
        assert!(after.erased_at.is_some() && after.citations.is_empty() && after.withheld == 0);
        assert_eq!((after.title, after.started_at, after.version), (before.title, before.started_at, before.version));
        let (lines, total) = house.store.runs(&house.asker, &RunFilter::default(), 10, 0).await.unwrap();
        assert_eq!((total, lines[1].id, lines[1].citations, lines[1].erased_at.is_some()), (2, old, 1, true));
        assert!(house.store.reports(&house.asker, house.app, 10).await.unwrap().is_empty());
        let refused = house.store.report_run(&house.asker, old, "다시").await;
        assert!(matches!(refused, Err(StoreError::NotFound)), "no text comes back");
    }
}

#[tokio::test]
async fn the_proof_of_deleted_runs_holds_until_somebody_alters_it() {
    for house in houses().await {
        let run = house.ran(None, "물음").await;
        let begun = house.store.run(&house.asker, run).await.unwrap().started_at;
        house.later(DEFAULT_DAYS * DAY + 1);
        house.store.erase_due_runs(keyed).await.unwrap();
        let (seq, record) = house.last_record().await;
        let proofs = house.store.erasures(&house.officer, 10).await.unwrap();
        let items = house.store.erasure_items(&house.admin, &proofs[0].id).await.unwrap();
        assert_eq!(items[0].0, run.to_string());
        assert!(items[0].1.starts_with("keyed(") && items[0].1.contains("물음"), "over the texts: {}", items[0].1);
        assert_eq!((&record["action"], &record["detail"]["kind"]), (&json!("run_texts_erased"), &json!("runs")));
        assert_eq!((&record["detail"]["items"], &record["detail"]["days"]), (&json!(1), &json!(DEFAULT_DAYS)));
        assert_eq!(record["detail"]["digest"], json!(erasure_digest(&items)));
        let proof = &proofs[0];
        assert_eq!((proof.seq, proof.kind, proof.from, proof.holds), (seq, TextKind::Runs, begun, true));
        for tampering in
            ["UPDATE runs SET answer = 'x' WHERE id = $1", "UPDATE runs SET answer = '', text_hmac = 'x' WHERE id = $1"]
        {
            sqlx::query(tampering).bind(run.to_string()).execute(&house.store.pool).await.unwrap();
            assert!(!house.store.erasures(&house.officer, 10).await.unwrap()[0].holds, "{tampering}");
        }
    }
}

#[tokio::test]
async fn what_is_held_or_under_way_keeps_its_texts() {
    for house in houses().await {
        let run = house.ran(None, "붙잡힌").await;
        let call = house.asked("물음").await;
        sqlx::query("UPDATE external_calls SET run_id = $1 WHERE id = $2")
            .bind(run.to_string())
            .bind(call.to_string())
            .execute(&house.store.pool)
            .await
            .unwrap();
        // The run that the call's fixture came with is none of this.
        sqlx::query("DELETE FROM runs WHERE id <> $1").bind(run.to_string()).execute(&house.store.pool).await.unwrap();
        house.later(DEFAULT_DAYS * DAY + 1);
        assert_eq!(house.store.erase_due_runs(keyed).await.unwrap(), 0, "its call waits");
        sqlx::query("UPDATE external_calls SET state = 'cancelled'").execute(&house.store.pool).await.unwrap();
        let subjects = [
            (HoldTarget::Call, call.to_string()),
            (HoldTarget::Run, run.to_string()),
            (HoldTarget::App, house.app.to_string()),
            (HoldTarget::Person, "asker".to_owned()),
            (HoldTarget::Period, String::new()),
        ];
        for (target, subject) in subjects {
            let id = house.store.place_hold(&house.admin, hold(target, &subject)).await.unwrap();
            assert_eq!(house.store.erase_due_runs(keyed).await.unwrap(), 0, "{target:?}");
            house.lifted(&id).await;
        }
        assert_eq!(house.store.erase_due_runs(keyed).await.unwrap(), 1);
    }
}

#[tokio::test]
async fn a_deleted_draft_leaves_what_is_held_and_what_a_proof_rests_on() {
    for house in houses().await {
        let draft = house.store.open_app_draft(&house.asker, house.app).await.unwrap();
        let erased = house.ran(Some(draft), "지워질").await;
        house.later(DEFAULT_DAYS * DAY + 1);
        assert_eq!(house.store.erase_due_runs(keyed).await.unwrap(), 1, "trials count too");
        let (held, other) = (house.ran(Some(draft), "붙잡힌").await, house.ran(Some(draft), "나머지").await);
        let run_hold = house.store.place_hold(&house.admin, hold(HoldTarget::Run, &held.to_string())).await.unwrap();
        house.store.delete_draft(&house.asker, draft).await.unwrap();
        assert_eq!(house.run_row(other).await, None, "a trial goes with its draft");
        assert!(house.run_row(held).await.is_some_and(|texts| texts.contains("붙잡힌")));
        assert_eq!(house.run_row(erased).await.as_deref(), Some("[][]"));
        assert!(house.store.erasures(&house.officer, 10).await.unwrap()[0].holds, "the proof still does");
        // The draft is gone, and a hold on its app still reaches the trial.
        house.later(DEFAULT_DAYS * DAY + 1);
        let app_hold =
            house.store.place_hold(&house.admin, hold(HoldTarget::App, &house.app.to_string())).await.unwrap();
        house.lifted(&run_hold).await;
        assert_eq!(house.store.erase_due_runs(keyed).await.unwrap(), 0);
        house.lifted(&app_hold).await;
        assert_eq!(house.store.erase_due_runs(keyed).await.unwrap(), 1);
    }
}

#[tokio::test]
async fn many_runs_go_in_batches() {
    for house in houses().await {
        let run = house.ran(None, "하나").await;
        let copy = "INSERT INTO runs (id, app_id, version_id, title, person_id, inputs, state, answer, answered, unfilled, engine, \
                    grade, started_at, ended_at) SELECT $1, app_id, version_id, title, person_id, inputs, state, answer, answered, \
                    unfilled, engine, grade, started_at, ended_at FROM runs WHERE id = $2";
        for _ in 0..BATCH {
            let copied = sqlx::query(copy).bind(RunId::new().to_string()).bind(run.to_string());
            copied.execute(&house.store.pool).await.unwrap();
        }
        house.later(DEFAULT_DAYS * DAY + 1);
        assert_eq!(house.store.erase_due_runs(keyed).await.unwrap() as i64, BATCH);
        assert_eq!(house.store.erase_due_runs(keyed).await.unwrap(), 1);
        assert!(house.store.erasures(&house.officer, 10).await.unwrap().iter().all(|e| e.holds));
    }
}
