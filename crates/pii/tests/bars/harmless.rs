//! Sentences of officials in which nothing is personal: how many are blocked or masked by mistake. Templates first, then
//! real texts read in place.

use crate::random::Random;
use madang_pii::{Action, Kind, scan};
use std::collections::BTreeMap;

/// Sentences of official business with numbers, dates, units, addresses of offices and words that resemble labels.
/// `{n}` is a number, `{d}` a date, `{y}` a year, `{m}` an amount, `{c}` a code.
const TEMPLATES: [&str; 62] = [
    "{y}년도 예산은 {m}천원이며 전년보다 {n}% 늘었다.",
    "{d}부터 {d}까지 {n}일 동안 접수한다.",
    "정보통신과-{c}({d})호와 관련입니다.",
    "접수번호 {y}-{c} 민원을 {d}까지 처리한다.",
    "회의는 {d} 14:00에 본관 {n}층 대회의실에서 연다.",
    "민원실 031-940-{k} 또는 국번 없이 120으로 문의한다.",
    "물품번호 {c}{c} 노트북 {n}대를 구입한다.",
    "제{n}조제{k1}항에 따라 {d}까지 이행한다.",
    "시청 행복로 {n}에서 열리는 행사에 {m}명이 참석한다.",
    "여권 발급 수수료는 {m}원이다.",
    "운전면허 반납 어르신 {n}명에게 교통카드를 드린다.",
    "주민등록등본 {n}부와 신분증 사본을 낸다.",
    "계좌이체 수수료 {m}원은 지원하지 않는다.",
    "건강보험료 본인부담금이 월 {m}원 이하인 가구",
    "차량 2부제에 따라 {d}에는 홀수 차량만 운행한다.",
    "사업자등록번호 104-86-56659인 업체와 계약한다.",
    "법인등록번호 110111-0006240인 법인이다.",
    "입찰공고 제{y}-{c}호 개찰 결과를 알린다.",
    "예산과목 {k1}01-{n}-{k1} 사무관리비에서 지출한다.",
    "총 {m}건 가운데 {m}건을 처리하여 처리율은 {n}.{k1}%이다.",
    "신청인은 신청서를 작성하여 제출한다.",
    "담당자는 {d}까지 결과를 보고한다.",
    "성명, 주소, 연락처를 적는다.",
    "대표자가 서명한 동의서를 낸다.",
    "비밀번호는 {n}자 이상으로 정하고 90일마다 바꾼다.",
    "암호화 대상은 고유식별정보와 비밀번호이다.",
    "서버 {n}대와 방화벽 {k1}식을 교체한다.",
    "버전 {k1}.{n}.{k1}을 배포한다.",
    "비공개 회의로 진행하고 결과는 공개한다.",
    "정보공개법 제9조제1항제{k1}호에 따른 비공개 대상 정보이다.",
    "대외비로 분류된 문서의 관리 실태를 점검한다.",
    "비밀 취급 인가자 {n}명을 교육한다.",
    "공개 {n}건, 비공개 {k1}건, 부분공개 {k1}건이다.",
    "{y}. 1분기 세입은 {m}원, 세출은 {m}원이다.",
    "면적 {m}㎡, 연장 {n}.{k1}km, 폭 {k1}m",
    "사업비 {m}백만원(국비 {m}, 도비 {m}, 시비 {m})",
    "인구 {m}명, 세대 {m}세대 ({d} 기준)",
    "{n}동 행정복지센터에서 {d} 10:00~12:00에 접수",
    "팀장 {k1}명, 주무관 {n}명으로 구성한다.",
    "위원장은 위원 중에서 호선한다.",
    "버스 {n}번과 마을버스 {k1}{n}번이 선다.",
    "공고 제{y}-{n}호, 고시 제{y}-{k1}{n}호",
    "전자납부번호는 고지서에서 확인한다.",
    "위도 37.{c}, 경도 126.{c}에 설치한다.",
    "ISBN 978-89-{c}-{k1}-{k1} 도서를 비치한다.",
    "대법원 {y}. {k1}. {n}. 선고 {y}다{c} 판결",
    "모델명 SM-{c}, 제품번호 {c}-{n}을 납품한다.",
    "지하 {k1}층 지상 {n}층, 연면적 {m}㎡",
    "기간: {d} ~ {d}",
    "시간: 09:00~18:00 (점심시간 12:00~13:00)",
    "일반회계 {m}천원, 특별회계 {m}천원",
    "지방보조금 {m}원을 {k1}차례 나누어 준다.",
    "생년월일과 이름이 같은지 확인한다.",
    "전화 상담은 하루 {m}건, 방문 상담은 {n}건이다.",
    "누리집 주소 창에 기관 이름을 입력한다.",
    "이메일로 회신하여 주시기 바랍니다.",
    "카드 단말기 {n}대를 설치하고 수수료 {k1}.{k1}%를 낸다.",
    "교통량 {m}대/일, 사고 {n}건(사망 {k1}명)",
    "1단계 {y}~{y}, 2단계 {y}~{y}",
    "수량 {n}, 단가 {m}, 금액 {m}",
    "{n}, {n}, {n}, {n}, {n}, {n}, {n}",
    "지번 가람동 {n}-{k1} 일원에 공원을 만든다.",
];

