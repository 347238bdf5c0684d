//! One request for a file: a GET without a body, credentials or cookies, to addresses that were checked; what comes is
//! bounded, hashed and kept. Whether it may be made is decided, and recorded, before.

use super::part::Part;
use super::{Ask, DownloadError, Limits, Received, Stop};
use crate::connect::{self, Closing, Proxy};
use crate::destination::Destination;
use crate::tls;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{
    ACCEPT, CONTENT_ENCODING, CONTENT_RANGE, ETAG, HOST, HeaderMap, HeaderName, IF_RANGE, LOCATION, RANGE, USER_AGENT,
};
use hyper::{Request, Response};
use std::net::SocketAddr;
use std::path::Path;

/// The same from every installation: it tells the program and nothing of the body.
const AGENT: &str = concat!("madang/", env!("CARGO_PKG_VERSION"));
/// Disk that stays free beside the file, bytes.
const DISK_MARGIN: u64 = 64 << 20;

/// Where a request goes, and how.
pub struct Way<'a> {
    pub destination: &'a Destination,
    /// Those that were checked and recorded: the connection goes to one of them and to no other.
    pub addresses: &'a [SocketAddr],
    pub proxy: Option<&'a Proxy>,
    /// PEM of the authority that alone is trusted; empty: the machine's.
    pub authority: &'a str,
    pub limits: &'a Limits,
}

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
    way: &Way<'_>,
    part: &mut Part,
    on: &mut (dyn FnMut(Received) + Send),
    stop: &mut Stop,
) -> Result<Step, Failed> {
    let asked = tokio::select! {
        asked = way.ask(part) => asked.map_err(Failed::early),
        () = stop.stopped() => Err(Failed::early(DownloadError::Stopped)),
    };
    let (mut response, _closing) = asked?;
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
    let taken = take(ask, response.body_mut(), way.limits, part, total, on, stop).await;
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

impl Way<'_> {
    /// The head of the reply, and what closes the connection.
    async fn ask(&self, part: &Part) -> Result<(Response<Incoming>, Closing), DownloadError> {
        let not_connected = |e: String| DownloadError::NotConnected(e);
        let settings = tls::Settings { pins: &[], authority: self.authority, identity: "" };
        let tls = tls::config(&settings).map_err(|e| not_connected(e.to_string()))?;
        let opened = connect::open(self.destination, self.addresses, self.proxy, Some(&tls), self.limits.connect);
        let io = opened.await.map_err(not_connected)?;
        let request = self.request(part).map_err(not_connected)?;
        let (mut sender, connection) = http1::handshake(io).await.map_err(|e| not_connected(e.to_string()))?;
        let closing = Closing::driving(connection);
        let sent = tokio::time::timeout(self.limits.stall, sender.send_request(request)).await;
        Ok((sent.map_err(|_| self.limits.stalled())?.map_err(|e| DownloadError::Broken(reason(&e)))?, closing))
    }

    fn request(&self, part: &Part) -> Result<Request<Empty<Bytes>>, String> {
        let url = self.destination.url();
        let target = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        let request = Request::get(target)
            .header(HOST, self.destination.authority())
            .header(ACCEPT, "*/*")
            .header(USER_AGENT, AGENT);
        let request = match part.etag() {
            // A host whose file has changed since answers with the whole.
            Some(tag) => request.header(RANGE, format!("bytes={}-", part.length())).header(IF_RANGE, tag),
            None => request,
        };
        request.body(Empty::new()).map_err(|e| e.to_string())
    }
}

impl Limits {
    fn stalled(&self) -> DownloadError {
        DownloadError::Stalled(self.stall.as_secs())
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn redirect(response: &Response<Incoming>) -> Option<Result<String, DownloadError>> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = text(response.headers(), LOCATION).map(str::to_owned);
    Some(location.ok_or_else(|| DownloadError::Redirect("주소가 없거나 읽을 수 없습니다".to_owned())))
}

/// Checks the head of a reply and brings the partial file to where its bytes begin. Gives the bytes of the whole file.
fn accept(ask: &Ask<'_>, response: &Response<Incoming>, part: &mut Part) -> Result<Option<u64>, DownloadError> {
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
    let total = if whole { response.body().size_hint().exact() } else { Some(rest_of(headers, part)?) };
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
    body: &mut Incoming,
    limits: &Limits,
    part: &mut Part,
    total: Option<u64>,
    on: &mut (dyn FnMut(Received) + Send),
    stop: &mut Stop,
) -> Result<(), DownloadError> {
    on(Received { done: part.length(), total });
    loop {
        let frame = tokio::select! {
            frame = tokio::time::timeout(limits.stall, body.frame()) => frame.map_err(|_| limits.stalled())?,
            () = stop.stopped() => return Err(DownloadError::Stopped),
        };
        let Some(frame) = frame else { break };
        // Trailers say nothing that is asked for.
        let Ok(chunk) = frame.map_err(|e| DownloadError::Broken(reason(&e)))?.into_data() else { continue };
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

/// The error with its causes: the outermost alone says only that a request failed.
fn reason(e: &hyper::Error) -> String {
    let mut text = e.to_string();
    let mut source = std::error::Error::source(e);
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
