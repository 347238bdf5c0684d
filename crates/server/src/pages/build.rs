//! The builder: where an app is asked for, and its design sheet beside the trial.

use super::{page, when};
use crate::api::drafts::{composition, questions};
use crate::app::App;
use crate::auth::Reader;
use crate::bundled;
use crate::error::Handled;
use crate::frame::{Page, frame, render};
use crate::views::Lang;
use crate::views::build::{BuildStartPage, BuilderData, BuilderPage, CollectionChoice, DraftRow, MyAppRow};
use axum::extract::{Path, Query, State};
use axum::http::Uri;
use axum::routing::MethodRouter;
use madang_domain::{AppId, Scope};
use madang_store::apps::OwnApp;
use madang_store::auth::parse_id;
use madang_store::drafts::Draft;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Drafts and apps listed.
const LISTED: i64 = 50;

pub fn pages() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![page("/build", start), page("/build/{draft}", builder)]
}

/// Three things that a department's officials might ask for, chosen by its name.
pub fn examples(department: &str) -> Vec<String> {
    const BY_DEPARTMENT: [(&[&str], [&str; 3]); 6] = [
        (
            &["민원", "여권"],
            [
                "민원을 붙여 넣으면 조례와 편람에서 답변 근거를 찾아 줘",
                "건의사항을 도로, 교통, 복지, 환경으로 분류하고 이유를 적어 줘",
                "기안문이 공문서 작성 지침에 맞는지 점검해 줘",
            ],
        ),
        (
            &["정보", "통신", "전산", "디지털"],
            [
                "사용전검사 신청서에서 빠진 항목을 점검표로 알려 줘",
                "업무계획에서 사업별 예산과 기간, 담당부서를 표로 뽑아 줘",
                "인공지능 조례에서 궁금한 것을 찾아 근거와 함께 답해 줘",
            ],
        ),
        (
            &["안전", "재난"],
            [
                "여름철 대책 회의록을 붙여 넣으면 결정과 할 일을 글머리표로 정리해 줘",
                "매월 6일에 안전점검 추진상황 보고서 초안을 만들어 줘",
                "업무계획에서 점검 일정과 담당부서를 표로 뽑아 줘",
            ],
        ),
        (
            &["복지", "노인", "가족", "보건"],
            [
                "복지 지침에서 지원 대상과 신청 서류를 찾아 근거와 함께 답해 줘",
                "경로당 건의사항을 시설, 운영, 안전으로 분류해 줘",
                "주요업무계획을 세 문장으로 요약해 줘",
            ],
        ),
        (
            &["홍보", "공보"],
            [
                "업무계획에서 사업 하나를 골라 보도자료 초안을 써 줘",
                "보도자료가 작성 기준에 맞는지 점검해 줘",
                "행사 계획을 다섯 문장 이내로 요약해 줘",
            ],
        ),
        (
            &["총무", "행정", "자치", "인사"],
            [
                "당직 하루 전에 근무자에게 보낼 안내문을 만들어 줘",
                "조례와 규칙에서 궁금한 것을 찾아 근거와 함께 답해 줘",
                "회의록을 붙여 넣으면 결정 사항과 할 일을 표로 정리해 줘",
            ],
        ),
    ];
    const USUAL: [&str; 3] = [
        "조례와 규칙에서 궁금한 것을 찾아 근거와 함께 답해 줘",
        "회의록을 붙여 넣으면 결정 사항과 할 일을 정리해 줘",
        "기안문이 공문서 작성 지침에 맞는지 점검해 줘",
    ];
    let found = BY_DEPARTMENT.iter().find(|(words, _)| words.iter().any(|w| department.contains(w)));
    found.map_or(USUAL, |(_, list)| *list).iter().map(|s| (*s).to_owned()).collect()
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    prompt: String,
}

