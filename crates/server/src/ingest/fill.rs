//! Passages from the database into an index: all of them, or those of some documents.

use super::Rebuild;
use super::work::BATCH;
use crate::blocking;
use madang_domain::{DocumentId, Grade};
use madang_search::{IndexedPassage, Library, SearchError};
use madang_store::Store;
use madang_store::indexed::StoredPassage;
use std::sync::Arc;

/// Documents asked of the database at a time.
pub const STEP: usize = 400;

/// Hears between writes how far a long work on the index has come, and keeps the serving index in step meanwhile.
pub trait Watch: Send {
    /// `None` where there is nothing new to tell. `false` ends the work early.
    fn step(&mut self, progress: Option<Rebuild>) -> impl Future<Output = anyhow::Result<bool>> + Send;
}

/// Puts every ready document into `index`, with the vectors that its passages have in `vectors`; `false` where it was
/// ended early.
///
/// # Errors
/// Those of database and index, and of `watch`.
pub async fn everything(
    store: &Store,
    index: &Arc<Library>,
    vectors: Option<&Arc<Library>>,
    watch: &mut impl Watch,
) -> anyhow::Result<bool> {
    let mut progress = Rebuild { done: 0, total: store.ready_passages().await?.total() };
    let mut batch = Batch::new(index, vectors);
    let mut after = None;
    watch.step(Some(progress)).await?;
    loop {
        let documents = store.ready_documents(after, STEP as i64).await?;
        let Some((last, _)) = documents.last() else { break };
        after = Some(*last);
        for (document, passages) in documents {
            let written = batch.add(store, document).await?;
            progress.done += passages;
            // Only with nothing left to write: what is deleted is then taken out after it came in.
            if written && !watch.step(Some(progress)).await? {
                return Ok(false);
            }
        }
    }
    batch.flush().await?;
    watch.step(Some(progress)).await
}

/// Passages on their way into an index.
pub struct Batch<'a> {
    index: &'a Arc<Library>,
    vectors: Option<&'a Arc<Library>>,
    waiting: Vec<(Grade, IndexedPassage)>,
}

impl<'a> Batch<'a> {
    pub fn new(index: &'a Arc<Library>, vectors: Option<&'a Arc<Library>>) -> Self {
        Self { index, vectors, waiting: Vec::new() }
    }

    /// Adds the passages of a document, and writes when there are enough; `true` if it wrote.
    ///
    /// # Errors
    /// Those of database and index.
    pub async fn add(&mut self, store: &Store, document: DocumentId) -> anyhow::Result<bool> {
        let passages = store.passages_to_index(document).await?;
        self.waiting.extend(passages.into_iter().map(|p| (p.grade, indexed(p))));
        if self.waiting.len() < BATCH {
            return Ok(false);
        }
        self.flush().await?;
        Ok(true)
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn flush(&mut self) -> anyhow::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        let (index, vectors) = (Arc::clone(self.index), self.vectors.cloned());
        Ok(blocking::run(move || write(&index, vectors.as_deref(), waiting)).await??)
    }
}

fn write(index: &Library, from: Option<&Library>, waiting: Vec<(Grade, IndexedPassage)>) -> Result<(), SearchError> {
    let (closed, open): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(grade, _)| *grade == Grade::Classified);
    for (grade, part) in [(Grade::Open, open), (Grade::Classified, closed)] {
        let passages: Vec<_> = part.into_iter().map(|(_, passage)| passage).collect();
        index.upsert(grade, &passages)?;
        if let Some(from) = from {
            let ids: Vec<_> = passages.iter().map(|p| (p.id, p.document)).collect();
            index.take_vectors(from, grade, &ids)?;
        }
    }
    Ok(())
}

pub fn indexed(passage: StoredPassage) -> IndexedPassage {
    IndexedPassage {
        id: passage.id,
        collection: passage.collection,
        document: passage.document,
        title: passage.title,
        heading_path: passage.heading_path,
        text: passage.text,
    }
}
