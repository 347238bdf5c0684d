//! What the system does for each rule that it must keep, each with a value of this moment and the page that shows it. Which
//! rules there are, and what they ask, is to be confirmed by counsel: the page says so.

use super::facts::DAYS;
use super::month::Month;
use crate::app::App;
use crate::error::Handled;
use crate::pages::when;
use madang_domain::{Grade, Scope};

const DAY: i64 = 86_400_000;

/// One thing that a rule asks for.
#[derive(Debug, Clone)]
pub struct Line {
    /// Korean, all of them.
    pub asks: &'static str,
    pub does: &'static str,
    /// As it stands now.
    pub value: String,
    /// Where it is seen or set.
    pub href: String,
    /// Something is missing.
    pub open: bool,
}

/// A rule or guide.
#[derive(Debug, Clone)]
pub struct Section {
    pub name: &'static str,
    pub lines: Vec<Line>,
}

fn line(asks: &'static str, does: &'static str, value: String, href: impl Into<String>) -> Line {
    Line { asks, does, value, href: href.into(), open: false }
}

struct Counts<'a> {
    app: &'a App,
    scope: &'a Scope,
    since: i64,
}

impl Counts<'_> {
    async fn records(&self, action: &str) -> Handled<usize> {
        let from = jiff::Timestamp::from_millisecond(self.since).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        Ok(self.app.store.records_of(self.scope, action, &format!("{from:.3}")).await?)
    }
}

/// Everything, as it stands now.
///
/// # Errors
/// 403 for all but security officers.
pub async fn sections(app: &App, scope: &Scope) -> Handled<Vec<Section>> {
    let counts = Counts { app, scope, since: app.store.now() - DAYS * DAY };
    Ok(vec![
        Section { name: "국가 망 보안체계(N2SF) 1.0", lines: n2sf(&counts).await? },
        Section { name: "국가정보원 AI 보안 가이드북의 보안대책", lines: guidebook(&counts).await? },
        Section {
            name: "개인정보의 안전성 확보조치 기준 제8조(접속기록)", lines: access_records(&counts).await?
        },
        Section { name: "인공지능기본법", lines: ai_act(&counts).await? },
    ])
}

async fn n2sf(c: &Counts<'_>) -> Handled<Vec<Line>> {
    let sent = c.app.store.left_by_grade(c.scope).await?;
    let [classified, sensitive, open] =
        [Grade::Classified, Grade::Sensitive, Grade::Open].map(|grade| sent.get(&grade).copied().unwrap_or(0));
    let mut left = line(
        "C 등급은 나가지 않고, S 등급은 지정된 담당자가 등급을 바꾼 뒤에만 나간다.",
        "봉투의 등급이 O가 아니면 게이트웨이가 보내지 않습니다.",
        format!("밖으로 나간 봉투: C {classified}건, S {sensitive}건, O {open}건"),
        "/review/calls?state=sent",
    );
    left.open = classified + sensitive > 0;
    Ok(vec![
        line(
            "여러 등급이 섞이면 가장 높은 등급을 따른다.",
            "답과 봉투는 근거 자료 가운데 가장 높은 등급을 받습니다.",
            format!("최근 90일 외부호출 신청 {}건의 등급이 정해짐", c.records("outside_call_requested").await?),
            "/review/calls",
        ),
        left,
        line(
            "등급을 낮추려면 담당자와 까닭이 남아야 한다.",
            "자료 등급을 낮추면 사람과 까닭이 원장에 적힙니다.",
            format!("최근 90일 등급을 낮춘 일 {}건", c.records("grade_lowered").await?),
            "/ledger?kind=grade_lowered",
        ),
        line(
            "시스템 로그는 S 등급으로 다룬다.",
            "원장은 보안담당만 열고, 연 일이 다시 기록됩니다.",
            format!("최근 90일 원장 열람 {}건", c.records("ledger_read").await?),
            "/ledger?kind=ledger_read",
        ),
    ])
}

async fn guidebook(c: &Counts<'_>) -> Handled<Vec<Line>> {
    let health = crate::chain::last(&c.app.store).await?;
    let policy = c.app.store.policy_for_review(c.scope, c.app.store.now()).await?;
    let mut rules = line(
        "M05 사용자·자료·경로에 따른 접근 통제",
        "읽을 수 있는 자료는 사람마다 질의 안에서 걸러지고, 밖으로 가는 길은 정책이 정한 제공자뿐입니다.",
        policy.as_ref().map_or_else(
            || "외부호출 정책이 아직 없어, 신청마다 보안담당이 봅니다".to_owned(),
            |(revision, _)| format!("외부호출 정책 {revision}판 시행 중"),
        ),
        "/review/calls",
    );
    rules.open = policy.is_none();
    let mut log = line(
        "M09 기록",
        "로그인, 권한, 자료, 실행, 외부호출, 열람과 내보내기를 덧붙이기만 하는 원장에 적습니다.",
        format!(
            "기록 {}건, 마지막 확인 {}, 최근 90일 봉투 열람 {}건",
            health.records,
            when::date_time(health.at),
            c.records("outside_call_opened").await? + c.records("outside_call_read").await?
        ),
        "/ledger",
    );
    log.open = !health.sound;
    Ok(vec![rules, log])
}

