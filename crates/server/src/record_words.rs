//! Records in plain Korean: what a kind of record and its fields are called, and a line that sums one up. An unknown
//! kind or field keeps its stored name.

use crate::pages::when;
use madang_domain::Grade;
use madang_ledger::Entry;
use serde_json::Value;

/// Kinds of records with their Korean names, as the filter lists them.
pub const KINDS: &[(&str, &str)] = &[
    ("outside_call_requested", "외부호출 신청"),
    ("outside_call_allowed", "외부호출 정책으로 허용"),
    ("outside_call_denied", "외부호출 거부"),
    ("outside_call_opened", "외부호출 봉투 열람(결정하려고)"),
    ("outside_call_read", "외부호출 봉투 열람"),
    ("outside_call_masked", "외부호출 더 가림"),
    ("outside_call_revealed", "가린 말 열람"),
    ("outside_call_answered_inside", "외부호출 전에 받은 답 씀"),
    ("outside_call_lapsed", "외부호출 결정 기한 지남"),
    ("outside_call_approved", "외부호출 승인"),
    ("outside_call_returned", "외부호출 반려"),
    ("outside_call_cancelled", "외부호출 취소"),
    ("outside_call_intent", "외부호출 보냄(직전)"),
    ("outside_call_outcome", "외부호출 결과"),
    ("outside_call_expired", "외부호출 기한 지남"),
    ("policy_changed", "외부호출 정책 바꿈"),
    ("policy_proposed", "외부호출 정책 제안"),
    ("policy_declined", "외부호출 정책 반려"),
    ("policy_withdrawn", "외부호출 정책 제안 거둠"),
    ("officer_absence_added", "담당관 자리 비움"),
    ("officer_absence_removed", "담당관 자리 비움 거둠"),
    ("outside_calls_listed", "외부호출 목록 열람"),
    ("outside_calls_exported", "외부호출 내보냄"),
    ("outside_bodies_searched", "외부호출 본문에서 찾음"),
    ("anomaly_looked_at", "이상 징후 살펴봄"),
    ("monthly_sample_drawn", "월 점검 표본 뽑음"),
    ("monthly_pick_reviewed", "월 점검 한 건 봄"),
    ("monthly_review_signed", "월 점검 마침"),
    ("retention_changed", "보존기간 바꿈"),
    ("keeping_proposed", "보존 줄임·보류 풂 제안"),
    ("keeping_declined", "보존 제안 반려"),
    ("keeping_withdrawn", "보존 제안 거둠"),
    ("legal_hold_placed", "삭제 보류 걺"),
    ("legal_hold_lifted", "삭제 보류 풂"),
    ("bodies_erased", "원문 삭제"),
    ("run_texts_erased", "실행 글 삭제"),
    ("siem_target_changed", "SIEM 받는 곳 정함"),
    ("model_download_intent", "모델 내려받기(직전)"),
    ("model_download_outcome", "모델 내려받기 결과"),
    ("model_download_refused", "모델 내려받기 거절"),
    ("download_host_allowed", "내려받을 곳 허용"),
    ("download_host_removed", "내려받을 곳 허용 거둠"),
    ("outside_stopped", "외부호출 비상 정지"),
    ("outside_resumed", "외부호출 다시 엶"),
    ("provider_created", "제공자 더함"),
    ("provider_changed", "제공자 바꿈"),
    ("provider_enabled", "제공자 켬"),
    ("provider_disabled", "제공자 끔"),
    ("provider_deleted", "제공자 지움"),
    ("engine_chosen", "답하는 엔진 정함"),
    ("model_loaded", "모델 올림"),
    ("model_unloaded", "모델 내림"),
    ("model_server_added", "모델 서버 더함"),
    ("model_server_removed", "모델 서버 뺌"),
    ("internal_networks_changed", "내부망 목록 바꿈"),
    ("index_moved", "검색 색인 옮김"),
    ("index_rebuilt", "검색 색인 다시 만듦"),
    ("ledger_read", "원장 열람"),
    ("ledger_exported", "원장 내보냄"),
    ("ledger_verified", "원장 확인"),
    ("ledger_key_created", "원장 키 만듦"),
    ("ledger_key_rotated", "원장 키 바꿈"),
    ("cosignature_added", "증인 확인서명 더함"),
    ("sign_in", "로그인"),
    ("sign_in_failed", "로그인 실패"),
    ("sign_out", "로그아웃"),
    ("sign_out_everywhere", "모두 로그아웃"),
    ("password_changed", "비밀번호 바꿈"),
    ("password_reset", "비밀번호 다시 정함"),
    ("token_created", "토큰 만듦"),
    ("token_revoked", "토큰 취소"),
    ("first_admin_created", "첫 운영자 등록"),
    ("department_created", "부서 만듦"),
    ("department_renamed", "부서 이름 바꿈"),
    ("department_deleted", "부서 지움"),
    ("post_created", "직위 만듦"),
    ("post_changed", "직위 바꿈"),
    ("post_deleted", "직위 지움"),
    ("person_created", "직원 등록"),
    ("person_moved", "인사이동"),
    ("person_suspended", "계정 멈춤"),
    ("person_restored", "계정 되살림"),
    ("collection_created", "자료 모음 만듦"),
    ("collection_changed", "자료 모음 바꿈"),
    ("grade_lowered", "자료 등급 낮춤"),
    ("collection_readers_changed", "자료 모음 읽는 이 바꿈"),
    ("collection_deleted", "자료 모음 지움"),
    ("document_added", "문서 올림"),
    ("document_replaced", "문서 갈음"),
    ("synonyms_changed", "같은 말 바꿈"),
    ("pii_dictionary_changed", "기관 사전 바꿈"),
    ("document_moved", "문서 자리 옮김"),
    ("document_withdrawn", "문서 원본 없어짐"),
    ("folder_connected", "공유 폴더 연결"),
    ("folder_disconnected", "공유 폴더 연결 끊음"),
    ("folder_removal_allowed", "공유 폴더 문서 거두기 확인"),
    ("document_deleted", "문서 지움"),
    ("document_cancelled", "문서 처리 취소"),
    ("document_retried", "문서 다시 처리"),
    ("draft_created", "초안 만듦"),
    ("draft_deleted", "초안 지움"),
    ("app_version_saved", "앱 판 저장"),
    ("app_submitted", "앱 등록 신청"),
    ("submission_approved", "앱 등록 승인"),
    ("submission_returned", "앱 등록 반려"),
    ("submission_withdrawn", "앱 등록 거둠"),
    ("app_forked", "앱 본떠 만듦"),
    ("app_rolled_back", "앱 되돌림"),
    ("app_unpublished", "앱 내림"),
    ("app_rated", "앱 평가"),
    ("run_ended", "앱 실행"),
    ("run_exported", "답 내려받음"),
    ("run_reported", "잘못된 답 알림"),
    ("runs_interrupted", "실행 끊김"),
];

