//! Finding passages for a reader: the index filtered by what they may read, each hit checked again in the database.

use crate::app::App;
use crate::blocking;
use crate::error::{Failure, Handled};
use crate::meaning;
use madang_domain::{CollectionId, Passage, Scope};
use madang_search::{Explanation, SearchOptions, Synonyms, explain, fold};
use std::collections::btree_map::Entry;
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
    /// Its meaning is near, whether or not it shares words with the question.
    pub near: bool,
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
    let known: HashMap<_, _> = hits.into_iter().map(|h| (h.passage, h)).collect();
    let passages = app.store.passages(scope, &ids).await?;
    let found = |group: Group| Found {
        score: known.get(&group.first.id).map_or(0.0, |h| h.score),
        near: known.get(&group.first.id).is_some_and(|h| h.near),
        relevance: group.relevance,
        passage: group.first,
        also: group.also,
    };
    let groups = grouped(app, Some(query), passages).await.map_err(Failure::internal)?;
    let hits = groups.into_iter().take(limit).map(found).collect();
    Ok(Findings { hits, ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX) })
}

/// A passage and those that say the same.
pub struct Group {
    pub first: Passage,
    /// Log-odds that it answers the question, where a ranking model read it.
    pub relevance: Option<f32>,
    pub also: Vec<Passage>,
}

/// Passages in the order of the ranking model, where there is one and a question to rank by, else as they came; those
/// that say the same behind the best of them. Grouped only inside what this reader may read.
///
/// # Errors
/// The work was ended.
pub async fn grouped(app: &App, question: Option<String>, passages: Vec<Passage>) -> std::io::Result<Vec<Group>> {
    let model = app.engines.ranking();
    blocking::run(move || {
        let ranked = match (model, question) {
            (Some(model), Some(question)) => model.rank(&question, passages),
            _ => passages.into_iter().map(|p| (p, None)).collect(),
        };
        folded(ranked)
    })
    .await
}

fn folded(ranked: Vec<(Passage, Option<f32>)>) -> Vec<Group> {
    let texts: Vec<&str> = ranked.iter().map(|(p, _)| p.text.as_str()).collect();
    let firsts = fold(&texts);
    let mut groups: BTreeMap<usize, Group> = BTreeMap::new();
    for ((passage, relevance), first) in ranked.into_iter().zip(firsts) {
        match groups.entry(first) {
            Entry::Occupied(mut group) => group.get_mut().also.push(passage),
            Entry::Vacant(place) => {
                place.insert(Group { first: passage, relevance, also: Vec::new() });
            }
        }
    }
    groups.into_values().collect()
}

/// Which words of the question stand where in a passage.
pub fn why(synonyms: &Synonyms, query: &str, passage: &Passage) -> Explanation {
    explain(query, &passage.document_title, &passage.heading_path, &passage.text, synonyms)
}
