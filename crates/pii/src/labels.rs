//! The words that say what stands near them. Where they stand in a text is in `text`; what they decide is in the
//! detectors.

use madang_domain::Grade;

/// What a word says about the number near it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Label {
    Resident,
    Account,
    /// Short name of a bank, which is another word as often as not: only right before a number.
    Bank,
    Card,
    Health,
    License,
    Passport,
    Business,
    Corporate,
    Phone,
    Agency,
    Ip,
    Vehicle,
    /// Before the number of a case, which is written like a plate.
    Court,
    /// A number of a thing or a paper, or an amount: never personal.
    Reference,
}

/// A word that begins or ends something worth a closer look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cue {
    Label(Label),
    /// "뒷자리": the second half of a resident's number follows.
    BackPart,
    /// A person's address follows.
    AddressLabel,
    /// A person's name follows.
    NameLabel,
    /// A cell of a column of names begins here.
    NameCell,
    /// A person's name stands before it, and it is said to or of persons alone: 씨, 님, 귀하.
    Honorific,
    /// A person's name stands before or after it: 주무관, 과장.
    Title,
    /// The sign, or what stands for the sign, in an e-mail address.
    At,
    /// Head of a key that some service gives out.
    KeyHead,
    /// A password or key follows.
    SecretLabel,
    /// Head of a PEM block.
    PemHead,
    /// Between scheme and authority of a URL.
    Authority,
    /// A grade marking, where it stands as one.
    Marking(Grade),
    /// Holds another cue's word by chance.
    Nothing,
}

