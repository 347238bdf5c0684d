//! How long texts are kept, what holds them, what was deleted; and the evidence page.

use super::desk_calls::choices;
use super::{page, when};
use crate::api::retention::LISTED;
use crate::app::App;
use crate::auth::{Reader, Security};
use crate::desk::{evidence, siem};
use crate::error::Handled;
use crate::frame::{Page, frame, render};
use crate::views::Lang;
use crate::views::desk::{ErasureRow, EvidencePage, HoldRow, KeepingRow, KeptKind, RetentionPage};
use axum::extract::State;
use axum::http::Uri;
use axum::routing::MethodRouter;
use madang_store::erasures::{Erasure, Retained};
use madang_store::keeping::{Change, KeepingProposal};
use madang_store::retention::{DAYS, Hold, HoldTarget, Retention};

pub fn pages() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![page("/review/retention", retention), page("/review/evidence", evidence_page)]
}

async fn retention(State(app): State<App>, reader: Reader, uri: Uri) -> Page {
    let scope = reader.scope();
    let kinds = kinds(app.store.retention(scope).await?, &app.store.retained(scope).await?);
    let mut targets = choices(HoldTarget::ALL.map(|t| (t.as_str().to_owned(), t.korean().to_owned())).to_vec(), "call");
    targets.retain(|c| !c.value.is_empty());
    render(RetentionPage {
        frame: frame(&app, &reader, &uri).await?,
        l: reader.lang,
        least: *DAYS.start(),
        most: *DAYS.end(),
        due: kinds.iter().map(|k| k.due).sum(),
        kinds,
        targets,
        proposals: proposals(app.store.keeping_proposals(scope).await?, &app.store.holds(scope).await?, reader.lang),
        holds: app.store.holds(scope).await?.into_iter().map(hold).collect(),
        erasures: app.store.erasures(scope, LISTED).await?.into_iter().map(erasure).collect(),
    })
}

fn kinds(set: Vec<Retention>, retained: &[Retained]) -> Vec<KeptKind> {
    let kind = |r: Retention| {
        let how_much = retained.iter().find(|found| found.kind == r.kind);
        KeptKind {
            key: r.kind.as_str(),
            name: r.kind.korean(),
            days: r.days,
            changed: r.changed.map(|(by, at)| (by, when::date_time(at))),
            kept: how_much.map_or(0, |m| m.kept),
            gone: how_much.map_or(0, |m| m.gone),
            due: how_much.map_or(0, |m| m.due),
        }
    };
    set.into_iter().map(kind).collect()
}

/// Changes that wait, in words.
fn proposals(all: Vec<KeepingProposal>, holds: &[Hold], l: Lang) -> Vec<KeepingRow> {
    let told = |change: &Change| match change {
        Change::Shorten { kind, days } => l.f2("{a} 보존기간을 {b}일로 줄임", l.t(kind.korean()), days),
        Change::Lift { hold } => {
            let held = holds.iter().find(|h| h.id == *hold);
            l.f("삭제 보류 풂: {}", held.map_or(hold.as_str(), |h| h.reason.as_str()))
        }
    };
    let row = |p: KeepingProposal| KeepingRow {
        what: told(&p.change),
        id: p.id,
        reason: p.reason,
        by: (p.by, when::date_time(p.at)),
        own: p.own,
        may_decide: p.may_decide,
    };
    all.into_iter().map(row).collect()
}

fn hold(h: Hold) -> HoldRow {
    let period = h.from.zip(h.until).map(|(from, until)| format!("{} ~ {}", when::date(from), when::date(until - 1)));
    HoldRow {
        id: h.id,
        target: h.target.korean(),
        subject: period.unwrap_or(h.subject_name),
        reason: h.reason,
        placed: (h.placed_by, when::date_time(h.placed_at)),
        lifted: h.lifted_by.zip(h.lifted_at).map(|(by, at)| (by, when::date_time(at), h.lift_reason)),
    }
}

fn erasure(e: Erasure) -> ErasureRow {
    ErasureRow {
        id: e.id,
        kind: e.kind.korean(),
        when: when::date_time(e.erased_at),
        items: e.items,
        period: format!("{} ~ {}", when::date(e.from), when::date(e.until)),
        digest: e.digest,
        seq: e.seq,
        holds: e.holds,
    }
}

async fn evidence_page(State(app): State<App>, Security(reader): Security, uri: Uri) -> Page {
    render(EvidencePage {
        frame: frame(&app, &reader, &uri).await?,
        l: reader.lang,
        when: when::date_time(app.store.now()),
        sections: evidence::sections(&app, reader.scope()).await?,
        siem: monitoring(&app, reader.lang).await?,
    })
}

/// How the link to the body's monitoring does, and whether it does well.
async fn monitoring(app: &App, l: Lang) -> Handled<Option<(String, bool)>> {
    let Some(siem) = &app.settings.siem else { return Ok(None) };
    let state = siem::state(&app.store).await?.unwrap_or_default();
    let to = siem.target.to.to_string();
    Ok(Some(match state.error {
        Some(error) => (l.f2("{a}: 원장 {b}번까지 보낸 뒤 멈춰 있습니다.", to, state.cursor) + " " + &error, false),
        None => (l.f2("{a}: 원장 {b}번까지 보냈습니다.", to, state.cursor), true),
    }))
}
