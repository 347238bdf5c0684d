//! The body's own dictionary for security officers: reading it, trying an edited one, keeping it. Its words are secret: no
//! answer to anybody else, no log and no record holds them.

use super::body::Body;
use crate::app::App;
use crate::auth::Security;
use crate::blocking;
use crate::error::{Failure, Handled};
use crate::looking::{Looked, Names, look};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use madang_domain::Scope;
use madang_gateway::Inspector;
use madang_pii::{Dictionary, Entry, Fault, Rule, Rules};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Longest text to try a dictionary on, characters.
const MAX_TRIAL: usize = 20_000;
/// Passages looked at for common words, the newest ones, and read at once.
const SAMPLED: usize = 5_000;
const BATCH: i64 = 500;
/// Longest time for that.
const LONGEST: Duration = Duration::from_secs(2);
/// A word in one of so many passages, and in so many at least, is told to be common.
const COMMON_SHARE: usize = 50;
const COMMON_LEAST: usize = 5;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show, keep)).routes(routes!(check))
}

/// The dictionary in force.
#[derive(Serialize)]
struct Shown {
    /// 0 before the first.
    revision: i64,
    rules: Vec<Rule>,
}

/// The dictionary in force.
#[utoipa::path(get, path = "/api/v1/pii/dictionary", tag = "tools", responses((status = 200, body = Object), (status = 403)))]
async fn show(State(app): State<App>, Security(reader): Security) -> Handled<Json<Shown>> {
    let (revision, dictionary) = app.gateway.dictionary(reader.scope()).await?;
    Ok(Json(Shown { revision, rules: dictionary.rules }))
}

#[derive(Deserialize)]
struct Kept {
    /// The revision that was edited.
    revision: i64,
    rules: Vec<Rule>,
    /// Why; recorded.
    reason: String,
}

#[derive(Serialize)]
struct Revision {
    revision: i64,
}

/// Keeps a dictionary, which everything is inspected with from then on. `{revision, rules: [{name, terms, patterns,
/// action}], reason}`; `action` is `block`, `mask`, `flag`, `grade_s` or `grade_c`.
#[utoipa::path(put, path = "/api/v1/pii/dictionary", tag = "tools", request_body = Object, responses((status = 200, body = Object), (status = 403), (status = 409), (status = 422)))]
async fn keep(State(app): State<App>, Security(reader): Security, Body(body): Body<Kept>) -> Handled<Json<Revision>> {
    let (faults, dictionary) = faults_of(body.rules).await?;
    if !faults.is_empty() {
        return Err(refused(faults));
    }
    let revision = app.gateway.keep_dictionary(reader.scope(), body.revision, &dictionary, &body.reason).await?;
    Ok(Json(Revision { revision }))
}

fn refused(faults: Vec<Fault>) -> Failure {
    let field = |fault: &Fault| {
        let part = serde_json::to_value(fault.field).unwrap_or_default();
        format!("rules.{}.{}.{}", fault.rule, part.as_str().unwrap_or_default(), fault.line)
    };
    let message = "사전에 고칠 곳이 있습니다.";
    Failure {
        fields: faults.iter().map(|fault| (field(fault), fault.message.clone())).collect(),
        ..Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message)
    }
}

#[derive(Deserialize)]
struct Tried {
    rules: Vec<Rule>,
    /// To look through with it, at most 20,000 characters.
    #[serde(default)]
    text: String,
}

/// What an edited dictionary would do.
#[derive(Serialize)]
struct Checked {
    /// Everything to put right; nothing else is told then.
    faults: Vec<Fault>,
    found: Option<Looked>,
    common: Vec<Common>,
    /// Passages looked at, the newest of `passages`.
    sampled: usize,
    passages: usize,
}

/// A word that stands in many passages: it would stop or mask much that may leave.
#[derive(Serialize)]
struct Common {
    /// From 1.
    rule: usize,
    is_pattern: bool,
    /// From 1.
    line: usize,
    /// Passages among those looked at.
    passages: usize,
}

