//! One request for a file: a GET without a body, credentials or cookies, to addresses that were checked; what comes is
//! bounded, hashed and kept. Whether it may be made is decided, and recorded, before.

use super::part::Part;
use super::{Ask, DownloadError, Limits, Received, Stop};
use crate::destination::Destination;
use reqwest::header::{CONTENT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, IF_RANGE, LOCATION, RANGE};
use reqwest::{Certificate, Response};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// The same from every installation: it tells the program and nothing of the body.
const AGENT: &str = concat!("madang/", env!("CARGO_PKG_VERSION"));
/// Disk that stays free beside the file, bytes.
const DISK_MARGIN: u64 = 64 << 20;

/// What a reply amounts to.
pub enum Step {
    /// The file lies elsewhere.
    Redirect { status: u16, location: String },
    /// The file is whole: its hash and the bytes of this reply.
    Whole { status: u16, sha256: String, bytes: u64 },
}

/// A request that did not end well.
pub struct Failed {
    pub error: DownloadError,
    /// `None`: no reply came.
    pub status: Option<u16>,
    /// Bytes of the reply that were kept.
    pub bytes: u64,
}

impl Failed {
    fn early(error: DownloadError) -> Self {
        Self { error, status: None, bytes: 0 }
    }
}

/// Asks once and takes what comes.
pub async fn get(
    ask: &Ask<'_>,
    (destination, addresses): (&Destination, &[SocketAddr]),
    (limits, authority): (&Limits, Option<&[Certificate]>),
    part: &mut Part,
    on: &mut (dyn FnMut(Received) + Send),
    stop: &mut Stop,
) -> Result<Step, Failed> {
    let request = request(destination, addresses, limits, authority, part).map_err(Failed::early)?;
    let sent = tokio::select! {
        sent = request.send() => sent.map_err(|e| Failed::early(cut(e, limits))),
        () = stop.stopped() => Err(Failed::early(DownloadError::Stopped)),
    };
    let mut response = sent?;
    let status = response.status().as_u16();
    let before = part.length();
    let failed =
        |error, part: &Part| Failed { error, status: Some(status), bytes: part.length().saturating_sub(before) };
    if let Some(location) = redirect(&response) {
        let location = location.map_err(|e| failed(e, part))?;
        return Ok(Step::Redirect { status, location });
    }
    let total = accept(ask, &response, part).map_err(|e| failed(e, part))?;
    let start = part.length();
    let taken = take(ask, &mut response, limits, part, total, on, stop).await;
    let bytes = part.length().saturating_sub(start);
    let ended = taken.and_then(|()| part.finish());
    match ended {
        Ok(sha256) => Ok(Step::Whole { status, sha256, bytes }),
        Err(error) => {
            // What came is kept for the next attempt; a disk that fails here failed before.
            let _ = part.sync();
            Err(Failed { error, status: Some(status), bytes })
        }
    }
}

fn request(
    destination: &Destination,
    addresses: &[SocketAddr],
    limits: &Limits,
    authority: Option<&[Certificate]>,
    part: &Part,
) -> Result<reqwest::RequestBuilder, DownloadError> {
    let builder = pinned(destination.host(), addresses, limits.connect)
        .https_only(true)
        .user_agent(AGENT)
        .read_timeout(limits.stall);
    // The named authority alone: the machine's own have no say about a mirror.
    let builder = match authority {
        Some(certificates) => builder.tls_certs_only(certificates.iter().cloned()),
        None => builder,
    };
    let client = builder.build().map_err(|e| DownloadError::NotConnected(reason(e)))?;
    let request = client.get(destination.url().clone());
    Ok(match part.etag() {
        // A host whose file has changed since answers with the whole.
        Some(tag) => request.header(RANGE, format!("bytes={}-", part.length())).header(IF_RANGE, tag),
        None => request,
    })
}

