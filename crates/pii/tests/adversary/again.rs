//! The second round: sentences and changes written after the first was answered, in other styles. `{}` is the value.

use super::mutations::Change;

pub const RESIDENT: &[&str] = &[
    "안녕하세요 민원 신청한 사람인데요 제 주민번호 {} 이고 처리 언제 되나요?",
    "ㄴ 위 댓글 작성자 {} 본인 맞음",
    "[민원접수] 이름 정하늘 / 주민 {} / 내용: 소음",
    "사망자({})의 상속재산 조회 요청",
    "가족관계증명서 발급 대상: {} 외 2인",
    "급여명세 {} 2026년 11월분",
    "4대보험 취득신고 근로자 {}",
    "원천징수영수증 소득자 등록번호 {}",
    "기부금영수증 기부자 {}",
    "학생 인적사항 — {} — 3학년",
    "예방접종 대상 아동 {}",
    "보호자 {} / 아동 별첨",
    "=\"{}\"",
    "'{}",
    "resident_id: {}",
    "user.rrn = \"{}\";",
    "<person id=\"{}\" sex=\"M\"/>",
    "- {}\n- 미상\n- 미상",
    "SELECT * FROM t WHERE jumin='{}'",
    "2026-11-22 10:00:01 INFO lookup rrn={} result=OK",
    "BEGIN:VCARD\nNOTE:{}\nEND:VCARD",
    "Content-Disposition: form-data; name=\"ssn\"\n\n{}\n--boundary",
    "수신자 부담\t{}\t택배",
    "\u{FEFF}{}",
    "대상자는 {}, 접수번호는 2026-1234567입니다.",
    "「{}」의 전입을 신고함",
    "구비서류: 신분증({}), 도장",
    "▶ {} ◀",
    "※ 참고: {}",
    "①{}②미상",
    "증인 {}은(는) 출석하였다",
    "{}/남/파주",
    "{}(양력)",
    "성별·나이 확인: {}",
    "등록번호는 \"{}\" 입니다.",
    "자: {} (장남)",
    "처: {}\n자: 미상",
    "본인{}확인",
    "주민등록번호 뒤까지 다 적으면 {}",
    "RRN:{};NAME:LEE",
];

pub const FOREIGNER: &[&str] = &[
    "외국인 근로자 고용변동 신고: {}",
    "체류자격 H-2 {} 체류지 파주",
    "등록외국인기록표 {}",
    "결혼이민 {} 국적취득",
    "foreigner_no={};",
    "외국인등록증 사본({})",
    "영주자격자 {}에게 투표권",
    "국적: 네팔 / 번호: {} / 업종: 제조",
    "외국인 배우자 번호 {}입니다",
    "ARN: {}",
];

pub const LICENSE: &[&str] = &[
    "운전면허 취소처분 대상자 {}",
    "마을버스 기사 면허 {} 확인함",
    "면허번호 확인 부탁드립니다 {}",
    "공용차량 사용신청: 운전자 면허번호 {}",
    "driver_license={};",
    "라이선스 {} (운전)",
    "음주운전 단속 {} 면허정지 100일",
    "면허증 분실: {}",
    "국제면허 신청, 국내면허 {}",
    "\"licenseNumber\": \"{}\"",
];

pub const PASSPORT: &[&str] = &[
    "여권 재발급 접수: {}",
    "해외연수 명단 (여권번호 {})",
    "구여권 {} 반납",
    "passportNo: \"{}\"",
    "여권상 번호 {}",
    "국외여행허가 - 여권 {} - 일본",
    "Travel document / Passport no {}",
    "여권번호\t{}",
    "가족 여권 {} 도 함께 신청",
    "긴급여권({}) 발급 사유",
];

