//! Outside calls as rows for a spreadsheet, and as JSON Lines. Metadata alone.

use super::{left, state_korean, verdict};
use crate::pages::when;
use crate::record_words::pii_kind;
use madang_policy::money::MicroWon;
use madang_store::calls_review::ReviewedCall;
use serde_json::{Value, json};

const HEADINGS: [&str; 22] = [
    "\u{feff}외부호출",
    "일시",
    "직원",
    "아이디",
    "부서",
    "앱",
    "제공자",
    "받는 곳",
    "모델",
    "등급",
    "정책 결정",
    "상태",
    "나감",
    "찾은 개인정보",
    "보낸 바이트",
    "입력 토큰",
    "출력 토큰",
    "비용",
    "승인한 사람",
    "보낸 때",
    "제공자 요청 번호",
    "보낸 글 HMAC",
];

/// Rows, with the headings where they are the first.
pub fn csv(calls: &[ReviewedCall], first: bool) -> Vec<u8> {
    let mut out = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    // Writing to memory does not fail.
    if first {
        let _headings = out.write_record(HEADINGS);
    }
    for call in calls {
        let number = |n: Option<i64>| n.map(|n| n.to_string()).unwrap_or_default();
        let found: Vec<String> = call.findings.iter().map(|(k, n)| format!("{} {n}", pii_kind(k))).collect();
        let cells = [
            call.id.to_string(),
            when::date_time(call.created_at),
            call.person_name.clone(),
            call.login.clone(),
            call.department_name.clone(),
            call.app_title.clone(),
            call.provider_name.clone(),
            call.host.clone(),
            call.model.clone(),
            call.grade.letter().to_owned(),
            verdict(call).korean().to_owned(),
            state_korean(&call.state).to_owned(),
            if left(call) { "예" } else { "아니요" }.to_owned(),
            found.join(", "),
            call.body_bytes.to_string(),
            number(call.tokens_in),
            number(call.tokens_out),
            call.won_spent.map(|w| MicroWon(w).to_string()).unwrap_or_default(),
            call.approver_name.clone().unwrap_or_default(),
            call.sent_at.map(when::date_time).unwrap_or_default(),
            call.provider_request_id.clone().unwrap_or_default(),
            call.body_hmac.clone(),
        ];
        let _row = out.write_record(cells.iter().map(|c| cell(c)));
    }
    out.into_inner().unwrap_or_default()
}

/// A spreadsheet would run a cell that begins like a formula.
pub fn cell(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) { format!("'{text}") } else { text.to_owned() }
}

/// One line of JSON.
pub fn json_line(call: &ReviewedCall) -> String {
    let mut value = json!(call);
    if let Value::Object(map) = &mut value {
        map.insert("left".to_owned(), json!(left(call)));
    }
    format!("{value}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_never_begin_a_formula() {
        for bad in ["=1+1", "+82", "-1", "@SUM(A1)", "\t=1"] {
            assert_eq!(cell(bad), format!("'{bad}"));
        }
        assert_eq!(cell("가나 =1"), "가나 =1");
    }
}