/// Fields with their Korean names, in the order in which a summary prefers them.
const FIELDS: &[(&str, &str)] = &[
    ("purpose", "목적"),
    ("decision", "결정"),
    ("outcome", "결과"),
    ("reason", "까닭"),
    ("verdict", "판정"),
    ("month", "달"),
    ("note", "적은 말"),
    ("items", "지운 건수"),
    ("digest", "삭제 증명 해시"),
    ("days", "보존 일수"),
    ("picks", "표본 수"),
    ("faults", "부적정"),
    ("questions", "확인 필요"),
    ("looked", "열어 본 건수"),
    ("found", "찾은 건수"),
    ("words_hmac", "찾은 말 HMAC"),
    ("target", "보류 대상"),
    ("kind", "종류"),
    ("calls", "외부호출"),
    ("checkpoint", "체크포인트 번호"),
    ("seed", "씨앗"),
    ("host", "받는 곳"),
    ("choice", "엔진"),
    ("model", "모델"),
    ("name", "이름"),
    ("title", "제목"),
    ("login", "아이디"),
    ("format", "형식"),
    ("grade", "등급"),
    ("state", "상태"),
    ("status", "응답 상태"),
    ("records", "기록 수"),
    ("size", "확인한 기록 수"),
    ("witnesses", "증인"),
    ("rules", "규칙 수"),
    ("terms", "낱말 수"),
    ("patterns", "형식 수"),
    ("revision", "판 번호"),
    ("dictionary_hmac", "사전 HMAC"),
    ("key", "원장 공개키"),
    ("old_key", "전 공개키"),
    ("bytes", "보낸 바이트"),
    ("reply_bytes", "받은 바이트"),
    ("citations", "근거 수"),
    ("answered", "답함"),
    ("findings", "찾은 개인정보"),
    ("detector", "탐지기"),
    ("sources", "근거 자료 수"),
    ("legal_basis", "근거 법령"),
    ("approver", "승인한 사람"),
    ("destination", "받는 주소"),
    ("expires_at", "승인 기한"),
    ("body_hmac", "보낸 글 HMAC"),
    ("reply_hmac", "받은 글 HMAC"),
    ("provider_request_id", "제공자 요청 번호"),
    ("policy_revision", "따른 정책 판"),
    ("always_in_all", "꼭 보는 이상 징후 수"),
    ("always_digest", "꼭 보는 이상 징후 해시"),
    ("always", "꼭 보는 이상 징후"),
    ("tokens_in", "보낸 토큰"),
    ("tokens_out", "받은 토큰"),
    ("revision", "정책 판"),
    ("changes", "바뀐 것"),
    ("changes_in_all", "바뀐 것의 수"),
    ("loosens", "느슨해질 수 있음"),
    ("old_revision", "전 정책 판"),
    ("policy_hash", "정책 지문"),
    ("old_policy_hash", "전 정책 지문"),
    ("proposal", "정책 제안"),
    ("proposer", "제안한 사람"),
    ("change", "바꾸려는 것"),
    ("overtaken", "함께 끝난 제안"),
    ("older_withdrawn", "거둔 앞 제안"),
    ("absence", "자리 비움"),
    ("from_at", "비우는 때"),
    ("until_at", "돌아오는 때"),
    ("attempts", "시도한 횟수"),
    ("latency_ms", "걸린 시간(ms)"),
    ("wire", "방식"),
    ("max_output_tokens", "출력 한도(토큰)"),
    ("pins", "고정한 공개키"),
    ("changed", "바뀐 칸"),
    ("calls_cancelled", "취소된 외부호출 수"),
    ("switched_off", "꺼짐"),
    ("filter", "찾은 조건"),
    ("seq", "기록 번호"),
    ("sound", "이어짐"),
    ("fault_seq", "잘못된 기록"),
    ("path", "받은 경로"),
    ("pinned", "연결한 주소"),
    ("hop", "안내받은 횟수"),
    ("resumed_from", "이어 받은 곳"),
    ("sha256", "SHA-256"),
    ("error", "오류"),
    ("os_user", "운영체제 사용자"),
    ("uid", "운영체제 사용자 번호"),
    ("by", "한 방법"),
    ("download", "내려받기"),
    ("address", "접속 주소"),
    ("url", "주소"),
    ("has_key", "키 있음"),
    ("roles", "역할"),
    ("from", "전"),
    ("to", "후"),
    ("call", "외부호출"),
    ("run", "실행"),
    ("app", "앱"),
    ("version", "판"),
    ("provider", "제공자"),
    ("erasure", "삭제 번호"),
    ("collection", "자료 모음"),
    ("document", "문서"),
    ("draft", "초안"),
    ("person", "직원"),
    ("post", "직위"),
    ("department", "부서"),
];
/// Fields that sum a record up, at most.
const SUMMED: usize = 3;

