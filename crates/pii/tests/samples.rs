//! Identifiers as officials and evaders write them, and what merely looks like one.

use madang_pii::{Action, Kind, scan};

fn expect(text: &str, action: Action) {
    let report = scan(text);
    assert_eq!(report.action, action, "{text:?}: {:?}", report.findings);
}

#[test]
fn block() {
    for (text, kind) in [
        ("900101-1970000", Kind::Rrn),
        ("9001011970000", Kind::Rrn),
        ("９００１０１－１９７００００", Kind::Rrn),
        ("900101 - 1970000", Kind::Rrn),
        ("9 0 0 1 0 1 1 9 7 0 0 0 0", Kind::Rrn),
        ("900101\u{200B}-1970000", Kind::Rrn),
        ("900101-\n1970000", Kind::Rrn),
        ("900101-\r\n1970000", Kind::Rrn),
        ("9OO1O1-197OOOO", Kind::Rrn),
        ("구공공일공일 다시 일구칠공공공공", Kind::Rrn),
        ("번호는900101-1970000입니다", Kind::Rrn),
        ("번호 이 900101-1970000이고", Kind::Rrn),
        ("구공공일공일 다시 일구칠공공공공이다", Kind::Rrn),
        ("생년월일 900101, 뒷자리 1970000", Kind::Rrn),
        ("900101–1970000", Kind::Rrn),
        ("9\u{332}0\u{332}0\u{332}101-1970000", Kind::Rrn),
        ("٩٠٠١٠١-١٩٧٠٠٠٠", Kind::Rrn),
        ("①②③ ⑨⓪⓪①⓪①-①⑨⑦⓪⓪⓪⓪", Kind::Rrn),
        ("%39%30%30%31%30%31-1970000", Kind::Rrn),
        ("%2539%2530%2530101-1970000", Kind::Rrn),
        ("&#57;00101&ndash;1970000", Kind::Rrn),
        (r"900101-\n1970000", Kind::Rrn),
        (r"\u0039\u00300101-1970000", Kind::Rrn),
        ("OTAwMTAxLTE5NzAwMDA=", Kind::Rrn),
        ("T1RBd01UQXhMVEU1TnpBd01EQT0=", Kind::Rrn),
        ("850505-5970013", Kind::ForeignerRegistration),
        ("11-00-123456-78", Kind::DriversLicense),
        ("면허 서울 00-123456-78", Kind::DriversLicense),
        ("면허번호 110012345678", Kind::DriversLicense),
        ("여권 M12345678", Kind::Passport),
        ("여권 M123A4567", Kind::Passport),
        ("여권번호 M 1234 5678", Kind::Passport),
        ("19900101-1970000", Kind::Rrn),
        ("앞자리는 900101이고 뒷자리는 1970000입니다", Kind::Rrn),
        ("주민번호 뒤 7자리 1970000", Kind::Rrn),
        ("주민번호:900101+1970000", Kind::Rrn),
        ("주민등록번호 900101 / 뒷번호 1970000", Kind::Rrn),
        ("900101-\n> 1970000", Kind::Rrn),
        ("| 900101 | 1970000 |", Kind::Rrn),
        ("❾⓿⓿❶⓿❶-❶❾❼⓿⓿⓿⓿", Kind::Rrn),
        ("아홉공공하나공하나-하나아홉일곱공공공공", Kind::Rrn),
        ("ㄱㅜㄱㅗㅇㄱㅗㅇㅇㅣㄹㄱㅗㅇㅇㅣㄹ-1970000", Kind::Rrn),
        ("=39=30=30=31=30=31-1970000", Kind::Rrn),
        ("3930303130312d31393730303030", Kind::Rrn),
        ("<rrn>900101</rrn><b>1970000</b> 주민등록번호 900101-1970000", Kind::Rrn),
        ("외국인등록번호 8505055970013", Kind::ForeignerRegistration),
        ("11 00 123456 78", Kind::DriversLicense),
        ("１１－００－１２３４５６－７８", Kind::DriversLicense),
        ("110012345678", Kind::DriversLicense),
        ("경기 97.123456.70", Kind::DriversLicense),
        ("서울00-123456-78", Kind::DriversLicense),
        ("운전면허증 번호 서울-00-123456-78호", Kind::DriversLicense),
        ("m12345678", Kind::Passport),
        ("Ｍ１２３４５６７８", Kind::Passport),
        ("M-123-A-4567", Kind::Passport),
        ("여권번호 JN1234567", Kind::Passport),
        ("900101 그리고 1234567 (주민번호)", Kind::Rrn),
        ("900101<br>1234567", Kind::Rrn),
        ("900101</b>-<b>1234567", Kind::Rrn),
        ("서울 0012345678", Kind::DriversLicense),
        ("\"900101\",\"1234567\"", Kind::Rrn),
        ("홍길동_900101-1234567.hwp", Kind::Rrn),
        ("여권:М12345678", Kind::Passport),
    ] {
        let report = scan(text);
        assert_eq!(report.action, Action::Block, "{text:?}: {:?}", report.findings);
        assert!(report.findings.iter().any(|f| f.kind == kind), "{text:?}: {:?}", report.findings);
    }
}

