//! Static files of `web/static`, compiled into the binary and served under `/assets/`.

use crate::error::Failure;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "../../web/static"]
struct Assets;

/// `GET /assets/{*path}`: cached by the browser, revalidated by content hash.
pub async fn serve(Path(path): Path<String>, headers: HeaderMap) -> Response {
    let Some(file) = Assets::get(&path) else { return Failure::not_found().into_response() };
    let tag = format!("\"{}\"", hex::encode(&file.metadata.sha256_hash()[..12]));
    let known = headers.get(header::IF_NONE_MATCH).and_then(|v| v.to_str().ok()).is_some_and(|v| v == tag);
    let mut out = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let kind = mime_guess::from_path(&path).first_or_octet_stream();
        ([(header::CONTENT_TYPE, kind.to_string())], file.data.into_owned()).into_response()
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        out.headers_mut().insert(header::ETAG, tag);
    }
    out.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300, must-revalidate"));
    out
}
