//! Reading request bodies: JSON whose faults are told in Korean instead of a bare 400.

use crate::error::Failure;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde::de::DeserializeOwned;

/// A JSON body.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        match axum::Json::<T>::from_request(request, state).await {
            Ok(axum::Json(value)) => Ok(Self(value)),
            Err(JsonRejection::JsonDataError(e)) => {
                Err(Failure::invalid("", format!("보낸 내용이 맞지 않습니다: {}", e.body_text())))
            }
            Err(e) if e.status() == StatusCode::PAYLOAD_TOO_LARGE => Err(Failure::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                "보낸 내용이 너무 큽니다. 나누어 보내 주세요.",
            )),
            Err(e) => {
                Err(Failure::new(e.status(), "bad_request", "요청을 읽을 수 없습니다. JSON 형식으로 보내 주세요."))
            }
        }
    }
}