async fn start(State(app): State<App>, reader: Reader, uri: Uri, Query(query): Query<Asked>) -> Page {
    let (scope, l, now) = (reader.scope(), reader.lang, app.store.now());
    let frame = frame(&app, &reader, &uri).await?;
    let drafts = app.store.own_drafts(scope, LISTED).await?;
    let mut mine = Vec::new();
    for own in app.store.own_apps(scope, LISTED).await? {
        mine.push(my_app(&app, scope, own, now, l).await?);
    }
    render(BuildStartPage {
        l,
        prompt: query.prompt.chars().take(4000).collect(),
        examples: examples(&frame.department_name),
        drafts: drafts
            .into_iter()
            .map(|d| DraftRow {
                id: d.id,
                title: d.title,
                purpose: d.purpose,
                changed: when::ago(d.updated_at, now, l),
            })
            .collect(),
        mine,
        frame,
    })
}

async fn my_app(app: &App, scope: &Scope, own: OwnApp, now: i64, l: Lang) -> Handled<MyAppRow> {
    let state = match own.submission.as_deref() {
        Some("waiting") => "승인 대기",
        _ if own.published => "공개됨",
        Some("returned") => "반려됨",
        _ if scope.home_department().is_none() => "나만 씀",
        _ => "부서만 씀",
    };
    Ok(MyAppRow {
        id: own.id,
        grade: app.store.grade_of(&own.collections).await?,
        title: own.title,
        version: own.number,
        state,
        uses: own.uses,
        changed: when::ago(own.updated_at, now, l),
    })
}

async fn builder(State(app): State<App>, reader: Reader, uri: Uri, Path(id): Path<String>) -> Page {
    let scope = reader.scope();
    let draft = app.store.draft(scope, parse_id(&id)?).await?;
    let lineage = Lineage::of(&app, scope, &draft).await?;
    let summaries = app.store.collection_summaries(scope).await?;
    let collections = summaries
        .into_iter()
        .map(|c| CollectionChoice { id: c.id, name: c.name, grade: c.grade, documents: c.ready })
        .collect();
    let card = app.engine.card();
    let (understood, guessed) = composition(&draft).map(|c| (c.understood, c.guessed)).unwrap_or_default();
    let data = BuilderData {
        draft: draft.id,
        app: draft.app,
        revision: draft.revision,
        sheet: &draft.sheet,
        questions: questions(&draft),
        collections,
        example: lineage.example,
    };
    let data = BuilderPage::island(&data);
    render(BuilderPage {
        frame: frame(&app, &reader, &uri).await?,
        l: reader.lang,
        draft: draft.id,
        app: draft.app,
        version: lineage.version,
        grade: app.store.grade_of(&draft.sheet.collections()).await?,
        data,
        understood,
        guessed,
        engine_label: card.label,
        engine_generates: card.generates,
        forked_from: lineage.forked_from,
        returned: lineage.returned,
        sheet: draft.sheet,
    })
}

/// Where a draft comes from.
#[derive(Default)]
struct Lineage {
    version: Option<u32>,
    forked_from: Option<(AppId, String)>,
    returned: Option<String>,
    /// A filled form of the bundled app that it goes back to.
    example: BTreeMap<String, String>,
}

impl Lineage {
    async fn of(app: &App, scope: &Scope, draft: &Draft) -> Handled<Self> {
        let Some(id) = draft.app else { return Ok(Self::default()) };
        let stored = app.store.app(scope, id).await?;
        let mut out = Self {
            version: Some(app.store.latest_version(scope, id).await?.number),
            returned: app.store.returned_reason(scope, id).await?,
            ..Self::default()
        };
        let Some(version) = stored.forked_from else { return Ok(out) };
        // What it was forked from may have left the store since.
        let Ok(origin) = app.store.version(scope, version).await else { return Ok(out) };
        let slug = app.store.app(scope, origin.app).await?.slug;
        let example = slug.and_then(|s| bundled::find(&s)).and_then(|b| b.examples.first());
        out.example = example.map(|e| e.inputs.clone()).unwrap_or_default();
        out.forked_from = Some((origin.app, origin.sheet.title));
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn examples_fit_the_department() {
        assert!(super::examples("민원여권과")[0].contains("민원"));
        assert_eq!(super::examples("").len(), 3);
    }
}