/// Every cue with its words, a bar between them. Words of Latin letters match in either case and as whole words only.
pub(crate) const CUES: &[(Cue, &str)] = &[
    (
        Cue::Label(Label::Resident),
        "주민등록|주민 등록|주민번호|주민 번호|주민등록번호|주민등록 번호|주민No|주민 No|민증|외국인등록|외국인 등록|외국인번호|등록외국인|국내거소|거소신고|생년월일|RRN|ARC|\
         실명번호|jumin|juminno|jumin_no|juminnum|ssn|residentno|resident_no|resident number|resident no|외등번호|주민등록증|신분증번호|resident registration|앞자리|개인식별번호",
    ),
    (
        Cue::Label(Label::Account),
        "계좌|계 좌|은행|농협|수협|신협|새마을금고|우체국|뱅크|입금|송금|예금주|이체|통장|KB|IBK|NH|SC제일|씨티|증권|환급|account|bank|납입처|급여이체",
    ),
    (Cue::Label(Label::Bank), "신한|국민|하나|기업|우리|제일|산업|경남|전북|대구|부산|토스|카카오"),
    (Cue::Label(Label::Card), "카드|신용카드|체크카드|법인카드|카드번호|card"),
    (
        Cue::Label(Label::Health),
        "건강보험|건강 보험|보험증|건보|의료보험|의료급여증|건강보험증|건강보험증번호|보험증번호",
    ),
    (Cue::Label(Label::License), "면허|운전|license|licence|운전면허|면허증|면허번호"),
    (Cue::Label(Label::Passport), "여권|passport|여 권|여권번호|PP No"),
    (Cue::Label(Label::Business), "사업자|사업자번호|사업자등록|사업자등록번호|고유번호|BRN|사업자 등록"),
    (Cue::Label(Label::Corporate), "법인|법인등록|법인번호|법인등록번호|법인 등록|등기번호|회사번호"),
    (
        Cue::Label(Label::Phone),
        "전화|연락처|휴대폰|핸드폰|휴대 전화|휴대전화|전화번호|팩스|tel|phone|fax|mobile|HP|H.P|☎|☏|비상연락|연락 처|연락가능|휴대번호|자택전화|자택|집전화|직통|발신번호|수신번호|발신|착신|통화|문자|call|cell|contact|M)|T)|H)|(휴)|(자)|callback|로 연락|으로 연락|전화 주|전화주|전화하|전화 걸|콜백|연락 주|연락주|연락 바|연락바|수신거부",
    ),
    (
        Cue::Label(Label::Agency),
        "대표전화|대표번호|민원실|민원팀|콜센터|상담실|고객센터|문의|담당부서|시청|구청|군청|도청|주민센터|복지센터|보건소|담당과|부서|사무소|교육청|경찰서|소방서|안내전화|문의처|상담전화|\
         신고전화|관리사무소|행정복지센터|지원센터|상담센터|안내데스크|고객지원|접수처|공단|공사|재단|도서관|박물관|복지관|체육관|문화원|대표 전화|대표 번호|문의전화|홈페이지|상황실|종합상황실",
    ),
    (Cue::Label(Label::Ip), "IP|아이피|서버|host|호스트|IP주소|IP 주소|접속지|게이트웨이|DNS|방화벽|client"),
    (
        Cue::Label(Label::Vehicle),
        "차량|번호판|차번호|자동차|주차|차량번호|등록차량|견인|승용차|화물차|운행|렌터카|관용차|불법주정차|주정차|과태료|단속|차주|plate|vehicle|흰색|검정색|소나타|그랜저|아반떼|카니발|쏘렌토|\
         스타렉스|포터|승합차|트럭|이륜차|오토바이|택시|통학버스|주차장|과속|신호위반|적발|말소|자동차세|정기권|전기차|통학차량|제 차|내 차|우리 차|차가 |차를 ",
    ),
    (Cue::Label(Label::Court), "대법원|법원|선고|판결|고법|지법|헌법재판소|헌재"),
    (
        Cue::Label(Label::Reference),
        "접수번호|접수|문서번호|물품|관리번호|고지번호|납부번호|영수증|일련번호|제품|모델|상품|송장|주문번호|승인번호|공고|예산|입찰|사건번호|허가번호|전자납부번호|바코드|식별번호|물품분류|\
         세부품명|품목|운송장|고객번호|등기우편|공고번호|인허가번호|시리얼|serial|ISBN|ISSN|좌표|위도|경도|수용가번호|계약번호|증권번호|회원번호|필지|PNU|자산번호|비품|시설물번호|대장번호|신청번호|민원번호|발급번호|확인번호|문서확인번호|부품번호|품번|기기번호|장비번호|도면번호|지출결의|결의번호|처리번호|버전|version|펌웨어|빌드|릴리스|프로그램",
    ),
    (
        Cue::BackPart,
        "뒷자리|뒤자리|뒷 자리|뒤 자리|뒷번호|뒤 번호|뒷 번호|뒤번호|뒤 7자리|뒤7자리|뒷 7자리|뒷7자리|뒤 일곱자리|뒤 일곱 자리|뒷부분|뒤쪽",
    ),
    (Cue::AddressLabel, "주소|주 소|거주지|자택|주민등록지|등록기준지|본적|현주소|배송지|수령지|사는 곳|거소|주소지"),
    (
        Cue::NameLabel,
        "신청인|신청자|성명|성 명|이름|성함|민원인|대표자|보호자|신고인|신고자|피해자|수급자|세대주|예금주|담당자|작성자|대리인|당사자|채무자|채권자|청구인|피청구인|고소인|피고소인|원고|\
         피고|환자명|고객명|수취인|받는사람|받는 사람|보내는사람|보내는 사람|임차인|임대인|배우자|동거인|소유자|수신인|발신인|제보자|진정인|참고인|상속인|피상속인|위임인|수임인|매도인|\
         매수인|대상자|세대원|가입자|피보험자|연락담당|소유주|입금자|입금자명|학생명|아동명|근로자명|성명(한글)|민원인명|신청인명|당첨자|합격자|수상자|응시자|청구자|건축주|토지주|차주|\
         피의자|피고인|고소인명|name|상담자|내담자|의뢰인|신청인 성명|자녀|자녀명|부친|모친|부모|고객|수신|발신|참석자|면담자|방문자|체류자|외국인|받는 분|받는분|보내는 분|보내는분|기안자|검토자|결재자|applicant|세입자|집주인|남편|아내|아들|장남|장녀|故|고(故)|위 본인|위 사람|입소자|후견인|피후견인|\
         이용자|이용자명|사용자명|회원명|환자|사망자|실종자|목격자|진술인|증인|감정인|통역인|근로자|사업주|점유자|관리인|연대보증인|보증인|채용자|임용자|교육생|참가자|참가자명|피부양자|부양의무자|\
         고인|망인|상주|체납자|납세자|납세의무자|위반자|운전자|행위자|양도인|양수인|기부자|후원자|봉사자|추천인|발명자|대표자명|담당자명|작성자명|보호자명|성명(한자)|성명(영문)|영문성명|한자성명|\
         저는|저 는|본인은",
    ),
    (Cue::Honorific, "님|씨|귀하|선생님|어르신|여사|님께"),
    (
        Cue::Title,
        "(남,|(여,|(남)|(여)|(남/|(여/|(만 |할머니|할아버지|아주머니|학생|선수|작가|박사|순경|경장|경사|경위|경감|소방사|소방교|소방장|소방위|상담사|요양보호사|통역사|노무사|법무사|세무사|회계사|목사|신부|스님| 군|이라고 합니다|라고 합니다|이라고 해요|연구원|민원인|드림|올림|배상|(인)|(서명)|(서명 또는 인)|실무관|전문관|전문위원|조교|간사|총무|부위원장|조합장|이사|감사|회장|부회장|사장|\
         어머니|아버지|주무관|사무관|서기관|과장|팀장|국장|계장|주사|주사보|서기보|실장|소장|센터장|면장|동장|읍장|이장|통장님|반장|부시장|부군수|담당관|연구사|연구관|지도사|교사|교수|변호사|의원|\
         위원|위원장|대표|대표이사|이사장|원장|간호사|의사|기사|대리|차장|부장|주임|담당|책임자|관장|사회복지사|공무직|강사",
    ),
    (
        Cue::Nothing,
        "날씨|글씨|아저씨|아가씨|솜씨|말씨|마음씨|불씨|씨앗|씨름|손님|고객님|선생님들|부모님|어머님|아버님|스님|주님|하느님|하나님|님비|담당하|담당부서|담당 부서|대리점|대표적|대표하|\
         기사문|의사표시|의사소통|의사결정|의사 표시|씨씨|의원급|의원실|위원회|의사록|교사용|홈페이지 주소|누리집 주소|인터넷 주소|주소창|이메일 주소|메일주소|메일 주소|IP주소|MAC주소|\
         대학생|중학생|초등학생|고등학생|여학생|남학생|유학생|대학원생|재학생|이름표|통장사본|통장 사본",
    ),
    (Cue::At, " at |@|(at)|[at]|{at}|<at>|( at )|[ at ]|(a)|_at_|*at*|-at-|골뱅이|(골뱅이)|[골뱅이]|앳|(@)|[@]"),
    (
        Cue::KeyHead,
        "sk-|sk_live_|sk_test_|rk_live_|pk_live_|whsec_|AKIA|ASIA|ghp_|gho_|ghu_|ghs_|ghr_|github_pat_|glpat-|\
         xoxb-|xoxa-|xoxp-|xoxr-|xoxs-|xapp-|AIza|ya29.|eyJ|SG.|npm_|pypi-|hf_|dop_v1_|shpat_|AccountKey=|\
         SharedAccessKey=|hooks.slack.com/services/|glsa_|hvs.|AGE-SECRET-KEY-|KakaoAK |sig=|dapi|PMAK-|LTAI",
    ),
    (
        Cue::SecretLabel,
        "비밀번호|비밀 번호|비번|패스워드|패스 워드|암호|인증키|인증 키|서비스키|서비스 키|비밀키|비밀 키|접근키|개인키|토큰|API키|API 키|시크릿|핀번호|접속정보|인증번호|\
         password|passwd|pwd|pw|api key|api_key|api-key|apikey|secret|secret key|secret_key|\
         secretkey|client_secret|client-secret|access_token|access token|accesstoken|refresh_token|auth_token|\
         access_key|access key|secret_access_key|aws_secret_access_key|aws_access_key_id|serviceKey|private_key|\
         bearer|basic|token|credential|credentials|db_password|db_pass|pin|otp|PIN번호|핀 번호|encryption_key|encrypt_key|signing_key|signing_secret|master_key|api_secret|app_secret|consumer_secret|passphrase|sshpass -p|curl -u|--user|--password",
    ),
    (Cue::PemHead, "-----BEGIN "),
    (Cue::Authority, "://"),
    (
        Cue::Marking(Grade::Classified),
        "대외비|대 외 비|대  외  비|비밀|비 밀|비  밀|극비|극 비|군사기밀|군사비밀|국가기밀|국가비밀|I급비밀|II급비밀|III급비밀|I급 비밀|II급 비밀|III급 비밀|1급비밀|\
         2급비밀|3급비밀|1급 비밀|2급 비밀|3급 비밀|기밀|기 밀|C등급|C 등급|기밀등급|top secret|secret//|confidential",
    ),
    (
        Cue::Marking(Grade::Sensitive),
        "비공개|비 공 개|비  공  개|부분공개|부분 공개|대외주의|대외 주의|열람제한|열람 제한|공개제한|공개 제한|배포금지|배포 금지|대외유출금지|대외 유출 금지|외부유출금지|\
         외부 유출 금지|무단배포금지|S등급|S 등급|민감등급|내부검토용|내부 검토용|내부용|관계자 외 열람금지|취급주의|취급 주의",
    ),
];
