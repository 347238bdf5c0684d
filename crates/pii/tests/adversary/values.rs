//! Values of every kind, made by code: check digits are computed, half of them wrong on purpose, and nobody is meant.
//! Sentences around them are in `unique`, `structured` and `names`.

/// SplitMix64, so that each run makes the same strings.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// `from` to `to`, both included.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to - from + 1)
    }

    pub fn of<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[(self.next() % list.len() as u64) as usize]
    }

    /// So many random digits.
    pub fn digits(&mut self, n: usize) -> String {
        (0..n).map(|_| char::from(b'0' + self.between(0, 9) as u8)).collect()
    }

    /// So many letters and digits.
    pub fn letters(&mut self, n: usize) -> String {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        (0..n).map(|_| char::from(ALPHABET[self.between(0, 61) as usize])).collect()
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.between(1, 100) <= percent
    }
}

fn weighted(digits: &str, weights: &[u32]) -> u32 {
    digits.bytes().zip(weights).map(|(d, w)| u32::from(d - b'0') * w).sum()
}

const REGISTRATION: [u32; 12] = [2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5];

fn registration(dice: &mut Dice, sexes: &[&str], base: u32) -> String {
    let sex = dice.of(sexes);
    let newborn = matches!(sex, "3" | "4" | "7" | "8");
    let year = if newborn { dice.between(0, 25) } else { dice.between(30, 99) };
    let front = format!("{year:02}{:02}{:02}", dice.between(1, 12), dice.between(1, 28));
    let body = format!("{front}{sex}{}", dice.digits(5));
    let right = (base - weighted(&body, &REGISTRATION) % 11) % 10;
    let last = if dice.chance(50) { right } else { dice.between(0, 9) as u32 };
    format!("{front}-{}{last}", &body[6..])
}

/// 주민등록번호, with a dash.
pub fn resident(dice: &mut Dice) -> String {
    registration(dice, &["1", "2", "3", "4"], 11)
}

/// 외국인등록번호, with a dash.
pub fn foreigner(dice: &mut Dice) -> String {
    registration(dice, &["5", "6", "7", "8"], 13)
}

/// 운전면허번호, with dashes.
pub fn license(dice: &mut Dice) -> String {
    let region = if dice.chance(10) { 28 } else { dice.between(11, 26) };
    format!("{region}-{}-{}-{}", dice.digits(2), dice.digits(6), dice.digits(2))
}

/// The old form of a licence, which begins with a region.
pub fn old_license(dice: &mut Dice) -> String {
    let region = dice.of(&[
        "서울",
        "부산",
        "경기",
        "강원",
        "충북",
        "충남",
        "전북",
        "전남",
        "경북",
        "경남",
        "제주",
        "대구",
        "인천",
        "광주",
        "대전",
        "울산",
        "경기남부",
        "경기북부",
    ]);
    format!("{region} {}-{}-{}", dice.digits(2), dice.digits(6), dice.digits(2))
}

/// 여권번호, old or new.
pub fn passport(dice: &mut Dice) -> String {
    let letter = dice.of(&["M", "S", "R", "D", "O"]);
    if dice.chance(50) {
        return format!("{letter}{}", dice.digits(8));
    }
    let inner = char::from(b'A' + dice.between(0, 25) as u8);
    format!("{letter}{}{inner}{}", dice.digits(3), dice.digits(4))
}

/// 카드번호 with a right check digit, in groups.
pub fn card(dice: &mut Dice) -> String {
    let head = dice.of(&["4", "51", "55", "9410", "9420", "3560", "6212", "4579", "5327", "6360"]);
    let body = format!("{head}{}", dice.digits(15 - head.len()));
    let sum: u32 = (0..15).map(|i| luhn_value(u32::from(body.as_bytes()[14 - i] - b'0'), i % 2 == 0)).sum();
    let whole = format!("{body}{}", (10 - sum % 10) % 10);
    let groups: Vec<&str> = (0..4).map(|i| &whole[i * 4..i * 4 + 4]).collect();
    groups.join("-")
}

fn luhn_value(d: u32, doubled: bool) -> u32 {
    match (doubled, d) {
        (false, d) => d,
        (true, d) if d > 4 => d * 2 - 9,
        (true, d) => d * 2,
    }
}

/// 계좌번호 in the groups that banks write, with the bank.
pub fn account(dice: &mut Dice) -> (&'static str, String) {
    const BANKS: [(&str, &[usize]); 18] = [
        ("국민은행", &[6, 2, 6]),
        ("신한은행", &[3, 3, 6]),
        ("우리은행", &[4, 3, 6]),
        ("하나은행", &[3, 6, 5]),
        ("농협은행", &[3, 4, 4, 2]),
        ("기업은행", &[3, 6, 2, 3]),
        ("카카오뱅크", &[4, 2, 7]),
        ("토스뱅크", &[4, 4, 4]),
        ("새마을금고", &[4, 4, 4, 1]),
        ("우체국", &[6, 2, 6]),
        ("신협", &[3, 3, 6]),
        ("수협", &[3, 2, 6]),
        ("부산은행", &[3, 4, 4, 2]),
        ("대구은행", &[3, 2, 6, 1]),
        ("SC제일은행", &[3, 2, 6]),
        ("케이뱅크", &[3, 3, 6]),
        ("광주은행", &[3, 3, 6]),
        ("iM뱅크", &[3, 2, 6, 1]),
    ];
    let (bank, groups) = BANKS[dice.between(0, 17) as usize];
    let groups: Vec<String> = groups.iter().map(|n| dice.digits(*n)).collect();
    (bank, groups.join("-"))
}

