//! The one failure type of all handlers. It becomes a JSON problem for scripts and page scripts, and an error page
//! for a person; the reader's own mistakes are never a 500.

use crate::signing::SignError;
use crate::views::Lang;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use madang_gateway::{FlowError, Refusal};
use madang_store::StoreError;
use serde_json::json;
use uuid::Uuid;

/// Result of a handler.
pub type Handled<T> = Result<T, Failure>;

/// Why a request failed, in words for its sender.
#[derive(Debug, Clone)]
pub struct Failure {
    pub status: StatusCode,
    /// Stable machine-readable code.
    pub code: &'static str,
    /// Korean: what happened and what to do.
    pub message: String,
    /// The field at fault, where there is one.
    pub field: Option<String>,
    /// Several faults at once: field and message.
    pub fields: Vec<(String, String)>,
    /// Seconds after which a retry makes sense.
    pub retry_after: Option<u64>,
    /// Finds the line in the server's log; only for failures of ours.
    pub reference: Option<String>,
}

impl Failure {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            field: None,
            fields: Vec::new(),
            retry_after: None,
            reference: None,
        }
    }

    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self { field: Some(field.to_owned()), ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message) }
    }

    /// The same in the reader's language, as far as the dictionary knows it.
    pub fn said_in(mut self, lang: Lang) -> Self {
        self.message = lang.said(&self.message);
        for (_, message) in &mut self.fields {
            *message = lang.said(message);
        }
        self
    }

    pub fn not_found() -> Self {
        StoreError::NotFound.into()
    }

    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "denied", message)
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message)
    }

    pub fn unauthenticated() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", "로그인이 필요합니다.")
    }

    pub fn busy(message: impl Into<String>, retry_after: u64) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(StatusCode::TOO_MANY_REQUESTS, "busy", message) }
    }

    /// A failure of ours: logged with its cause under a reference, shown without it.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        let reference = Uuid::new_v4().simple().to_string()[..12].to_owned();
        tracing::error!(%reference, %cause, "request failed");
        Self {
            reference: Some(reference),
            ..Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "서버에서 문제가 생겼습니다. 잠시 뒤 다시 해 보시고, 계속되면 아래 번호를 운영자에게 알려 주세요.",
            )
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::NotFound => Self::new(StatusCode::NOT_FOUND, "not_found", message),
            StoreError::Denied(_) => Self::denied(message),
            StoreError::Invalid { field, .. } => Self::invalid(&field, message),
            StoreError::Conflict(_) => Self::conflict(message),
            StoreError::Budget(_) => Self::new(StatusCode::CONFLICT, "budget", message),
            StoreError::Full => {
                tracing::error!("disk full");
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "full", message)
            }
            StoreError::Database(_) | StoreError::File(_) | StoreError::Corrupt(_) | StoreError::Migration(_) => {
                Self::internal(message)
            }
        }
    }
}

impl From<FlowError> for Failure {
    fn from(error: FlowError) -> Self {
        let message = error.to_string();
        match error {
            FlowError::Store(error) => error.into(),
            FlowError::Refused(Refusal::Grade(_) | Refusal::Marked(..)) => Self::denied(message),
            FlowError::Refused(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "blocked", message),
            FlowError::Denied(_) => Self::new(StatusCode::FORBIDDEN, "policy", message),
            FlowError::NoPolicy(cause) => {
                tracing::error!(%cause, "the policy for outside calls does not read; nothing is sent");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "no_policy", message)
            }
            FlowError::NotAllowed(_) | FlowError::Approval(_) | FlowError::Destination(_) => Self::conflict(message),
            FlowError::Uninspected(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "uninspected", message),
            FlowError::NotRecorded(cause) => {
                tracing::error!(%cause, "the intent of an outside call could not be recorded; nothing was sent");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "not_recorded", message)
            }
            FlowError::Seal(_) => Self::internal(message),
        }
    }
}

impl From<SignError> for Failure {
    fn from(error: SignError) -> Self {
        let message = error.to_string();
        match error {
            SignError::Store(error) => error.into(),
            SignError::Refused(_) => Self::conflict(message),
            SignError::Witness(_) => Self::invalid("answer", message),
            SignError::Seal(_) | SignError::Key(_) | SignError::Note(_) | SignError::NoKey => Self::internal(message),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let Some(field) = &self.field {
            error["field"] = json!(field);
        }
        if !self.fields.is_empty() {
            error["fields"] =
                self.fields.iter().map(|(field, message)| json!({ "field": field, "message": message })).collect();
        }
        if let Some(reference) = &self.reference {
            error["reference"] = json!(reference);
        }
        let mut response = (self.status, Json(json!({ "error": error }))).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        // Pages turn this into an error page, see `http::show_failures`.
        response.extensions_mut().insert(self);
        response
    }
}