async fn access_records(c: &Counts<'_>) -> Handled<Vec<Line>> {
    let last = Month::of(c.app.store.now()).before();
    let review = c.app.store.monthly_review(c.scope, &last.to_string()).await?;
    let signed = review.as_ref().and_then(|r| r.signed_at);
    let mut monthly = line(
        "접속기록을 달마다 점검한다.",
        "달이 끝나면 원장의 체크포인트에서 얻은 씨앗으로 표본을 뽑아, 신청하거나 승인하지 않은 담당자가 봅니다.",
        match (&review, signed) {
            (_, Some(at)) => format!("{} 점검을 {}에 마침", last.korean(), when::date_time(at)),
            (Some(r), None) => format!("{} 점검 {}건 가운데 {}건 봄", last.korean(), r.picks, r.looked_at),
            (None, None) => format!("{} 점검을 아직 시작하지 않음", last.korean()),
        },
        format!("/review/monthly/{last}"),
    );
    monthly.open = signed.is_none();
    let retention = c.app.store.retention(c.scope).await?;
    let kept: Vec<_> = retention.iter().map(|r| format!("{} {}일", r.kind.korean(), r.days)).collect();
    let health = crate::chain::last(&c.app.store).await?;
    let exports = c.records("ledger_exported").await? + c.records("outside_calls_exported").await?;
    let mut out = vec![
        line(
            "접속기록을 1년 이상, 5만 명 이상이나 고유식별정보를 다루면 2년 이상 보관한다.",
            "원장의 기록은 지우지 않습니다. 외부호출과 실행의 글만 보존기간 뒤에 지우고 증명을 남깁니다.",
            format!("{} 보존, 원장은 첫 기록부터 {}건이 이어짐", kept.join(", "), health.records),
            "/review/retention",
        ),
        line(
            "계정, 일시, 접속지, 정보주체, 수행업무를 남긴다.",
            "기록마다 사람·부서·직위·시각과 한 일, 로그인에는 접속 주소를 적습니다.",
            format!("최근 90일 로그인 {}건", c.records("sign_in").await?),
            "/ledger?kind=sign_in",
        ),
        monthly,
        line(
            "내려받은 까닭을 확인한다.",
            "원장과 외부호출을 내보내려면 까닭을 적어야 하고, 그 일이 기록됩니다.",
            format!("최근 90일 까닭을 적은 내보내기 {exports}건"),
            "/ledger?kind=outside_calls_exported",
        ),
    ];
    out.push(tamper(c).await?);
    Ok(out)
}

async fn tamper(c: &Counts<'_>) -> Handled<Line> {
    let signed = c.app.store.last_checkpoint().await?;
    let witnessed = c.app.store.witnessed_checkpoints(1).await?.into_iter().next();
    let at = |ms: Option<i64>| ms.map_or_else(|| "아직 없음".to_owned(), when::date_time);
    let mut out = line(
        "접속기록이 위·변조되지 않도록 한다.",
        "기록 전체의 해시에 서명하고, 보안팀의 증인이 따로 확인서명합니다.",
        format!(
            "마지막 서명 {}, 마지막 증인 확인 {}",
            at(signed.map(|s| s.created_at)),
            at(witnessed.as_ref().and_then(|w| w.witnessed_at))
        ),
        "/ledger",
    );
    out.open = witnessed.is_none();
    Ok(out)
}

async fn ai_act(c: &Counts<'_>) -> Handled<Vec<Line>> {
    let runs = c.app.store.run_counts(c.scope, c.since, i64::MAX).await?.runs;
    let apps = c.app.store.reuse(c.scope, c.since).await?.apps;
    Ok(vec![
        line(
            "인공지능을 쓴다는 것을 알린다.",
            "앱마다 어떤 엔진이 답하는지, 밖으로 나가는지 적어 보입니다.",
            format!("스토어의 앱 {apps}개"),
            "/store",
        ),
        line(
            "인공지능이 쓴 결과에 표시한다.",
            "답마다 답한 엔진과 근거를 적고, 밖에서 온 답은 그렇다고 적습니다.",
            format!("최근 90일 실행 {runs}건에 엔진이 적힘"),
            "/ledger?kind=run_ended",
        ),
    ])
}