/// 건강보험증번호: eleven digits.
pub fn health(dice: &mut Dice) -> String {
    format!("{}{}", dice.of(&["1", "2", "5", "7", "8"]), dice.digits(10))
}

/// A mobile phone.
pub fn mobile(dice: &mut Dice) -> String {
    match dice.of(&["010", "010", "010", "011", "016", "017", "018", "019"]) {
        "010" => format!("010-{}{}-{}", dice.between(2, 9), dice.digits(3), dice.digits(4)),
        old => format!("{old}-{}{}-{}", dice.between(2, 9), dice.digits(2), dice.digits(4)),
    }
}

/// A telephone of any area, or of the internet, or a personal relay number.
pub fn landline(dice: &mut Dice) -> String {
    let area = dice.of(&[
        "02", "031", "032", "033", "041", "042", "043", "044", "051", "052", "053", "054", "055", "061", "062", "063",
        "064", "070", "0502", "0505", "0507", "0508",
    ]);
    let middle = if dice.chance(50) { 2 } else { 3 };
    format!("{area}-{}{}-{}", dice.between(2, 9), dice.digits(middle), dice.digits(4))
}

pub fn plate(dice: &mut Dice) -> String {
    let use_ = dice.of(&[
        "가", "나", "다", "라", "마", "거", "너", "더", "러", "머", "버", "서", "어", "저", "고", "노", "도", "로",
        "모", "보", "소", "오", "조", "구", "누", "두", "루", "무", "부", "수", "우", "주", "하", "허", "호", "배",
        "바", "사", "아", "자",
    ]);
    let head = if dice.chance(50) { dice.between(100, 699) } else { dice.between(11, 99) };
    format!("{head}{use_} {}", dice.digits(4)).replace(' ', if dice.chance(50) { " " } else { "" })
}

pub fn email(dice: &mut Dice) -> String {
    let user =
        dice.of(&["gildong.hong", "kim_minsu", "park-jh77", "lee.sy", "cho+work", "j2h88", "hanbyeol", "s.yoon"]);
    let host =
        dice.of(&["naver.com", "daum.net", "gmail.com", "korea.kr", "mail.example.co.kr", "hanmail.net", "paju.go.kr"]);
    format!("{user}{}@{host}", dice.between(1, 99))
}

pub fn ip(dice: &mut Dice) -> String {
    match dice.between(0, 4) {
        0 => format!("10.{}.{}.{}", dice.between(20, 250), dice.between(0, 255), dice.between(1, 254)),
        1 => format!("192.168.{}.{}", dice.between(0, 255), dice.between(1, 254)),
        2 => format!("172.{}.{}.{}", dice.between(16, 31), dice.between(0, 255), dice.between(1, 254)),
        _ => format!(
            "{}.{}.{}.{}",
            dice.between(41, 220),
            dice.between(10, 255),
            dice.between(10, 255),
            dice.between(1, 254)
        ),
    }
}

const SURNAMES: [&str; 40] = [
    "김", "이", "박", "최", "정", "강", "조", "윤", "장", "임", "한", "오", "서", "신", "권", "황", "안", "송", "류",
    "전", "홍", "고", "문", "양", "손", "배", "백", "허", "유", "남", "심", "노", "하", "곽", "성", "차", "주", "우",
    "구", "민",
];

const GIVEN: [&str; 84] = [
    "민준", "서윤", "도현", "하은", "지우", "예린", "건우", "수아", "현우", "지민", "유진", "채원", "시우", "다은",
    "준혁", "은지", "성민", "미경", "영호", "정숙", "순자", "영희", "철수", "병철", "말순", "춘자", "옥순", "상철",
    "광수", "명자", "태영", "동현", "경희", "기태", "혜진", "보람", "아름", "슬기", "하늘", "한별", "소라", "가람",
    "나래", "은솔", "다솜", "재석", "호준", "규리", "윤서", "찬호", "세영", "진아", "효정", "희수", "덕배", "만수",
    "갑수", "복순", "종필", "길동", "인숙", "연우", "로아", "이안", "라온", "태희", "국진", "금자", "향숙", "필립",
    "승기", "원빈", "해인", "설아", "주원", "창식", "두식", "범수", "용식", "학수", "근영", "율", "준", "솔",
];

/// Names as they are common and less common: two syllables to four.
pub fn name(dice: &mut Dice) -> String {
    if dice.chance(8) {
        let double = dice.of(&["남궁", "황보", "제갈", "선우", "독고", "사공"]);
        return format!("{double}{}", GIVEN[dice.between(0, 80) as usize]);
    }
    format!("{}{}", dice.of(&SURNAMES), GIVEN[dice.between(0, 83) as usize])
}

/// As [`name`], of three syllables or four.
pub fn long_name(dice: &mut Dice) -> String {
    loop {
        let name = name(dice);
        if name.chars().count() > 2 {
            return name;
        }
    }
}
