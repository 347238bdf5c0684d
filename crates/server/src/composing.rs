//! From a prompt to a design sheet: the catalogue of what the author may read, with the words that tell one collection
//! from another, and the composer over it.

use crate::app::App;
use crate::error::{Failure, Handled};
use madang_domain::Scope;
use madang_registry::compose::{self, CollectionSummary, Composition};
use madang_registry::runner::Caller;
use madang_store::catalogue::SampledCollection;
use std::collections::HashMap;

/// Words kept of a collection.
const KEYWORDS: usize = 60;
/// Titles shown to the composer.
const TITLES: usize = 8;

/// Composes a sheet over the collections that the author may read: with the model that answers, or by rules.
///
/// # Errors
/// 422 for a prompt that says nothing or too much.
pub async fn compose(app: &App, scope: &Scope, prompt: String) -> Handled<Composition> {
    let sampled = app.store.sampled_collections(scope).await?;
    let model = app.engines.composer();
    let caller = Caller::of(scope.person(), &app.store.readable_collections(scope).await?);
    let composed = match model {
        None => tokio::task::spawn_blocking(move || compose::compose(&prompt, &catalogue(&sampled)))
            .await
            .map_err(Failure::internal)?,
        Some(model) => compose::compose_with(model.as_ref(), &prompt, &catalogue(&sampled), &caller).await,
    };
    composed.map_err(|error| Failure::invalid("prompt", error.to_string()))
}

/// Collections with their telling words: frequent here, rare elsewhere (tf·idf), the heaviest 1.
fn catalogue(sampled: &[SampledCollection]) -> Vec<CollectionSummary> {
    let counted: Vec<HashMap<String, f32>> = sampled.iter().map(count).collect();
    let mut spread: HashMap<&str, usize> = HashMap::new();
    for words in &counted {
        for word in words.keys() {
            *spread.entry(word).or_default() += 1;
        }
    }
    sampled
        .iter()
        .zip(&counted)
        .map(|(c, words)| CollectionSummary {
            id: c.id,
            name: c.name.clone(),
            grade: c.grade,
            documents: c.documents,
            sample_titles: c.titles.iter().take(TITLES).cloned().collect(),
            keywords: telling(words, &spread, sampled.len()),
        })
        .collect()
}

/// How often each content word stands in the sample; titles and the description weigh more.
fn count(collection: &SampledCollection) -> HashMap<String, f32> {
    let mut words: HashMap<String, f32> = HashMap::new();
    let mut add = |text: &str, weight: f32| {
        for word in madang_korean::content_words(text) {
            *words.entry(word).or_default() += weight;
        }
    };
    add(&collection.description, 3.0);
    collection.titles.iter().for_each(|t| add(t, 3.0));
    collection.texts.iter().for_each(|t| add(t, 1.0));
    words
}

fn telling(words: &HashMap<String, f32>, spread: &HashMap<&str, usize>, collections: usize) -> Vec<(String, f32)> {
    let mut weighed: Vec<(String, f32)> = words
        .iter()
        .map(|(word, n)| {
            let everywhere = spread.get(word.as_str()).copied().unwrap_or(1) as f32;
            (word.clone(), (1.0 + n.ln().max(0.0)) * (1.0 + (collections as f32 / everywhere).ln()))
        })
        .collect();
    weighed.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    weighed.truncate(KEYWORDS);
    let heaviest = weighed.first().map_or(1.0, |w| w.1);
    weighed.iter_mut().for_each(|(_, weight)| *weight /= heaviest);
    weighed
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_domain::{CollectionId, Grade};

    fn sampled(name: &str, text: &str) -> SampledCollection {
        SampledCollection {
            id: CollectionId::new(),
            name: name.into(),
            description: String::new(),
            grade: Grade::Open,
            documents: 1,
            titles: vec![],
            texts: vec![text.into()],
        }
    }

    #[test]
    fn words_of_one_collection_outweigh_words_of_all() {
        let all = catalogue(&[sampled("당직", "당직 근무자 순찰 안내"), sampled("여권", "여권 발급 수수료 안내")]);
        let weight = |at: usize, word: &str| all[at].keywords.iter().find(|(w, _)| w == word).map(|(_, n)| *n);
        assert!(weight(0, "순찰") > weight(0, "안내"));
        assert_eq!(weight(1, "순찰"), None);
        assert!(all[0].keywords.iter().all(|(_, n)| (0.0..=1.0).contains(n)));
    }
}
