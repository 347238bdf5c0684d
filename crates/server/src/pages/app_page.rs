//! An app's own page: what it does, who uses it, its versions and lineage, what people say of it.

use super::{changes, page, when};
use crate::app::App;
use crate::auth::Reader;
use crate::error::Handled;
use crate::frame::{Page, frame, render};
use crate::views::store::{AppPage, DepartmentUse, Example, Rating, SourceRow, VersionRow};
use crate::views::{AppCard, Lang};
use crate::{bundled, catalogue, markdown, running};
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::routing::MethodRouter;
use madang_domain::{AppId, AppVersionId, DesignSheet, OutsideCalls, Scope, Source};
use madang_registry::diff::{output_words, schedule_words};
use madang_registry::exam::Question;
use madang_store::apps::{App as StoredApp, AppVersion};
use madang_store::auth::parse_id;
use madang_store::sharing::{Submission, SubmissionState};
use madang_store::shelves::AppFigures;

/// Longest example shown, characters.
const EXAMPLE: usize = 700;

pub fn pages() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![page("/apps/{id}", app_page)]
}

async fn app_page(State(app): State<App>, reader: Reader, uri: Uri, Path(id): Path<String>) -> Page {
    let (scope, l) = (reader.scope(), reader.lang);
    let id: AppId = parse_id(&id)?;
    let stored = app.store.app(scope, id).await?;
    let shown = app.store.current_version(scope, id).await?;
    let versions = app.store.app_versions(scope, id).await?;
    let approved = app.store.approved_versions(scope, id).await?;
    let figures = app.store.app_figures(scope, id).await?;
    let ratings = app.store.ratings(scope, id).await?;
    let mine = ratings.iter().find(|r| r.mine);
    let last = app.store.latest_submission(scope, id).await?;
    let pending = last.filter(|s| matches!(s.state, SubmissionState::Waiting | SubmissionState::Returned));
    let waits = pending.as_ref().is_some_and(|s| s.state == SubmissionState::Waiting);
    let newest = versions.first().filter(|v| stored.owned && !waits && stored.published_version != Some(v.id));
    render(AppPage {
        frame: frame(&app, &reader, &uri).await?,
        l,
        card: app_card(&app, scope, &stored, &shown, figures, l).await?,
        owner_post: stored.post_title.clone().unwrap_or_default(),
        made_by: shown.created_by_name.clone().unwrap_or_else(|| l.t("마당").to_owned()),
        published: stored.published_at.map(when::date),
        in_store: stored.published_version.is_some(),
        engine_label: l.t(&app.engine.card().label).to_owned(),
        outside_allowed: shown.sheet.outside == OutsideCalls::Ask,
        outside_rate: outside_rate(figures, l),
        usage: usage(&app, scope, id).await?,
        sentences: shown.sheet.sentences.iter().map(|s| s.text.clone()).collect(),
        sources: sources(&app, scope, &shown.sheet, l).await?,
        output: l.t(&output_words(&shown.sheet.output)).to_owned(),
        schedule: shown.sheet.schedule.as_ref().map(|s| schedule_words(s, &shown.sheet.inputs)),
        example: example(&app, scope, &stored, &shown.sheet).await?,
        versions: version_rows(&versions, &stored, &approved),
        forked_from: app.store.forked_from(scope, id).await?.map(|r| (r.id, r.title)),
        forks: app.store.forks(scope, id).await?.into_iter().map(|r| (r.id, r.title, r.department)).collect(),
        my_stars: mine.map(|r| r.stars),
        my_comment: mine.map(|r| r.comment.clone()).unwrap_or_default(),
        ratings: ratings.iter().map(|r| rating(r, app.store.now(), l)).collect(),
        can_rate: app.store.may_rate(scope, id).await?,
        can_edit: stored.owned,
        to_submit: newest.map(|v| v.number),
        submission: pending.map(|s| (s.id, pending_words(&s, l))),
    })
}

/// Where a submission stands, with the manager's words where it came back.
fn pending_words(submission: &Submission, l: Lang) -> String {
    let state = l.t(submission.state.korean());
    if submission.reason.is_empty() { state.to_owned() } else { format!("{state}. {}", submission.reason) }
}

async fn app_card(
    app: &App,
    scope: &Scope,
    stored: &StoredApp,
    shown: &AppVersion,
    figures: AppFigures,
    l: Lang,
) -> Handled<AppCard> {
    let readable = app.store.readable_collections(scope).await?;
    let department = match (&stored.department_name, &stored.slug) {
        (None, None) => stored.created_by_name.clone().unwrap_or_default(),
        (name, _) => catalogue::maker_name(name.as_deref(), l),
    };
    Ok(AppCard {
        id: stored.id,
        title: shown.sheet.title.clone(),
        purpose: shown.sheet.purpose.clone(),
        department,
        task: shown.sheet.task.korean(),
        grade: app.store.grade_of(&shown.sheet.collections()).await?,
        uses: figures.uses,
        rating: figures.stars.mean(),
        version: shown.number,
        ready: shown.sheet.collections().iter().all(|c| readable.contains(*c)),
        outside: None,
    })
}