pub const PHONE: &[&str] = &[
    "민원인이 {}로 회신 요청",
    "콜백 {}",
    "연락 주세요 {}",
    "세대원 휴대폰({})",
    "(H) {}",
    "휴대폰번호:{}끝",
    "상담원 연결 후 {} 남김",
    "phoneNumber: \"{}\"",
    "전화 {} (야간 불가)",
    "본인 명의 휴대폰 {}으로 인증",
    "집 전화는 {}",
    "Tel. {} / Fax. 없음",
    "연락처 : {}, 이메일 : 없음",
    "수신거부 번호 {}",
    "TEL;CELL:{}",
];

pub const ACCOUNT: &[&str] = &[
    "농협 {} 홍길동",
    "보상금 입금 계좌: 국민 {}",
    "환불은 카카오뱅크 {}로 부탁드려요",
    "bankAccount: \"{}\"",
    "계좌(우리은행): {}",
    "장려금 지급계좌 신한은행 {}",
    "통장사본 첨부, 계좌번호는 {}",
    "입금은행: 하나은행, 계좌번호: {}",
    "자동이체 출금계좌 {}",
    "토스 {}",
    "기업 {}으로 송금",
    "예금계좌 {}",
];

pub const CARD: &[&str] = &[
    "결제카드 {} (3개월)",
    "cardNumber: \"{}\"",
    "카드사 신한, 번호 {}",
    "구매카드 {} 분실신고",
    "승인 카드 {}",
    "아동급식카드 {}",
    "바우처카드 번호는 {}입니다",
    "신용카드번호[{}]",
];

pub const HEALTH: &[&str] = &[
    "건강보험증 번호는 {}",
    "healthInsurance 건강보험 {}",
    "보험증 번호: {}",
    "건강보험 피부양자 증번호 {}",
    "국민건강보험 증번호={}",
    "건보증: {}",
];

pub const PLATE: &[&str] = &[
    "어제 {} 차가 제 집 앞을 막았습니다",
    "신고 차량번호는 {}",
    "{} 견인 요청",
    "공영주차장 정기권 {}",
    "과속 {} 적발",
    "차량({}) 말소",
    "운행제한 위반 {}",
    "전기차 {} 보조금",
    "{}, 은색 아반떼",
    "자동차세 체납 {}",
    "주차등록: {}",
    "통학차량 {}",
];

pub const ADDRESS: &[&str] = &[
    "저는 파주시 금촌동 주공아파트 103동 502호에 삽니다",
    "주소지는 서울 마포구 월드컵로 212, 3층 301호입니다",
    "주소: 부산 사하구 낙동대로 398번길 12",
    "전입지 경기 파주시 운정1길 23 405동 1702호",
    "주소 - 대구광역시 달서구 학산로 45",
    "우리집은 한빛마을 5단지 512동 1004호",
    "배송지 주소: 인천광역시 연수구 송도과학로 85, 201동 3302호",
    "거주지: 충남 아산시 시민로 456 (온천동), 가동 201호",
    "주소 : 전남 목포시 양을로 203 B동 102호",
    "자택주소 경북 포항시 남구 시청로 1",
    "address: 경기도 수원시 영통구 광교로 107, 1203동 2201호",
    "소재지가 아니라 거주지입니다: 강원 춘천시 시청길 11",
    "민원 위치: 은행나무길 7 자이아파트 203동 1501호 앞",
    "운정동 가람마을 11단지 1103동 203호",
    "이사 간 곳은 세종시 도움6로 11, 1402호",
    "현 거주지 광주광역시 서구 내방로 111 (치평동) 102동 703호",
    "주소지 : 제주시 문연로 6, 2동 304호",
    "본적 경남 진주시 동진로 155",
    "거소: 울산광역시 남구 중앙로 201, 5동 1101호",
    "송달장소 서울 서초구 반포대로 58, 101동 1502호",
];

