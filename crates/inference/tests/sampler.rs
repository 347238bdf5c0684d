//! The sampler against plain definitions.

use madang_inference::{ChatError, Sampler, Sampling};
use proptest::prelude::*;

fn sampler(sampling: Sampling) -> Sampler {
    Sampler::new(&sampling).unwrap()
}

fn id(s: &mut Sampler, logits: &[f32], mask: Option<&[u32]>, position: u64) -> u32 {
    s.sample(&mut logits.to_vec(), &[], mask, position, None).unwrap().id
}

/// How often each id is drawn, of `n`.
fn counts(sampling: Sampling, logits: &[f32], n: u64) -> Vec<u64> {
    let mut s = sampler(sampling);
    let mut out = vec![0; logits.len()];
    for position in 0..n {
        out[id(&mut s, logits, None, position) as usize] += 1;
    }
    out
}

/// Ids that top-k, top-p and min-p leave, by their definitions.
fn kept(logits: &[f32], top_k: usize, top_p: f32, min_p: f32) -> Vec<usize> {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b)));
    order.truncate(if top_k == 0 { order.len() } else { top_k });
    let weight = |i: &usize| f64::from(logits[*i] - logits[order[0]]).exp();
    if top_p < 1.0 {
        let total: f64 = order.iter().map(weight).sum();
        let mut sum = 0.0;
        let n = order.iter().position(|i| {
            sum += weight(i);
            sum >= f64::from(top_p) * total
        });
        order.truncate(n.map_or(order.len(), |n| n + 1));
    }
    order.iter().copied().filter(|i| min_p == 0.0 || logits[*i] >= logits[order[0]] + min_p.ln()).collect()
}

#[test]
fn greedy_takes_the_lowest_of_equals() {
    let mut s = sampler(Sampling::default());
    assert_eq!(id(&mut s, &[0.0, 2.0, 2.0, -1.0], None, 0), 1);
    assert_eq!(id(&mut s, &[0.0, 2.0, 3.0, -1.0], Some(&[0b1011]), 0), 1);
}

#[test]
fn ids_beyond_the_mask_are_not_allowed() {
    let mut logits = vec![0.0; 40];
    logits[39] = 9.0;
    logits[31] = 1.0;
    assert_eq!(id(&mut sampler(Sampling::default()), &logits, Some(&[u32::MAX]), 0), 31);
}

#[test]
fn broken_logits_are_an_error() {
    for temperature in [0.0, 1.0] {
        let mut s = sampler(Sampling { temperature, ..Sampling::default() });
        for bad in [f32::NAN, f32::INFINITY] {
            assert!(matches!(s.sample(&mut [0.0, bad], &[], None, 0, Some(2)), Err(ChatError::Failed(_))));
        }
        assert!(s.sample(&mut [f32::NEG_INFINITY; 2], &[], None, 0, None).is_err());
        assert!(s.sample(&mut [], &[], None, 0, None).is_err());
        assert!(s.sample(&mut [1.0, 2.0], &[], Some(&[0]), 0, None).is_err(), "nothing is allowed");
    }
}

#[test]
fn settings_without_meaning_are_refused() {
    let base = Sampling::default;
    for bad in [
        Sampling { temperature: -1.0, ..base() },
        Sampling { temperature: f32::NAN, ..base() },
        Sampling { top_p: 0.0, ..base() },
        Sampling { top_p: 1.5, ..base() },
        Sampling { min_p: 2.0, ..base() },
        Sampling { repetition_penalty: 0.0, ..base() },
    ] {
        assert!(matches!(Sampler::new(&bad), Err(ChatError::Invalid(_))), "{bad:?}");
    }
}

