//! What the composer may know of the collections that an author may read: their names, some titles and the beginnings
//! of some documents, from which it tells which collection fits a task.

use crate::rights::readable;
use crate::row::RowExt;
use crate::{Result, Store};
use madang_domain::{CollectionId, Grade, Scope};

/// Most collections looked into.
pub const MAX_COLLECTIONS: i64 = 60;
/// Most passages read of one collection.
const SAMPLE: i64 = 60;

/// A collection with a sample of what is in it.
#[derive(Debug, Clone)]
pub struct SampledCollection {
    pub id: CollectionId,
    pub name: String,
    pub description: String,
    pub grade: Grade,
    /// Ready documents.
    pub documents: usize,
    /// Titles of documents sampled, each once.
    pub titles: Vec<String>,
    /// Texts of passages sampled.
    pub texts: Vec<String>,
}

impl Store {
    /// Collections with ready documents that the reader may read, last changed first, each with a sample.
    pub async fn sampled_collections(&self, scope: &Scope) -> Result<Vec<SampledCollection>> {
        let person = scope.person().to_string();
        let rows = sqlx::query(concat!(
            "SELECT c.id, c.name, c.description, c.grade, n.documents FROM collections c JOIN (SELECT collection_id, \
             COUNT(*) AS documents FROM documents WHERE state = 'ready' GROUP BY collection_id) n ON n.collection_id = c.id WHERE ",
            readable!(),
            " ORDER BY c.updated_at DESC LIMIT $2"
        ))
        .bind(&person)
        .bind(MAX_COLLECTIONS)
        .fetch_all(&self.pool)
        .await?;
        let mut out = Vec::with_capacity(rows.len());
        for row in &rows {
            let id: CollectionId = row.parsed("id")?;
            let (titles, texts) = self.sample(&person, id).await?;
            out.push(SampledCollection {
                id,
                name: row.text("name")?,
                description: row.text("description")?,
                grade: row.parsed("grade")?,
                documents: row.count("documents")?,
                titles,
                texts,
            });
        }
        Ok(out)
    }

    async fn sample(&self, person: &str, id: CollectionId) -> Result<(Vec<String>, Vec<String>)> {
        let rows = sqlx::query(concat!(
            "SELECT x.title, g.text FROM documents x JOIN collections c ON c.id = x.collection_id \
             JOIN passages g ON g.document_id = x.id AND g.ordinal < 4 WHERE x.collection_id = $2 AND x.state = 'ready' AND ",
            readable!(),
            " ORDER BY x.updated_at DESC, x.id, g.ordinal LIMIT $3"
        ))
        .bind(person)
        .bind(id.to_string())
        .bind(SAMPLE)
        .fetch_all(&self.pool)
        .await?;
        let (mut titles, mut texts): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        for row in &rows {
            let title = row.text("title")?;
            if !titles.contains(&title) {
                titles.push(title);
            }
            texts.push(row.text("text")?);
        }
        Ok((titles, texts))
    }
}
