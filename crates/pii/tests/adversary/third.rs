//! The third round: other sentences again, and two changes at once. `{}` is the value.

use super::mutations::{Change, DASHED, DIGITS};
use super::values::Dice;

pub const RESIDENT: &[&str] = &[
    "전입세대확인서 신청인 {}",
    "{} 님의 기초연금 신청을 안내드립니다",
    "장애인등록 심사 대상 — {}",
    "긴급복지 지원대상자(주민번호 {})",
    "민방위 대원 {} 교육 불참",
    "예비군 {} 소집 연기",
    "혼인신고서 처: {}",
    "출생신고: 아기 {}, 모 별첨",
    "인감증명 위임자 {} 수임자 별첨",
    "대리인 {}의 위임장",
    "상담 메모) {} 재방문 예정",
    "지적재조사 토지소유자 {} 통지",
    "농업경영체 등록 경영주 {}",
    "무연고 사망자 {} 처리",
];

pub const FOREIGNER: &[&str] = &[
    "체류기간 연장 신청인 {}",
    "이주노동자 {} 상담",
    "난민 인정자 {}",
    "외국인 자녀 {} 보육료",
    "외국국적동포 거소신고 {}",
    "통역 요청자 {}",
];

pub const LICENSE: &[&str] = &[
    "적성검사 만료 {}",
    "셔틀버스 운전자 면허 {}",
    "특장차 운전 가능자: {}",
    "대형면허 {} 보유",
    "면허번호 조회 결과 {}",
    "교통사고 가해차량 운전자 면허 {}",
];

pub const PASSPORT: &[&str] = &[
    "공무국외출장 {} 여권 확인",
    "여권번호 조회: {}",
    "분실여권 {}",
    "비자 발급(여권 {})",
    "여권 영문명 변경 {}",
    "여권수령인 {}",
];

pub const PHONE: &[&str] = &[
    "민원인 휴대폰 번호는 {}",
    "{}로 문자 보냄",
    "통화 희망 시간 오후, 번호 {}",
    "연락처란: {}",
    "세입자 전화 {}",
    "핸드폰 {} / 집 없음",
    "직통 {}",
    "전화번호 {}(배우자)",
];

pub const ACCOUNT: &[&str] = &[
    "국민은행 {}로 입금 바랍니다",
    "계좌이체: 신한은행 {}",
    "환급 계좌번호 [{}]",
    "농협계좌 {}",
    "수당 지급 계좌 {} 기업은행",
    "예금주 본인, 우체국 {}",
];

pub const CARD: &[&str] = &["카드번호 {}", "분실 카드 {}", "체크카드번호: {}", "하나카드({})", "농협카드 {} 일시불"];

pub const HEALTH: &[&str] = &["건강보험증번호 {}", "보험증번호[{}]", "건강보험증: {}", "건강보험 증 번호 {}"];

pub const PLATE: &[&str] = &[
    "차량번호 {} 흰색 승용차",
    "{} 차주분 연락 바랍니다",
    "무단방치 차량 {}",
    "주차단속 {} 과태료",
    "자동차등록번호 {}",
    "장애인 주차구역 위반 차량: {}",
    "택시 {} 승차거부",
    "차량 {} 앞유리 파손",
];

pub const ADDRESS: &[&str] = &[
    "주소: 경기도 성남시 분당구 불정로 90, 1101동 304호",
    "파주시 책향기로 371 905동 1204호 거주",
    "현주소 서울 은평구 은평로 195 302호",
    "주소지는 인천 부평구 부평대로 168 입니다",
    "목련마을 8단지 805동 603호",
    "배송지: 경남 김해시 김해대로 2401",
    "거주지 전북 군산시 시청로 17, 나동 402호",
    "광주시 북구 용봉로 77 한국아파트 12동 508호",
    "자택: 대전 유성구 대학로 211",
    "주민등록지: 경북 구미시 송정대로 55",
];

pub const SECRETS: &[&str] = &[
    "비밀번호 : {s}",
    "시스템 비번은 {s}입니다",
    "admin 계정 password {s}77",
    "API_TOKEN={n}",
    "x-api-key: {n}",
    "DB 비밀번호는 {s}로 바꿨습니다",
    "\"secretKey\": \"{n}\"",
    "Authorization: Bearer {n}",
    "서비스키 = {n}",
    "postgresql://app:{s}@10.0.0.9/app",
];

pub const NAMES: &[&str] = &[
    "민원인 성명: {}",
    "신청인: {} (010-0000-0000)",
    "{} 님이 전화하셨습니다",
    "{} 씨의 신청",
    "담당자 {} 주무관",
    "성명 : {}",
    "세대주: {}",
    "예금주: {}",
    "이름은 {}입니다",
    "{} 귀하",
    "보호자: {}",
    "{} 팀장에게 보고",
];

/// Two changes, one after the other: of the dashes, and of the digits.
pub const TWICE: &[(&str, Change)] = &[
    ("two changes", twice),
    ("two changes ", twice),
    ("two changes  ", twice),
    ("two changes   ", twice),
    ("two changes    ", twice),
    ("two changes     ", twice),
];

fn twice(value: &str, dice: &mut Dice) -> String {
    // Scripts, and marks that show nothing: what spells digits out or divides them all leaves no dash to change.
    const SECOND: [&str; 13] = [
        "wide",
        "ringed",
        "bold",
        "outlined",
        "Arabic",
        "Devanagari",
        "keycaps",
        "zero width between",
        "joiner",
        "soft hyphen",
        "right to left mark",
        "letter O",
        "half spoken",
    ];
    const FIRST: [&str; 12] = [
        "no dash",
        "blank",
        "blanks around",
        "dot",
        "middle dot",
        "slash",
        "underscore",
        "en dash",
        "em dash",
        "fixed blank",
        "line after dash",
        "wide dash",
    ];
    let (first, second) = (dice.of(&FIRST), dice.of(&SECOND));
    let change = |list: &[(&str, Change)], name: &str| list.iter().find(|(n, _)| *n == name).map(|(_, f)| *f);
    let value = change(&DASHED, first).map_or_else(|| value.to_string(), |f| f(value, dice));
    change(&DIGITS, second).map_or_else(|| value.clone(), |f| f(&value, dice))
}
