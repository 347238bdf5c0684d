//! Finding passages for a reader: the index filtered by what they may read, each hit checked again in the database.

use crate::app::App;
use crate::blocking;
use crate::error::{Failure, Handled};
use crate::meaning;
use madang_domain::{CollectionId, Passage, Scope};
use madang_search::{Explanation, SearchOptions, explain, fold};
use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

/// Longest query, characters; what follows is cut off.
pub const MAX_QUERY: usize = 1000;
/// Hits asked for beyond the limit, to make up for those that the database takes back.
const SPARE: usize = 20;

/// A passage found.
#[derive(Debug, Clone)]
pub struct Found {
    pub passage: Passage,
    /// Of BM25, or of both fused where meaning counts too: comparable within one answer alone.
    pub score: f32,
    /// Log-odds that it answers the question, where a ranking model read it: such hits stand first, by this.
    pub relevance: Option<f32>,
    /// Passages further down that say the same, best first.
    pub also: Vec<Passage>,
}

/// What was found, best first.
#[derive(Debug, Clone)]
pub struct Findings {
    pub hits: Vec<Found>,
    /// Milliseconds that index and recheck took.
    pub ms: u64,
}

/// The best passages for `query` among the collections that the reader may read; `within` narrows them further.
pub async fn passages(
    app: &App,
    scope: &Scope,
    query: &str,
    within: Option<&[CollectionId]>,
    limit: usize,
) -> Handled<Findings> {
    let started = Instant::now();
    let readable = app.store.readable_collections(scope).await?;
    let readable = within.map_or_else(|| readable.clone(), |wanted| readable.narrowed(wanted));
    let query: String = query.chars().take(MAX_QUERY).collect();
    let index = app.index.now();
    let options =
        SearchOptions { limit: limit.saturating_add(SPARE), synonyms: app.synonyms(), ..SearchOptions::default() };
    let model = app.engines.meaning();
    let asked = query.clone();
    let hits = blocking::run(move || {
        let meaning = meaning::of_questions(model.as_ref(), &[&asked]).pop().flatten();
        index.search_with(&asked, meaning.as_ref(), &readable, &options)
    })
    .await
    .map_err(Failure::internal)?
    .map_err(Failure::internal)?;
    let ids: Vec<_> = hits.iter().map(|h| h.passage).collect();
    let scores: HashMap<_, _> = hits.iter().map(|h| (h.passage, h.score)).collect();
    let passages = app.store.passages(scope, &ids).await?;
    let ranked = ranked(app, &query, passages).await.map_err(Failure::internal)?;
    let relevances: HashMap<_, _> = ranked.iter().map(|(p, relevance)| (p.id, *relevance)).collect();
    let found = |(passage, also): (Passage, Vec<Passage>)| Found {
        score: scores.get(&passage.id).copied().unwrap_or_default(),
        relevance: relevances.get(&passage.id).copied().flatten(),
        passage,
        also,
    };
    let passages = ranked.into_iter().map(|(passage, _)| passage).collect();
    let hits = folded(passages).into_iter().take(limit).map(found).collect();
    Ok(Findings { hits, ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX) })
}

/// What was found in the order of the ranking model, if there is one; as it was if not.
///
/// # Errors
/// The work was ended.
pub async fn ranked(app: &App, question: &str, passages: Vec<Passage>) -> std::io::Result<Vec<(Passage, Option<f32>)>> {
    let Some(model) = app.engines.ranking() else {
        return Ok(passages.into_iter().map(|p| (p, None)).collect());
    };
    let question = question.to_owned();
    blocking::run(move || model.rank(&question, passages)).await
}

/// Which words of the question stand where in a passage.
pub fn why(app: &App, query: &str, passage: &Passage) -> Explanation {
    explain(query, &passage.document_title, &passage.heading_path, &passage.text, &app.synonyms())
}

/// Passages that say the same behind the best of them. Grouped only inside what this reader may read.
pub fn folded(passages: Vec<Passage>) -> Vec<(Passage, Vec<Passage>)> {
    let texts: Vec<&str> = passages.iter().map(|p| p.text.as_str()).collect();
    let firsts = fold(&texts);
    let mut groups: BTreeMap<usize, Vec<Passage>> = BTreeMap::new();
    for (passage, first) in passages.into_iter().zip(firsts) {
        groups.entry(first).or_default().push(passage);
    }
    let groups = groups.into_values().map(|group| {
        let mut group = group.into_iter();
        (group.next(), group.collect())
    });
    groups.filter_map(|(first, also)| Some((first?, also))).collect()
}