/// An error of the connection in the terms of its reader.
fn cut(e: reqwest::Error, limits: &Limits) -> DownloadError {
    if e.is_connect() || e.is_builder() {
        DownloadError::NotConnected(reason(e))
    } else if e.is_timeout() {
        DownloadError::Stalled(limits.stall.as_secs())
    } else {
        DownloadError::Broken(reason(e))
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn redirect(response: &Response) -> Option<Result<String, DownloadError>> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = text(response.headers(), LOCATION).map(str::to_owned);
    Some(location.ok_or_else(|| DownloadError::Redirect("주소가 없거나 읽을 수 없습니다".to_owned())))
}

/// Checks the head of a reply and brings the partial file to where its bytes begin. Gives the bytes of the whole file.
fn accept(ask: &Ask<'_>, response: &Response, part: &mut Part) -> Result<Option<u64>, DownloadError> {
    let headers = response.headers();
    let whole = match response.status().as_u16() {
        200 => true,
        206 if part.etag().is_some() => false,
        416 => {
            part.restart()?;
            return Err(DownloadError::Changed);
        }
        status => return Err(DownloadError::Status(status)),
    };
    if let Some(coding) = text(headers, CONTENT_ENCODING).filter(|c| !c.eq_ignore_ascii_case("identity")) {
        return Err(DownloadError::Encoded(coding.chars().take(40).collect()));
    }
    let total = if whole { response.content_length() } else { Some(rest_of(headers, part)?) };
    if let Some(total) = total {
        bounded(ask, total)?;
        room(ask, total.saturating_sub(part.length()))?;
    }
    // Only now: a page that stands in the file's place must not cost what came before.
    if whole {
        part.restart()?;
        part.describe(text(headers, ETAG), total)?;
    }
    Ok(total)
}

/// The reply goes on where the partial file ends, in the same file. Gives the bytes of the whole file.
fn rest_of(headers: &HeaderMap, part: &mut Part) -> Result<u64, DownloadError> {
    let same = text(headers, ETAG).is_none_or(|tag| Some(tag) == part.etag());
    match text(headers, CONTENT_RANGE).and_then(content_range) {
        Some((start, total)) if same && start == part.length() && part.total().is_none_or(|t| t == total) => Ok(total),
        _ => {
            part.restart()?;
            Err(DownloadError::Changed)
        }
    }
}

fn bounded(ask: &Ask<'_>, total: u64) -> Result<(), DownloadError> {
    match ask.size {
        Some(expected) if expected != total => Err(DownloadError::OtherSize { expected, found: total }),
        _ if total > ask.most => Err(DownloadError::TooLarge { said: total, most: ask.most }),
        _ => Ok(()),
    }
}

/// There is room for so many bytes more, and for the copy that follows.
pub fn room(ask: &Ask<'_>, missing: u64) -> Result<(), DownloadError> {
    let folder = ask.part.parent().unwrap_or(Path::new("."));
    let Ok(found) = rustix::fs::statvfs(folder) else { return Ok(()) };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let needed = missing.saturating_add(ask.beside).saturating_add(DISK_MARGIN);
    if free < needed { Err(DownloadError::NoRoom { needed, free }) } else { Ok(()) }
}

async fn take(
    ask: &Ask<'_>,
    response: &mut Response,
    limits: &Limits,
    part: &mut Part,
    total: Option<u64>,
    on: &mut (dyn FnMut(Received) + Send),
    stop: &mut Stop,
) -> Result<(), DownloadError> {
    on(Received { done: part.length(), total });
    loop {
        let chunk = tokio::select! {
            chunk = response.chunk() => chunk.map_err(|e| cut(e, limits))?,
            () = stop.stopped() => return Err(DownloadError::Stopped),
        };
        let Some(chunk) = chunk else { break };
        let length = part.length() + chunk.len() as u64;
        let most = total.unwrap_or(ask.most);
        if length > most {
            return Err(DownloadError::TooLarge { said: length, most });
        }
        part.write(&chunk)?;
        on(Received { done: length, total });
    }
    let whole = total.or(ask.size).unwrap_or(part.length());
    if part.length() < whole {
        return Err(DownloadError::Broken(format!("{whole}바이트 가운데 {}바이트가 왔습니다", part.length())));
    }
    bounded(ask, part.length())
}

/// `bytes 5-9/10` as (5, 10).
fn content_range(text: &str) -> Option<(u64, u64)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (start, end) = range.split_once('-')?;
    let (start, end, total) = (start.parse().ok()?, end.parse::<u64>().ok()?, total.parse().ok()?);
    (start <= end && end.checked_add(1) == Some(total)).then_some((start, total))
}

/// The beginnings of a client: pinned to the addresses that were checked, verified TLS, HTTP/1.1, no redirect, no
/// proxy, no retry, no connection kept.
#[allow(clippy::disallowed_types)] // This is the door for files: nothing else makes a client for the outside.
fn pinned(host: &str, addresses: &[SocketAddr], connect: Duration) -> reqwest::ClientBuilder {
    // Fails only when a provider is installed already, which serves as well.
    let _installed_before = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .resolve_to_addrs(host, addresses)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .http1_only()
        .pool_max_idle_per_host(0)
        .connect_timeout(connect)
}

/// The error with its causes: the outermost alone says only that a request failed.
fn reason(e: reqwest::Error) -> String {
    let e = e.without_url();
    let mut text = e.to_string();
    let mut source = std::error::Error::source(&e);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::content_range;

    #[test]
    fn a_content_range_goes_to_the_end() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, 10)));
        for bad in [
            "",
            "bytes 5-8/10",
            "bytes */10",
            "bytes 5-9/*",
            "bytes 9-5/10",
            "5-9/10",
            "bytes 5-18446744073709551615/1",
        ] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }
}