pub const SECRETS: &[&str] = &[
    "관리자 계정 비번은 {s} 입니다",
    "임시비밀번호 {s} 발급",
    "초기 비밀번호: {s} (로그인 후 변경)",
    "서버 접속 id root pw {s}",
    "PW={s}",
    "userPassword: {s}",
    "dbPassword=\"{s}\"",
    "root/{s} (password)",
    "비밀번호\t{s}",
    "| 비밀번호 | {s} |",
    "패스워드는 {s}로 설정함",
    "암호:{s}",
    "공유폴더 암호는 {s}",
    "API키 {n}",
    "오픈API 인증키={n}",
    "secret: {n}",
    "accessToken: \"{n}\"",
    "token={n}",
    "Bearer {n}",
    "OPENAI_API_KEY=sk-{n}",
    "ANTHROPIC_API_KEY=sk-ant-api03-{n}",
    "AWS_ACCESS_KEY_ID=AKIA{AKIA}",
    "GITHUB_TOKEN=ghp_{n}",
    "hf_{n}",
    "npm_{n}",
    "redis://:{s}@10.20.30.40:6379/0",
    "mysql -u root -p{s}x",
    "curl -u admin:{s} https://example.go.kr",
    "sshpass -p '{s}' ssh admin@10.0.0.5",
    "Authorization: token {n}",
    "-----BEGIN RSA PRIVATE KEY-----\n{n}\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN OPENSSH PRIVATE KEY-----\n{n}\n-----END OPENSSH PRIVATE KEY-----",
    "xoxp-1234567890-{n}",
    "SharedAccessKey={n}=",
    "AccountKey={n}==",
    "카카오 REST API 키: {n}",
    "네이버 클라이언트 시크릿 {n}",
    "encryption_key = \"{n}\"",
    "wifi pw: {s}",
    "PIN번호 {s}",
];

pub const NAMES: &[&str] = &[
    "신청자: {}",
    "{} 민원인이 오전에 방문",
    "고객명 : {}",
    "받는 분: {}",
    "보내는 사람 {}",
    "문의하신 {} 님의 건은 처리되었습니다",
    "담당자 {} (031-940-0000)",
    "{} 실장",
    "{} 연구원",
    "기안자 {}",
    "주무관 {}",
    "팀장 {}  과장 {}",
    "성명(한글): {}",
    "성명 {} / 연락처 없음",
    "\"applicant\": \"{}\"",
    "신고인 성명 : {}",
    "참석자: {}",
    "제보자 {} 씨에 따르면",
    "故 {}",
    "고(故) {} 님의 명복을 빕니다",
    "{} 드림",
    "{} 올림",
    "{} 배상",
    "{}(인)",
    "{} (서명)",
    "위 본인 {}",
    "이용자 {}님은",
    "{}이라고 합니다",
    "저는 {}라고 합니다",
    "세입자 {}",
    "집주인 {}",
    "환자 {} (35세)",
    "환자명: {}",
    "학생 {}의 결석",
    "{} 학생 보호자",
    "{} 군",
    "{} 양의 어머니",
    "아들 {}",
    "남편 {} 명의",
    "채권자: {}",
];