/// Share of runs that led to an outside call, with one decimal; `None` before the first run.
fn outside_rate(figures: AppFigures, l: Lang) -> Option<String> {
    let tenths = (figures.outside * 1000 + figures.uses / 2).checked_div(figures.uses)?;
    Some(l.f("전체 실행 중 {}%", format!("{}.{}", tenths / 10, tenths % 10)))
}

async fn usage(app: &App, scope: &Scope, id: AppId) -> Handled<Vec<DepartmentUse>> {
    let uses = app.store.uses_by_department(scope, id, catalogue::month_start(app.store.now())).await?;
    let of = uses.first().map_or(0, |u| u.uses);
    Ok(uses.into_iter().map(|u| DepartmentUse { department: u.department, uses: u.uses, of }).collect())
}

/// Sources as this reader has them: one that they may not read shows its name alone.
async fn sources(app: &App, scope: &Scope, sheet: &DesignSheet, l: Lang) -> Handled<Vec<SourceRow>> {
    let readable = app.store.collection_summaries(scope).await?;
    let mut out = Vec::with_capacity(sheet.sources.len());
    for source in &sheet.sources {
        out.push(match source {
            Source::Readable => SourceRow {
                name: l.t("내가 볼 수 있는 모든 자료").to_owned(),
                grade: madang_domain::Grade::highest(readable.iter().map(|c| c.grade)),
                documents: readable.iter().map(|c| c.ready).sum(),
                readable: true,
            },
            Source::Collection { id, name, .. } => match readable.iter().find(|c| c.id == *id) {
                Some(c) => SourceRow { name: c.name.clone(), grade: c.grade, documents: c.ready, readable: true },
                None => SourceRow {
                    name: name.clone(),
                    grade: app.store.grade_of_collection(*id).await?,
                    documents: 0,
                    readable: false,
                },
            },
        });
    }
    Ok(out)
}

/// The first example of a bundled app, answered now from what this reader may read. A model that writes would keep the
/// page waiting: then there is no example.
async fn example(app: &App, scope: &Scope, stored: &StoredApp, sheet: &DesignSheet) -> Handled<Option<Example>> {
    let Some(given) = stored.slug.as_deref().and_then(bundled::find).and_then(|b| b.examples.first()) else {
        return Ok(None);
    };
    if app.engine.card().generates {
        return Ok(None);
    }
    let question = Question {
        inputs: given.inputs.clone(),
        expect_contains: Vec::new(),
        expect_answered: None,
        expect_citation_document: None,
    };
    // An installed app may be newer than this program's example: then it has none.
    let Ok(outcome) = running::examine(app, scope, sheet, &question).await else { return Ok(None) };
    let label = |key: &String| sheet.inputs.iter().find(|i| i.key == *key).map(|i| i.label.clone());
    let inputs = given.inputs.iter().filter_map(|(key, value)| Some((label(key)?, shortened(value)))).collect();
    Ok(outcome.answered.then(|| Example { inputs, output: markdown::answer(&shortened(&outcome.answer), []) }))
}

/// At most [`EXAMPLE`] characters, cut at a line.
fn shortened(text: &str) -> String {
    let text = text.trim();
    if text.chars().count() <= EXAMPLE {
        return text.to_owned();
    }
    let head: String = text.chars().take(EXAMPLE).collect();
    let cut = head.rfind('\n').filter(|at| *at > head.len() / 2).unwrap_or(head.len());
    format!("{} …", head[..cut].trim_end())
}

/// `versions` come newest first.
fn version_rows(versions: &[AppVersion], stored: &StoredApp, approved: &[AppVersionId]) -> Vec<VersionRow> {
    versions
        .iter()
        .enumerate()
        .map(|(i, v)| {
            let current = stored.published_version == Some(v.id);
            let changes = versions.get(i + 1).map(|old| changes::only(&old.sheet, &v.sheet)).unwrap_or_default();
            VersionRow {
                id: v.id,
                number: v.number,
                when: when::date(v.created_at),
                by: v.created_by_name.clone().unwrap_or_default(),
                current,
                can_roll_back: stored.owned
                    && !current
                    && stored.published_version.is_some()
                    && approved.contains(&v.id),
                note: v.note.clone(),
                changes,
            }
        })
        .collect()
}

fn rating(r: &madang_store::ratings::Rating, now: i64, l: Lang) -> Rating {
    Rating {
        stars: r.stars,
        comment: r.comment.clone(),
        name: r.name.clone(),
        department: r.department.clone(),
        when: when::ago(r.updated_at, now, l),
    }
}