fn filled(template: &str, r: &mut Random) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((name, tail)) = after.split_once('}') else { break };
        out.push_str(&match name {
            "n" => r.within(2, 99).to_string(),
            "k1" => r.within(1, 9).to_string(),
            "k" => r.within(1000, 9999).to_string(),
            "c" => r.within(1000, 99_999).to_string(),
            "y" => r.within(2001, 2030).to_string(),
            "d" => format!("{}. {}. {}.", r.within(2001, 2030), r.within(1, 12), r.within(1, 28)),
            _ => grouped(r.within(1000, 9_999_999_999)),
        });
        rest = tail;
    }
    out + rest
}

/// Thousands with commas.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

#[derive(Default)]
struct Count {
    sentences: usize,
    blocked: usize,
    kinds: BTreeMap<Kind, usize>,
    markings: usize,
}

impl Count {
    fn look(&mut self, sentence: &str) {
        let report = scan(sentence);
        self.sentences += 1;
        self.markings += report.markings.len();
        if report.action == Action::Block {
            self.blocked += 1;
            if self.blocked <= 5 {
                eprintln!("blocked: {:?}: {:?}", sentence.chars().take(120).collect::<String>(), report.findings);
            }
        }
        for finding in report.findings.iter().filter(|f| f.action == Action::Mask) {
            *self.kinds.entry(finding.kind).or_default() += 1;
        }
    }

    fn per_thousand(&self, n: usize) -> f64 {
        n as f64 * 1000.0 / self.sentences.max(1) as f64
    }

    fn tell(&self, what: &str) {
        eprintln!(
            "{what}: {} sentences, {} blocked ({:.2} per 1,000)",
            self.sentences,
            self.blocked,
            self.per_thousand(self.blocked)
        );
        for (kind, n) in &self.kinds {
            eprintln!("  masked {kind}: {n} ({:.2} per 1,000)", self.per_thousand(*n));
        }
        eprintln!("  grade markings: {}", self.markings);
    }
}

#[test]
fn official_sentences_pass() {
    let mut random = Random::new(11);
    let mut count = Count::default();
    for _ in 0..40 {
        for template in TEMPLATES {
            let sentence = filled(template, &mut random);
            let before = count.kinds.values().sum::<usize>();
            count.look(&sentence);
            if count.kinds.values().sum::<usize>() > before {
                eprintln!("masked: {sentence}");
            }
        }
    }
    count.tell("templates");
    assert!(count.sentences >= 1000);
    assert!(count.per_thousand(count.blocked) <= 1.0);
    assert!(count.per_thousand(count.kinds.values().sum()) <= 5.0);
    assert_eq!(count.markings, 0);
}

/// Lines of a real text, cut where sentences end.
fn sentences(text: &str) -> impl Iterator<Item = &str> {
    text.split(['\n', '\r'])
        .flat_map(|line| line.split_inclusive(". "))
        .map(str::trim)
        .filter(|s| s.chars().count() > 8 && s.chars().any(|c| matches!(c, '가'..='힣')))
}

/// The texts of a JSON value, longest walk first.
fn texts(value: &serde_json::Value, out: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) => out.push(text.replace("<br/>", "\n")),
        serde_json::Value::Array(items) => items.iter().for_each(|item| texts(item, out)),
        serde_json::Value::Object(fields) => fields.values().for_each(|field| texts(field, out)),
        _ => {}
    }
}

#[test]
fn real_sentences_are_seldom_blocked() {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    for (file, most_masked) in [
        ("text/precedents_6000.jsonl", 8.0),
        ("text/petitions_2019-05", 25.0),
        ("retrieval/municipal_faq/corpus.jsonl", 25.0),
        ("retrieval/consumer_complaints/corpus.jsonl", 10.0),
        ("pii/staff_prompt_policy.jsonl", 5.0),
        ("seeds/paju_2026_plan_admin_safety.txt", 5.0),
        ("law/acts/laws/000130.json", 10.0),
    ] {
        let path = format!("{data}/{file}");
        let Ok(raw) = std::fs::read_to_string(&path) else {
            eprintln!("skipped: {path} is absent");
            continue;
        };
        let mut parts = Vec::new();
        match serde_json::from_str(&raw) {
            Ok(whole) => texts(&whole, &mut parts),
            Err(_) => raw.lines().take(3000).for_each(|line| match serde_json::from_str(line) {
                Ok(value) => texts(&value, &mut parts),
                Err(_) => parts.push(line.to_string()),
            }),
        }
        let mut count = Count::default();
        parts.iter().flat_map(|part| sentences(part)).take(20_000).for_each(|sentence| count.look(sentence));
        count.tell(file);
        assert!(count.per_thousand(count.blocked) <= 1.0, "{file}");
        assert!(count.per_thousand(count.kinds.values().sum()) <= most_masked, "{file}");
    }
}
