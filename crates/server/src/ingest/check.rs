//! The index compared with the database, for the operator: counts of every collection, samples of documents, vectors,
//! and folders that no index uses. Changes nothing.

use super::fill::indexed;
use super::remake::Outcome;
use super::upkeep;
use crate::blocking;
use crate::index_home::IndexHome;
use madang_domain::{DocumentId, Grade};
use madang_search::{Library, SearchError, Shelved};
use madang_store::Store;
use std::path::Path;
use std::sync::Arc;

/// Documents looked at one by one, spread over all.
const SAMPLES: usize = 50;
const STEP: i64 = 400;

/// What is and what should be, in lines for the operator.
///
/// # Errors
/// Those of database and index; an index that differs is no error but not sound.
pub async fn check(home: &Path, store: &Store, index: &Arc<Library>) -> anyhow::Result<Outcome> {
    let mut faults = Vec::new();
    let opened = Arc::clone(index);
    if let Err(error) = blocking::run(move || opened.check()).await? {
        faults.push(error.to_string());
    }
    let (expected, found) = (upkeep::shelved(store).await?, upkeep::count(index).await?);
    if expected != found {
        faults.push(format!("구절 수가 다릅니다: 데이터베이스 {}, 색인 {}", told(expected), told(found)));
    }
    faults.extend(collections(store, index).await?);
    let (looked_at, wrong) = samples(store, index).await?;
    faults.extend(wrong);
    let at = IndexHome::read(home)?;
    let mut lines = vec![
        format!("색인: {}", at.named()),
        format!("구절: {}", told(found)),
        format!("문서 {looked_at}건을 하나씩 견주어 보았습니다."),
    ];
    lines.extend(vectors(index).await?);
    lines.extend(at.unused(home)?.into_iter().map(|folder| format!("쓰지 않는 색인 폴더가 있습니다: {folder}")));
    let sound = faults.is_empty();
    lines.extend(faults);
    let end = "색인과 데이터베이스가 다릅니다. ‘madang index rebuild’로 다시 만들어 주세요.";
    lines.push(if sound { "색인과 데이터베이스가 같습니다." } else { end }.to_owned());
    Ok(Outcome { lines, sound })
}

fn told(passages: Shelved) -> String {
    format!("{}개(기밀 {}개)", passages.total(), passages.closed)
}

/// Collections of which the index holds another number of passages, or some in the wrong place.
async fn collections(store: &Store, index: &Arc<Library>) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    for collection in store.indexed_collections().await? {
        let (opened, id) = (Arc::clone(index), collection.id);
        let found = blocking::run(move || opened.count_collections(&[id])).await??;
        let expected = match collection.grade {
            Grade::Classified => Shelved { open: 0, closed: collection.passages },
            Grade::Open | Grade::Sensitive => Shelved { open: collection.passages, closed: 0 },
        };
        if found != expected {
            faults.push(format!("모음 ‘{}’: 데이터베이스 {}, 색인 {}", collection.name, told(expected), told(found)));
        }
    }
    Ok(faults)
}

/// How many documents were looked at, and those of which the index holds another number of passages or whose first one is
/// not found by its own words.
async fn samples(store: &Store, index: &Arc<Library>) -> anyhow::Result<(usize, Vec<String>)> {
    let mut documents: Vec<(DocumentId, usize)> = Vec::new();
    loop {
        let some = store.ready_documents(documents.last().map(|d| d.0), STEP).await?;
        if some.is_empty() {
            break;
        }
        documents.extend(some);
    }
    let (mut looked_at, mut faults) = (0, Vec::new());
    for (document, expected) in documents.iter().copied().step_by(documents.len().div_ceil(SAMPLES).max(1)) {
        let first = store.passages_to_index(document).await?.into_iter().next();
        let opened = Arc::clone(index);
        let looked = blocking::run(move || -> Result<_, SearchError> {
            let found = first.map(|p| opened.finds(p.grade, &indexed(p))).transpose()?;
            Ok((opened.count_document(document)?, found.unwrap_or(true)))
        });
        let (found, by_its_words) = looked.await??;
        looked_at += 1;
        if found != expected {
            faults.push(format!("문서 {document}: 데이터베이스 {expected}개, 색인 {found}개"));
        } else if !by_its_words {
            faults.push(format!("문서 {document}: 제 낱말로 찾아지지 않습니다"));
        }
    }
    Ok((looked_at, faults))
}

async fn vectors(index: &Arc<Library>) -> anyhow::Result<Option<String>> {
    let Some(model) = index.vector_models().serving else { return Ok(None) };
    let opened = Arc::clone(index);
    let coverage = blocking::run(move || opened.vector_coverage(&model.fingerprint)).await??;
    Ok(Some(format!("뜻 벡터: 구절 {}개 가운데 {}개", coverage.total, coverage.done)))
}
