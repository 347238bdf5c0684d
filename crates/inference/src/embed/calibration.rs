//! How near two texts that have nothing to do with each other are to a model: models differ in this more than in what
//! they know (multilingual E5 gives 0.7 to 1.0, BGE-M3 0.3 to 1.0), so that no one bound serves all. A fixed set of
//! pairs from an office's papers, question and passage of different things, shows it in a moment.

use super::{EmbedError, Embedder, TextKind};

/// Whatever a model says, less than this is not near, and more than that can be.
const BOUNDS: (f64, f64) = (0.2, 0.9);
/// Standard deviations above the mean of unrelated pairs: about one such pair in forty lies beyond.
const DEVIATIONS: f64 = 2.0;

/// A question, and a passage that does not answer it.
const UNRELATED: [(&str, &str); 24] = [
    ("출장비 정산은 며칠 안에 해야 하나요?", "구내식당은 매주 금요일에 채식 식단을 함께 차린다."),
    ("도로 점용 허가를 받으려면 무엇을 내야 하나", "임용 예정자는 신체검사서를 담당 부서에 내야 한다."),
    ("회의실 예약 방법", "하천 둑의 풀은 해마다 두 번, 장마가 오기 전과 추석 전에 벤다."),
    ("주민등록 등본 발급 수수료", "서버실의 온도는 섭씨 22도 안팎으로 지키고 하루 두 번 적는다."),
    ("육아휴직은 언제까지 신청하나요", "가로등이 꺼졌다는 신고는 사흘 안에 고치고 결과를 알린다."),
    ("공용 차량을 쓰려면 누구에게 말하나", "도서관은 훼손된 책을 한 해에 한 번 가려내어 버린다."),
    ("정보공개 청구의 처리 기한", "겨울철 눈을 치우는 차례는 언덕길과 버스길이 먼저다."),
    ("상수도 요금이 지난달보다 많이 나왔어요", "기록물 보존 기간이 지나면 심의회가 폐기를 의논한다."),
    ("계약직 채용 공고는 어디에 올리나요", "전통시장 주차장은 첫 한 시간 동안 요금을 받지 않는다."),
    ("음식물 쓰레기 수거 요일", "예산을 다른 항목으로 옮겨 쓸 때에는 기획 부서와 먼저 협의한다."),
    ("민방위 훈련에 빠지면 어떻게 되나", "홍보물에 싣는 사진은 찍힌 사람의 동의를 받은 것이어야 한다."),
    ("건축 허가 신청 서류", "어린이집 급식의 식재료는 들어온 날과 쓴 날을 함께 적어 둔다."),
    ("연차 휴가가 며칠 남았는지 보는 법", "산불 감시원은 봄과 가을에 뽑아 마을마다 두 사람씩 둔다."),
    ("체육관 대관료 감면 대상", "보안 점검에서 나온 약점은 위험이 큰 것부터 고친다."),
    ("장애인 주차구역 위반 과태료", "국제 교류 행사의 통역은 행사 두 주 전까지 신청한다."),
    ("지방세 카드 납부", "문화재 둘레에서 땅을 파려면 전문가의 현지 조사를 거친다."),
    ("비밀번호를 잊어버렸을 때", "농기계 임대는 농번기에 한 집에서 하루만 할 수 있다."),
    ("물품 구매 결재는 누가 하나요", "소음은 낮과 밤을 나누어 재고, 창문을 연 채로 잰다."),
    ("여권 재발급 절차", "청사 옥상의 태양광 판은 분기마다 먼지를 닦는다."),
    ("직장 내 괴롭힘 상담 창구", "공원의 나무를 옮겨 심는 때는 잎이 지고 난 뒤가 알맞다."),
    ("보도자료는 언제까지 보내야 하나", "정화조는 한 해에 한 번 비우고 영수증을 보관한다."),
    ("반려동물 등록 방법", "감사 결과에 이의가 있으면 한 달 안에 다시 심의를 청한다."),
    ("재난 문자 발송 기준", "퇴직하는 사람은 쓰던 전산 장비를 모두 돌려주고 확인을 받는다."),
    ("버스 노선을 바꿔 달라는 민원", "구내 통신망에 새 장비를 잇기 전에 주소를 배정받는다."),
];

/// The cosine below which a passage is not near a question to this model: the mean of unrelated pairs and twice their
/// standard deviation, between 0.2 and 0.9. The same for the same model; 48 short texts are computed for it.
///
/// # Errors
/// Those of [`Embedder::embed`].
pub fn least_similarity(embedder: &dyn Embedder) -> Result<f32, EmbedError> {
    let (questions, passages): (Vec<&str>, Vec<&str>) = UNRELATED.into_iter().unzip();
    let questions = embedder.embed(TextKind::Query, &questions, &|| false)?;
    let passages = embedder.embed(TextKind::Passage, &passages, &|| false)?;
    let cosine = |(a, b): (&super::Embedding, &super::Embedding)| -> f64 {
        a.vector.iter().zip(&b.vector).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let cosines: Vec<f64> = questions.iter().zip(&passages).map(cosine).collect();
    let count = cosines.len().max(1) as f64;
    let mean = cosines.iter().sum::<f64>() / count;
    let variance = cosines.iter().map(|c| (c - mean).powi(2)).sum::<f64>() / count;
    let least = mean + DEVIATIONS * variance.sqrt();
    if least.is_finite() {
        return Ok(least.clamp(BOUNDS.0, BOUNDS.1) as f32);
    }
    Err(EmbedError::Failed("유사도에 수가 아닌 값이 있습니다".into()))
}

#[cfg(test)]
mod tests {
    use super::super::{Cancelled, EmbedderCard, Embedding, Prefixes};
    use super::*;

    /// Gives every pair a cosine of its own, about `middle`.
    struct Crowded {
        card: EmbedderCard,
        middle: f32,
        spread: f32,
    }

    impl Embedder for Crowded {
        fn card(&self) -> &EmbedderCard {
            &self.card
        }

        fn embed(&self, kind: TextKind, texts: &[&str], _: Cancelled<'_>) -> Result<Vec<Embedding>, EmbedError> {
            let vector = |i: usize| match kind {
                TextKind::Query => vec![1.0, 0.0],
                TextKind::Passage => {
                    let cosine = self.middle + if i.is_multiple_of(2) { self.spread } else { -self.spread };
                    vec![cosine, (1.0 - cosine * cosine).sqrt()]
                }
            };
            Ok((0..texts.len()).map(|i| Embedding { vector: vector(i), tokens: 1, truncated: false }).collect())
        }
    }

    fn least(middle: f32, spread: f32) -> f32 {
        let card = EmbedderCard {
            name: "toy".into(),
            label: "장난감".into(),
            architecture: "toy".into(),
            dimension: 2,
            max_tokens: 8,
            prefixes: Prefixes::default(),
            fingerprint: "toy".into(),
        };
        least_similarity(&Crowded { card, middle, spread }).unwrap()
    }

    #[test]
    fn the_bound_follows_the_model() {
        assert!((least(0.75, 0.02) - 0.79).abs() < 1e-5);
        assert!((least(0.3, 0.05) - 0.4).abs() < 1e-5);
        assert_eq!((least(0.0, 0.01), least(0.95, 0.01)), (0.2, 0.9));
    }

    #[test]
    fn no_text_is_in_two_pairs() {
        let all: std::collections::HashSet<_> = UNRELATED.iter().flat_map(|(a, b)| [a, b]).collect();
        assert_eq!(all.len(), 2 * UNRELATED.len());
    }
}
