//! The comparison of a bill with the record, in Korean sentences for a terminal or a page.

use super::{Reconciliation, Totals};
use crate::money::grouped;
use crate::time::shown;

pub(super) fn lines(r: &Reconciliation) -> Vec<String> {
    let mut out = vec![totals("청구서", &r.billed), totals("원장", &r.recorded)];
    out.push(format!("서로 맞는 것 {}건.", grouped(r.pairs.len() as u64)));
    for row in &r.only_billed {
        let id = row.request_id.as_deref().map_or_else(String::new, |id| format!(", 요청 번호 {id}"));
        out.push(format!(
            "[청구서에만 있음] {}번째 줄: {}, 모델 {}{id}. 이 시스템을 거치지 않은 호출일 수 있습니다. 제공자와 키 사용 내역을 확인해 주세요.",
            row.line,
            row.at_ms.map_or_else(|| "때를 알 수 없음".to_owned(), shown),
            row.model
        ));
    }
    for pair in r.pairs.iter().filter(|p| p.never_left) {
        out.push(format!(
            "[보내지 않았는데 청구됨] {}번째 줄: 외부호출 {}은 원장에 보내지 않은 것으로 적혀 있습니다. 원장의 결과를 확인해 주세요.",
            pair.line, pair.call
        ));
    }
    for pair in &r.pairs {
        for d in &pair.differences {
            out.push(format!(
                "[다름] {}번째 줄, 외부호출 {}: {}이 청구서에는 {}, 원장에는 {}.",
                pair.line, pair.call, d.field, d.billed, d.recorded
            ));
        }
    }
    for id in &r.only_recorded {
        out.push(format!("[원장에만 있음] 외부호출 {id}: 청구되지 않았습니다. 다음 청구서에서 확인해 주세요."));
    }
    for bad in &r.bad {
        out.push(format!("[읽지 못함] {}번째 줄: {} 합계에서 뺐습니다.", bad.line, bad.reason));
    }
    if r.clean() {
        out.push("청구서와 원장이 모두 맞습니다.".to_owned());
    }
    out
}

fn totals(name: &str, t: &Totals) -> String {
    format!(
        "{name}: {}건, 입력 {}토큰, 출력 {}토큰, {}.",
        grouped(t.rows),
        grouped(t.tokens_in),
        grouped(t.tokens_out),
        t.won
    )
}