#[test]
fn frequencies_are_the_softmax_at_the_temperature() {
    let logits = [1.0f32, 0.0, 2.0, -1.0];
    for temperature in [0.5f64, 1.0, 2.0] {
        let n = 40_000;
        let drawn = counts(Sampling { temperature: temperature as f32, ..Sampling::default() }, &logits, n);
        let total: f64 = logits.iter().map(|l| (f64::from(*l) / temperature).exp()).sum();
        for (l, c) in logits.iter().zip(drawn) {
            let p = (f64::from(*l) / temperature).exp() / total;
            let spread = (p * (1.0 - p) / n as f64).sqrt();
            assert!((c as f64 / n as f64 - p).abs() < 5.0 * spread, "{temperature}: {l} {c}");
        }
    }
}

#[test]
fn penalty_counts_each_token_once_and_leaves_logprobs_alone() {
    let mut s = sampler(Sampling { repetition_penalty: 2.0, ..Sampling::default() });
    let mut logits = [4.0, 3.0, -1.0, -1.5];
    let plain = sampler(Sampling::default()).sample(&mut logits.clone(), &[], None, 0, Some(4)).unwrap();
    let token = s.sample(&mut logits, &[0, 0, 2, 77], None, 0, Some(4)).unwrap();
    assert_eq!(logits, [2.0, 3.0, -2.0, -1.5]);
    assert_eq!(token.id, 1);
    let (plain, token) = (plain.logprobs.unwrap(), token.logprobs.unwrap());
    assert_eq!(plain.top, token.top);
    assert_eq!(token.chosen, plain.top[1].1);
}

#[test]
fn logprobs_are_a_stable_log_softmax() {
    let mut logits = [1000.0, 999.0, -1000.0, 1000.0];
    let token = sampler(Sampling::default()).sample(&mut logits, &[], None, 0, Some(3)).unwrap().logprobs.unwrap();
    let log_sum = (2.0 + (-1.0f64).exp()).ln();
    let expected = [(0, -log_sum), (3, -log_sum), (1, -1.0 - log_sum)];
    for ((id, logprob), (e_id, e)) in token.top.iter().zip(expected) {
        assert_eq!(*id, e_id);
        assert!((f64::from(*logprob) - e).abs() < 1e-6);
    }
    assert_eq!(token.chosen, token.top[0].1);
}

/// Logits with many equals.
fn logits() -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(prop_oneof![(-20i8..20).prop_map(f32::from), -8.0f32..8.0], 1..400)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn draws_lie_in_what_the_definitions_keep(
        logits in logits(), top_k in 0usize..50, top_p in 0.05f32..=1.0, min_p in prop_oneof![Just(0.0f32), 0.01f32..0.9],
        temperature in 0.2f32..3.0, seed: u64,
    ) {
        let kept = kept(&logits, top_k, top_p, min_p);
        let mut s = sampler(Sampling { temperature, top_k, top_p, min_p, seed, ..Sampling::default() });
        for position in 0..40 {
            let id = id(&mut s, &logits, None, position) as usize;
            prop_assert!(kept.contains(&id), "{id} of {kept:?}");
        }
    }

    #[test]
    fn a_draw_depends_on_seed_and_position_alone(logits in logits(), seed: u64, positions in prop::collection::vec(0u64..100, 1..20)) {
        let sampling = Sampling { temperature: 1.0, top_p: 0.9, seed, ..Sampling::default() };
        let mut shared = sampler(sampling.clone());
        for position in positions {
            let alone = id(&mut sampler(sampling.clone()), &logits, None, position);
            prop_assert_eq!(id(&mut shared, &logits, None, position), alone);
        }
    }

    #[test]
    fn masked_tokens_are_never_drawn(logits in logits(), words in prop::collection::vec(any::<u32>(), 13), temperature in 0.0f32..2.0) {
        let allowed = |id: u32| words[id as usize / 32] >> (id % 32) & 1 == 1;
        let any = (0..logits.len() as u32).any(allowed);
        let mut s = sampler(Sampling { temperature, ..Sampling::default() });
        match s.sample(&mut logits.clone(), &[], Some(&words), 0, None) {
            Ok(token) => prop_assert!(allowed(token.id) && (token.id as usize) < logits.len()),
            Err(_) => prop_assert!(!any),
        }
    }
}