#[test]
fn mask() {
    for (text, kind) in [
        ("010-0000-1234", Kind::Phone),
        ("01000001234", Kind::Phone),
        ("+82 10 0000 1234", Kind::Phone),
        ("+82-(0)10-0000-1234", Kind::Phone),
        ("공일공-0000-1234", Kind::Phone),
        ("(031)940-1234", Kind::Phone),
        ("연락처 0319401234", Kind::Phone),
        ("070-1234-5678", Kind::Phone),
        ("0507-1234-5678", Kind::Phone),
        ("hong(at)example.kr", Kind::Email),
        ("hong@example.go.kr로", Kind::Email),
        ("농협 301-0000-0000-01", Kind::Account),
        ("110-123-456789 (신한은행)", Kind::Account),
        ("4111 1111 1111 1111", Kind::Card),
        ("4111-1111-1111-1111", Kind::Card),
        ("123가4567", Kind::VehiclePlate),
        ("서울 12가 3456", Kind::VehiclePlate),
        ("건강보험증 80000000001", Kind::HealthInsurance),
        ("행복로 12, 101동 1203호", Kind::Address),
        ("주소: 가람시 행복로 12", Kind::Address),
        ("홍길동 씨는 행복로 12에 산다", Kind::Address),
        ("신청인: 남궁민수", Kind::Name),
        ("서버 IP 10.20.30.40", Kind::Ip),
        ("비밀번호: Abcd1234!", Kind::Credential),
        ("api_key=abcdef0123456789", Kind::Credential),
        ("비번은 Abcd1234! 입니다", Kind::Credential),
        ("pw: qwer1234", Kind::Credential),
        ("AKIAIOSFODNN7EXAMPLE", Kind::Credential),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", Kind::Credential),
        ("Authorization: Bearer abcdefghijklmnop1234567890", Kind::Credential),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N", Kind::Credential),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", Kind::Credential),
        ("postgres://admin:s3cret@10.0.0.1/db", Kind::Credential),
        ("jdbc:mysql://db/app?user=root&password=Qwer1234", Kind::Credential),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----", Kind::Credential),
        ("serviceKey=Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MA%3D%3D", Kind::Credential),
        ("2001:db8:85a3::8a2e:370:7334", Kind::Ip),
        ("접속 IP 192[.]168[.]10[.]20", Kind::Ip),
        ("82-10-2345-6789", Kind::Phone),
        ("010 . 2345 . 6789", Kind::Phone),
        ("０１０－２３４５－６７８９", Kind::Phone),
        ("공일공 이삼사오 육칠팔구", Kind::Phone),
        ("kim골뱅이example점kr", Kind::Email),
        ("kim [at] example [dot] co [dot] kr", Kind::Email),
        ("02-123-4567", Kind::Phone),
        ("02)1234-5678", Kind::Phone),
        ("hong(골뱅이)example.com", Kind::Email),
        ("12 가 3456", Kind::VehiclePlate),
        ("123-가-4567", Kind::VehiclePlate),
        ("10.0.0.5", Kind::Ip),
        ("ID/PW : admin / 1q2w3e4r!", Kind::Credential),
        ("김민수(남, 45세)", Kind::Name),
        ("이름이 김민수인 사람", Kind::Name),
        ("예금주 홍길동 1002123456789", Kind::Account),
        ("행복아파트 101-1203", Kind::Address),
        ("가람시 가람동 123-4 푸른빌라 나동 302호", Kind::Address),
        ("현주소 : (10892) 가람시 행복로 12, 3층", Kind::Address),
        ("담당 주무관 박지훈(내선 1234)", Kind::Name),
        ("성명\n홍길동", Kind::Name),
        ("홍 길 동 귀하, 성명: 홍 길 동", Kind::Name),
    ] {
        let report = scan(text);
        assert_eq!(report.action, Action::Mask, "{text:?}: {:?}", report.findings);
        assert!(report.findings.iter().any(|f| f.kind == kind), "{text:?}: {:?}", report.findings);
    }
}