pub const DIGITS: &[(&str, Change)] = &[
    ("raised", |v, _| {
        v.chars()
            .map(|c| c.to_digit(10).map_or(c, |d| ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][d as usize]))
            .collect()
    }),
    ("Bengali", |v, _| shift(v, 0x9E6)),
    ("Khmer", |v, _| shift(v, 0x17E0)),
    ("sans bold", |v, _| shift(v, 0x1D7EC)),
    ("in brackets", |v, _| {
        v.chars().map(|c| if c.is_ascii_digit() && c != '0' { format!("({c})") } else { c.into() }).collect()
    }),
    ("formal Han", |v, _| {
        v.chars()
            .map(|c| {
                c.to_digit(10).map_or(c, |d| ['零', '壹', '貳', '參', '四', '五', '六', '七', '八', '九'][d as usize])
            })
            .collect()
    }),
    ("vowel and circle", |v, _| v.replace('0', "ㅇ").replace('1', "ㅣ")),
    ("slashes between", |v, _| each(v, "/")),
    ("underscores between", |v, _| each(v, "_")),
    ("middle dots between", |v, _| each(v, "·")),
    ("lines between", |v, _| each(v, "\n")),
    ("tabs between", |v, _| each(v, "\t")),
    ("blank after three", |v, _| groups(v, 3, " ")),
    ("dot after four", |v, _| groups(v, 4, ".")),
    ("dash after two", |v, _| groups(v, 2, "-")),
    ("comment inside", |v, _| middle(v, "<!-- -->")),
    ("span inside", |v, _| middle(v, "</span><span class=\"x\">")),
    ("joiners and marks", |v, _| each_mark(v, "\u{200C}\u{200E}")),
    ("variation selectors", |v, _| each_mark(v, "\u{FE0E}")),
    ("line separator", |v, _| middle(v, "\u{2028}")),
    ("Mongolian separator", |v, _| middle(v, "\u{180E}")),
    ("escaped dash", |v, _| v.replace('-', "\\-")),
    ("source join", |v, _| v.replace('-', "\" + \"-\" + \"")),
    ("hexadecimal escapes", |v, _| v.bytes().map(|b| format!("\\x{b:02x}")).collect()),
    ("old escapes", |v, _| v.bytes().map(|b| format!("%u00{b:02x}")).collect()),
    ("entity without end", |v, _| v.bytes().map(|b| format!("&#{b:03}")).collect()),
    ("quoted entity", |v, _| v.bytes().map(|b| format!("&amp;#{b};")).collect()),
    ("strong", |v, _| format!("**{v}**")),
    ("struck", |v, _| format!("~~{v}~~")),
    ("link", |v, _| format!("[{v}](https://example.kr)")),
    ("wide brackets", |v, _| format!("（{v}）")),
    ("corner brackets", |v, _| format!("【{v}】")),
    ("particle", |v, _| format!("{v}이라는")),
    ("glued before", |v, _| format!("번호{v}번")),
    ("spoken 공 and digits", |v, _| v.replace('0', "공")),
    ("spoken 영 and digits", |v, _| v.replace('0', "영")),
    ("letters O I", |v, _| v.replace('0', "O").replace('1', "I")),
    ("wide letters", |v, _| v.replace('0', "Ｏ").replace('1', "Ｉ")),
    ("Greek letters", |v, _| v.replace('0', "Ο").replace('1', "Ι")),
    ("letters of OCR", |v, _| v.replacen('0', "O", 1).replacen('5', "S", 1).replacen('1', "l", 1)),
    ("arrow", |v, _| v.replace('-', " → ")),
    ("ellipsis", |v, _| v.replace('-', "…")),
    ("semicolon", |v, _| v.replace('-', ";")),
    ("bars", |v, _| v.replace('-', "||")),
    ("blank lines", |v, _| v.replace('-', "\n\n")),
    ("words between", |v, _| v.replace('-', " 다시 ")),
    ("quote mark of mail", |v, _| v.replace('-', "-\n> ")),
];

fn shift(v: &str, zero: u32) -> String {
    v.chars().map(|c| c.to_digit(10).and_then(|d| char::from_u32(zero + d)).unwrap_or(c)).collect()
}

fn plain(v: &str) -> Vec<String> {
    v.chars().filter(|c| *c != '-').map(String::from).collect()
}

fn each(v: &str, sign: &str) -> String {
    plain(v).join(sign)
}

fn each_mark(v: &str, sign: &str) -> String {
    v.chars().map(|c| format!("{c}{sign}")).collect()
}

fn groups(v: &str, n: usize, sign: &str) -> String {
    plain(v).chunks(n).map(|c| c.concat()).collect::<Vec<_>>().join(sign)
}

fn middle(v: &str, sign: &str) -> String {
    let at = v.char_indices().nth(v.chars().count() / 2).map_or(0, |(i, _)| i);
    format!("{}{sign}{}", &v[..at], &v[at..])
}
