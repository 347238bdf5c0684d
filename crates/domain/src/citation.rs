//! Passages of documents and citations of them.

use crate::{CollectionId, DocumentId, Grade, PassageId};
use serde::{Deserialize, Serialize};

/// Half-open range in Unicode scalar values (not bytes) of a document's stored text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

/// A passage as the reader of documents cut it, before it has an id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassageDraft {
    /// Headings above the passage, outermost first.
    pub heading_path: Vec<String>,
    /// 1-based page; `None` where the format has none.
    pub page: Option<u32>,
    /// The page was estimated from line positions ("약 p.N").
    #[serde(default)]
    pub page_estimated: bool,
    pub text: String,
    /// Where `text` lies in the document's stored text.
    pub span: Span,
}

/// A stored passage that its reader may open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Passage {
    pub id: PassageId,
    pub document: DocumentId,
    pub document_title: String,
    pub collection: CollectionId,
    pub collection_name: String,
    pub grade: Grade,
    pub heading_path: Vec<String>,
    pub page: Option<u32>,
    pub page_estimated: bool,
    pub text: String,
    pub span: Span,
}

/// A numbered source of an answer: a stored span that the reader may open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Citation {
    /// 1-based number shown in the answer as `[n]`.
    pub number: u32,
    pub passage: PassageId,
    pub document: DocumentId,
    pub document_title: String,
    pub grade: Grade,
    pub heading_path: Vec<String>,
    pub page: Option<u32>,
    pub page_estimated: bool,
    /// The words quoted.
    pub quote: String,
    /// Where the quoted words lie in the document's stored text.
    pub span: Span,
}