/// A record, read.
pub struct Read {
    pub action: String,
    pub who: String,
    pub login: String,
    /// Departments of the posts held at that time.
    pub department: String,
    /// Unix milliseconds.
    pub at: i64,
    pub detail: Value,
}

/// Reads the payload of an entry; parts that are not there stay empty.
pub fn read(entry: &Entry) -> Read {
    let payload: Value = serde_json::from_str(&entry.payload).unwrap_or_default();
    let text = |pointer: &str| payload.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let posts = payload.pointer("/actor/posts").and_then(Value::as_array);
    let mut departments: Vec<&str> =
        posts.into_iter().flatten().filter_map(|p| p.get("department")?.as_str()).collect();
    departments.dedup();
    Read {
        action: text("/action"),
        who: Some(text("/actor/name")).filter(|n| !n.is_empty()).unwrap_or_else(|| text("/detail/os_user")),
        login: text("/actor/login"),
        department: departments.join(", "),
        at: entry.time.parse::<jiff::Timestamp>().map_or(0, |t| t.as_millisecond()),
        detail: payload.get("detail").cloned().unwrap_or_default(),
    }
}

/// Korean name of a kind of record.
pub fn kind(action: &str) -> &str {
    KINDS.iter().find(|(name, _)| *name == action).map_or(action, |(_, korean)| korean)
}