/// Checks an edited dictionary, shows what it finds in a text, and says which of its words are common in the documents
/// here: counted in the newest passages, no more than 5,000 and two seconds. Keeps nothing. `{rules, text}`.
#[utoipa::path(post, path = "/api/v1/pii/dictionary/check", tag = "tools", request_body = Object, responses((status = 200, body = Object), (status = 403), (status = 422)))]
async fn check(State(app): State<App>, Security(reader): Security, Body(body): Body<Tried>) -> Handled<Json<Checked>> {
    if body.text.chars().nth(MAX_TRIAL).is_some() {
        return Err(Failure::invalid("text", "시험할 글은 20,000자까지 적을 수 있습니다."));
    }
    let (faults, dictionary) = faults_of(body.rules).await?;
    if !faults.is_empty() {
        return Ok(Json(Checked { faults, found: None, common: Vec::new(), sampled: 0, passages: 0 }));
    }
    let rules = Rules::new(&dictionary).map_err(|e| Failure::invalid("rules", e.to_string()))?;
    let (hits, sampled) = sample(&app, reader.scope(), rules.clone()).await?;
    let inspector = Inspector::new(rules, 0);
    let found = blocking::run(move || look(&body.text, &inspector, &[], Names::Rules)).await;
    Ok(Json(Checked {
        faults,
        found: Some(found.map_err(Failure::internal)?),
        common: common(hits, sampled),
        sampled,
        passages: app.store.passage_count(reader.scope()).await?,
    }))
}

/// Compiling many patterns takes its time: off the async threads.
async fn faults_of(rules: Vec<Rule>) -> Handled<(Vec<Fault>, Dictionary)> {
    let checked = blocking::run(move || {
        let dictionary = Dictionary { rules };
        (dictionary.faults(), dictionary)
    });
    checked.await.map_err(Failure::internal)
}

/// In how many of the newest passages each entry stands, and how many were looked at.
async fn sample(app: &App, scope: &Scope, rules: Rules) -> Handled<(BTreeMap<Entry, usize>, usize)> {
    let (rules, began) = (Arc::new(rules), Instant::now());
    let (mut hits, mut sampled, mut before) = (BTreeMap::new(), 0, None);
    while sampled < SAMPLED && began.elapsed() < LONGEST && !rules.is_empty() {
        let batch = app.store.passages_to_count(scope, before, BATCH).await?;
        let Some((last, _)) = batch.last() else { break };
        before = Some(*last);
        sampled += batch.len();
        let rules = Arc::clone(&rules);
        let found =
            blocking::run(move || batch.iter().flat_map(|(_, text)| rules.entries_in(text)).collect::<Vec<_>>());
        for entry in found.await.map_err(Failure::internal)? {
            *hits.entry(entry).or_default() += 1;
        }
    }
    Ok((hits, sampled))
}

/// The entries that stand in many passages, the most common first.
fn common(hits: BTreeMap<Entry, usize>, sampled: usize) -> Vec<Common> {
    let mut common: Vec<Common> = hits
        .into_iter()
        .filter(|(_, n)| *n >= COMMON_LEAST && n * COMMON_SHARE >= sampled)
        .map(|(e, passages)| Common { rule: e.rule + 1, is_pattern: e.is_pattern, line: e.line + 1, passages })
        .collect();
    common.sort_by_key(|c| std::cmp::Reverse(c.passages));
    common
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_many_passages_are_common() {
        let entry = |rule| Entry { rule, is_pattern: false, line: 0 };
        let hits = BTreeMap::from([(entry(0), 4), (entry(1), 20), (entry(2), 100), (entry(3), 19)]);
        let rules: Vec<_> = common(hits.clone(), 1000).into_iter().map(|c| (c.rule, c.passages)).collect();
        assert_eq!(rules, [(3, 100), (2, 20)]);
        assert_eq!(common(hits, 10).len(), 3, "four passages are never many");
    }
}