#[test]
fn leave() {
    for text in [
        "",
        "850315-2******",
        "예산 1,234,567,890천원",
        "접수번호 2026-1234567",
        "정보통신과-12345",
        "물품 1234567891",
        "시청 세종대로 110",
        "4111111111111112",
        "민원 02-120",
        "2026. 11. 22. 15:20",
        "2026-11-22 15:20:31",
        "제12조제3항제4호",
        "예산 12조 3456억 원",
        "회의실 101호, 102호",
        "제1.2.3.4절",
        "국번 없이 110",
        "비밀번호는 8자 이상으로 정한다",
        "법인등록번호 110111-0006240",
        "사업자등록번호 104-86-56659",
        "시청 민원실 031-940-1234",
        "문서 2002011906614",
        "2018.09.04 ~ 2018.12.04일까지",
        "나는 606호, 그가 604호에 산다",
        "대법원 1991. 1. 2. 선고 90다9999 판결",
        "900101-1○○○○○○",
        "900101-1OOOOOO",
        "010-○○○○-1234",
        "대표번호 1588-1234",
        "안내 1577-1234",
        "주민등록번호 뒷자리는 적지 않는다",
        "비밀번호: ********",
        "password: <your password>",
        "\"max_tokens\": 1024, \"token\": null",
        "버전 1.2.3.4",
        "제1.2.3.4절 10.5.2.1",
        "15:20:31 ~ 16:30:00",
        "2026-11-22T15:20:31+09:00",
        "2012. 1. 2. ~ 2012. 11. 3.",
        "1,234,567,890,123원",
        "0.123456789012345",
        "위도 37.759876, 경도 126.779876",
        "UUID 550e8400-e29b-41d4-a716-446655440000",
        "커밋 3f2504e04f8911d39a0c0305e82c3301",
        "복지과(☎ 031-940-1234)로 문의",
        "고용주가 근로자에게, 이용자는 시청에",
        "사업자등록번호 1234567890, 법인등록번호 1101110006240",
    ] {
        expect(text, Action::Pass);
    }
}

#[test]
fn places_are_characters_of_the_original() {
    for (text, start, end) in [
        ("번호는900101-1970000입니다", 3, 17),
        ("가\u{200B}나９００１０１－１９７００００!", 3, 17),
        ("구공공일공일 다시 일구칠공공공공", 0, 17),
        ("x OTAwMTAxLTE5NzAwMDA= y", 2, 22),
        ("가 &#57;00101-1970000", 2, 20),
    ] {
        let report = scan(text);
        let places: Vec<_> = report.findings.iter().map(|f| (f.start, f.end)).collect();
        assert_eq!(places, [(start, end)], "{text:?}");
    }
}

#[test]
fn a_failed_check_digit_lowers_confidence_only() {
    let confidence = |text| scan(text).findings.first().map(|f| f.confidence).unwrap_or_default();
    assert!(confidence("900101-1970000") > confidence("900101-1970001"));
    assert!(confidence("900101-1970001") > 0.0);
}

#[test]
fn reports_are_json_with_stable_names() {
    let json = serde_json::to_value(scan("여권 M12345678")).unwrap();
    assert_eq!(json["action"], "block");
    assert_eq!(json["findings"][0]["kind"], "passport");
    assert_eq!((&json["findings"][0]["start"], &json["findings"][0]["end"]), (&3.into(), &12.into()));
    for kind in Kind::ALL {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
    }
}