/// Label and value of each field, known ones first.
pub fn fields(detail: &Value) -> Vec<(String, String)> {
    let Some(map) = detail.as_object() else { return Vec::new() };
    let known = FIELDS.iter().filter_map(|(key, label)| Some(((*label).to_owned(), shown(key, map.get(*key)?)?)));
    let others = map.iter().filter(|(key, _)| !FIELDS.iter().any(|(known, _)| known == key));
    known.chain(others.filter_map(|(key, value)| Some((key.clone(), shown(key, value)?)))).collect()
}

/// One line: the most telling fields, without identifiers.
pub fn summary(detail: &Value) -> String {
    let Some(map) = detail.as_object() else { return String::new() };
    let telling = FIELDS.iter().filter_map(|(key, label)| {
        let value = shown(key, map.get(*key)?)?;
        let identifier = uuid::Uuid::parse_str(&value).is_ok() || key.ends_with("hmac");
        (!identifier).then(|| format!("{label} {value}"))
    });
    telling.take(SUMMED).collect::<Vec<_>>().join(" · ")
}

/// A value as people read it; `None` for nothing.
fn shown(key: &str, value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(words(key, text)),
        Value::Bool(yes) => Some(if *yes { "예" } else { "아니요" }.to_owned()),
        Value::Number(n) => Some(match n.as_i64().filter(|_| key.ends_with("_at")) {
            Some(ms) => when::date_time(ms),
            None => n.to_string(),
        }),
        Value::Array(items) if items.is_empty() => None,
        Value::Array(items) => Some(items.iter().filter_map(|v| shown(key, v)).collect::<Vec<_>>().join(", ")),
        Value::Object(map) if map.is_empty() => None,
        Value::Object(map) => Some(
            map.iter()
                .filter_map(|(k, v)| Some(format!("{} {}", pii_kind(k), shown(k, v)?)))
                .collect::<Vec<_>>()
                .join(", "),
        ),
    }
}

/// Stored names of states, decisions and grades in Korean.
fn words(key: &str, text: &str) -> String {
    let korean = match (key, text) {
        ("outcome", state) => call_state(state).or_else(|| download_state(state)),
        ("state", state) => call_state(state),
        ("purpose", "model download") => Some("모델 내려받기"),
        ("by", "command line") => Some("명령줄"),
        ("kind", name) => name.parse::<madang_store::retention::TextKind>().ok().map(|k| k.korean()),
        ("decision", "approved") => Some("승인"),
        ("decision", "returned") => Some("반려"),
        _ => None,
    };
    let run =
        || (key == "state").then(|| text.parse::<madang_store::runs::RunState>().ok()).flatten().map(|s| s.korean());
    let grade = || (key == "grade").then(|| text.parse::<Grade>().ok()).flatten().map(|g| g.letter());
    korean.or_else(run).or_else(grade).unwrap_or(text).to_owned()
}

fn call_state(name: &str) -> Option<&'static str> {
    name.parse::<madang_store::calls::CallState>().ok().map(|s| s.korean())
}

fn download_state(name: &str) -> Option<&'static str> {
    name.parse::<madang_store::downloads::DownloadState>().ok().map(|s| s.korean())
}

/// Korean name of a stored kind of identifier.
pub fn pii_kind(name: &str) -> &str {
    if let Some(rule) = name.strip_prefix(madang_gateway::inspect::CUSTOM_PREFIX) {
        return rule;
    }
    madang_pii::Kind::ALL.into_iter().find(|k| k.as_str() == name).map_or(name, |k| k.korean())
}

/// Page of what a record speaks of.
pub fn subject(detail: &Value) -> Option<String> {
    let rooms =
        [("call", "/review/outside"), ("document", "/documents"), ("collection", "/collections"), ("app", "/apps")];
    rooms.into_iter().find_map(|(key, room)| {
        let id: uuid::Uuid = detail.get(key)?.as_str()?.parse().ok()?;
        Some(format!("{room}/{id}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_summary_tells_without_identifiers() {
        let detail = json!({ "call": uuid::Uuid::now_v7(), "decision": "returned", "reason": "내부 자료로 충분함", "findings": { "phone": 2 } });
        assert_eq!(summary(&detail), "결정 반려 · 까닭 내부 자료로 충분함 · 찾은 개인정보 전화번호 2");
        assert!(subject(&detail).is_some_and(|s| s.starts_with("/review/outside/")));
        assert_eq!(subject(&json!({ "call": "../../x" })), None);
        assert_eq!(kind("outside_call_intent"), "외부호출 보냄(직전)");
        assert_eq!(kind("unheard_of"), "unheard_of");
    }
}
