//! Random identifiers of each kind, as somebody would write them who hides nothing.

use crate::random::Random;
use madang_pii::Kind;

/// An identifier, and the words around it without which nobody could tell what it is.
#[derive(Debug, Clone)]
pub struct Identifier {
    pub kind: Kind,
    pub before: &'static str,
    pub value: String,
    pub after: &'static str,
}

fn plain(kind: Kind, value: String) -> Identifier {
    Identifier { kind, before: "", value, after: "" }
}

fn birth(r: &mut Random) -> String {
    format!("{:02}{:02}{:02}", r.within(30, 99), r.within(1, 12), r.within(1, 28))
}

/// Unique identifiers: what blocks.
pub fn unique(r: &mut Random) -> Vec<Identifier> {
    let agency = *r.one(&[11, 12, 13, 15, 19, 21, 23, 26, 28]);
    let region = *r.one(&["서울", "부산", "경기", "충남", "제주"]);
    let letter = *r.one(&['M', 'S', 'R', 'O', 'D']);
    let second = *r.one(&['A', 'C', 'F', 'K', 'N', 'W']);
    vec![
        plain(Kind::Rrn, format!("{}-{}{}", birth(r), r.within(1, 2), r.digits(6))),
        plain(
            Kind::Rrn,
            format!(
                "{:02}{:02}{:02}-{}{}",
                r.within(0, 24),
                r.within(1, 12),
                r.within(1, 28),
                r.within(3, 4),
                r.digits(6)
            ),
        ),
        plain(Kind::ForeignerRegistration, format!("{}-{}{}", birth(r), r.within(5, 6), r.digits(6))),
        plain(Kind::DriversLicense, format!("{agency}-{}-{}-{}", r.digits(2), r.digits(6), r.digits(2))),
        Identifier {
            kind: Kind::DriversLicense,
            before: region,
            value: format!(" {}-{}-{}", r.digits(2), r.digits(6), r.digits(2)),
            after: "",
        },
        plain(Kind::Passport, format!("{letter}{}", r.within(10_000_000, 99_999_999))),
        plain(Kind::Passport, format!("{letter}{}{second}{}", r.within(100, 999), r.digits(4))),
    ]
}

/// Appends Luhn's check digit.
fn with_luhn(mut digits: String) -> String {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(i, b)| match (i % 2, u32::from(b - b'0')) {
            (1, d) => d,
            (_, d) if d > 4 => d * 2 - 9,
            (_, d) => d * 2,
        })
        .sum();
    digits.push_str(&((10 - sum % 10) % 10).to_string());
    digits
}

/// Other identifiers of digits: what is masked.
pub fn structured(r: &mut Random) -> Vec<Identifier> {
    let card =
        with_luhn(format!("{}{}", r.one(&["4", "51", "55", "94", "62"]), r.digits(15)).chars().take(15).collect());
    let card = format!("{}-{}-{}-{}", &card[..4], &card[4..8], &card[8..12], &card[12..]);
    let area = *r.one(&["031", "032", "051", "064", "055"]);
    let bank = *r.one(&["농협 ", "국민은행 ", "계좌번호: ", "신한은행 계좌 ", "입금계좌 "]);
    let account = match r.within(0, 2) {
        0 => format!("{}-{}-{}-{}", r.digits(3), r.digits(4), r.digits(4), r.digits(2)),
        1 => format!("110-{}-{}", r.digits(3), r.digits(6)),
        _ => format!("{}-{}-{}", r.digits(6), r.digits(2), r.digits(6)),
    };
    let syllable = *r.one(&['가', '나', '다', '머', '서', '조', '호', '하']);
    vec![
        plain(Kind::Phone, format!("010-{}-{}", r.within(2000, 9999), r.digits(4))),
        Identifier {
            kind: Kind::Phone,
            before: "연락처 ",
            value: format!("{area}-{}-{}", r.within(200, 999), r.digits(4)),
            after: "",
        },
        Identifier {
            kind: Kind::Phone,
            before: "전화: ",
            value: format!("070-{}-{}", r.within(2000, 9999), r.digits(4)),
            after: "",
        },
        plain(Kind::Phone, format!("050{}-{}-{}", r.within(2, 7), r.within(2000, 9999), r.digits(4))),
        plain(Kind::Card, card),
        Identifier { kind: Kind::Account, before: bank, value: account, after: "" },
        Identifier {
            kind: Kind::HealthInsurance,
            before: "건강보험증 번호 ",
            value: format!("{}{}", r.within(1, 9), r.digits(10)),
            after: "",
        },
        Identifier {
            kind: Kind::VehiclePlate,
            before: "차량번호 ",
            value: format!("{}{syllable}{}", r.within(100, 699), r.digits(4)),
            after: "",
        },
        Identifier {
            kind: Kind::VehiclePlate,
            before: "주차 차량 ",
            value: format!("{}{syllable}{}", r.within(10, 69), r.digits(4)),
            after: "",
        },
    ]
}

/// Identifiers with words in them, which have fewer disguises.
pub fn worded(r: &mut Random) -> Vec<Identifier> {
    let road = *r.one(&["행복로", "가람대로", "새싹길", "푸른들로"]);
    let family = *r.one(&["김", "이", "박", "최", "정", "강", "윤", "남궁"]);
    let given = *r.one(&["민수", "서연", "지훈", "영희", "도현", "하은", "철호", "미경"]);
    let user = *r.one(&["hong", "kim.ms", "lee_1", "park-sy", "choi88"]);
    let host = *r.one(&["example.kr", "mail.example.com", "garam.go.kr"]);
    let key: String = (0..32).map(|_| *r.one(&['a', 'B', '3', 'x', '7', 'Q', 'f', '0'])).collect();
    vec![
        plain(Kind::Email, format!("{user}@{host}")),
        plain(
            Kind::Address,
            format!("{road} {}, {}동 {}호", r.within(1, 300), r.within(101, 120), r.within(101, 2505)),
        ),
        Identifier {
            kind: Kind::Address,
            before: "주소: ",
            value: format!("가람시 {road} {}", r.within(1, 300)),
            after: "",
        },
        Identifier { kind: Kind::Name, before: "신청인: ", value: format!("{family}{given}"), after: "" },
        Identifier { kind: Kind::Name, before: "", value: format!("{family}{given}"), after: " 씨가 왔다" },
        Identifier {
            kind: Kind::Ip,
            before: "접속 IP ",
            value: format!("10.{}.{}.{}", r.within(0, 255), r.within(0, 255), r.within(1, 254)),
            after: "",
        },
        Identifier {
            kind: Kind::Credential,
            before: "비밀번호: ",
            value: format!("Ab{}!x{}", r.digits(4), r.digits(2)),
            after: "",
        },
        plain(Kind::Credential, format!("sk-{key}1a2b")),
        Identifier {
            kind: Kind::Credential,
            before: "postgres://",
            value: format!("user:{}x", r.digits(8)),
            after: "@db",
        },
    ]
}
