//! Trying a server before it is set: does anything answer there, does it serve the model, does it write?

use super::client::{ClientError, ServerClient};
use super::network::InternalNetworks;
use super::{RemoteLimits, ServerConfig, reply, wire};
use reqwest::{Response, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The list of models comes at once or not at all.
const LIST_WITHIN: Duration = Duration::from_secs(5);
/// One token, on a server that may have much to do.
const WRITE_WITHIN: Duration = Duration::from_secs(30);
/// Largest answer that is read.
const MOST_BYTES: usize = 1 << 20;
/// Names that are told.
const MOST_NAMES: usize = 20;

/// What a server showed of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tried {
    /// Names of the models it serves; empty where it has no such list.
    pub models: Vec<String>,
    /// Milliseconds until it had written something; `None` where no model was named yet, or it had no time.
    pub ms: Option<u64>,
}

/// Why a server is not set. Messages are Korean, for the admin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrialError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("서버에 닿지 못했습니다. {0}")]
    Silent(String),
    #[error("서버가 키를 받지 않습니다. 키를 확인해 주세요.")]
    Key,
    #[error("그 주소에는 OpenAI 방식으로 답하는 서버가 없습니다({0}). 주소가 /v1까지 맞는지 확인해 주세요.")]
    NotOpenAi(u16),
    #[error("서버가 아직 준비되지 않았습니다({0}). 모델을 다 읽은 뒤에 다시 해 주세요.")]
    NotReady(u16),
    #[error("이 서버에 ‘{model}’ 모델이 없습니다. 이 서버의 모델: {served}")]
    NotServed { model: String, served: String },
    #[error("서버가 글쓰기 요청을 받지 않았습니다: {0}")]
    Refused(String),
}

impl TrialError {
    /// The field of the form that is at fault.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Key | Self::Client(ClientError::Key) => "key",
            Self::NotServed { .. } | Self::Refused(_) => "model",
            _ => "url",
        }
    }
}

/// Asks a server for its models and, where `config` names one, for a first token. Sends nothing of anybody's.
///
/// # Errors
/// [`TrialError`]: the first thing that stands in the way.
pub async fn try_server(config: &ServerConfig, networks: &InternalNetworks) -> Result<Tried, TrialError> {
    let (key, authority) = (config.key.as_ref(), config.authority.as_deref());
    let client = ServerClient::new(&config.url, networks, key, authority, RemoteLimits::default().connect)?;
    let models = within(LIST_WITHIN, models(&client)).await?;
    if config.model.is_empty() {
        return Ok(Tried { models, ms: None });
    }
    if !models.is_empty() && !models.contains(&config.model) {
        let served = models.iter().take(MOST_NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
        return Err(TrialError::NotServed { model: config.model.clone(), served });
    }
    let began = Instant::now();
    let wrote = within(WRITE_WITHIN, write(&client, &config.model)).await?;
    let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(Tried { models, ms: wrote.then_some(ms) })
}

async fn within<T>(time: Duration, work: impl Future<Output = Result<T, TrialError>>) -> Result<T, TrialError> {
    let late = || TrialError::Silent(format!("{}초 안에 답이 오지 않았습니다.", time.as_secs()));
    tokio::time::timeout(time, work).await.unwrap_or_else(|_| Err(late()))
}

/// Names of the models; none where the server has no such list.
async fn models(client: &ServerClient) -> Result<Vec<String>, TrialError> {
    let response = send(client.get("models").await?).await?;
    match response.status() {
        StatusCode::OK => {}
        // TGI of old knows no list; whether it writes is seen next.
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => return Ok(Vec::new()),
        other => return Err(refused(other)),
    }
    let list = read(response).await?.ok_or(TrialError::NotOpenAi(200))?;
    let entries = list.get("data").and_then(Value::as_array).ok_or(TrialError::NotOpenAi(200))?;
    Ok(entries.iter().filter_map(|m| m.get("id")?.as_str()).map(str::to_owned).collect())
}

/// Lets the server write one token; `false` where it is too busy for that, which is no fault.
async fn write(client: &ServerClient, model: &str) -> Result<bool, TrialError> {
    let said = json!([{ "role": "user", "content": "안녕하세요" }]);
    let body = json!({ "model": model, "messages": said, "max_tokens": 1 });
    let response = send(client.post("chat/completions", body.to_string().into_bytes()).await?).await?;
    match response.status() {
        StatusCode::OK => {
            let reply = read(response).await?;
            let choices = reply.as_ref().and_then(|r| r.get("choices")).and_then(Value::as_array);
            if choices.is_some_and(|c| !c.is_empty()) { Ok(true) } else { Err(TrialError::NotOpenAi(200)) }
        }
        StatusCode::TOO_MANY_REQUESTS => Ok(false),
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => {
            let why = read(response).await?.map_or_else(String::new, |json| wire::message_of(&json));
            Err(TrialError::Refused(why))
        }
        other => Err(refused(other)),
    }
}

fn refused(status: StatusCode) -> TrialError {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => TrialError::Key,
        other if other.is_server_error() => TrialError::NotReady(other.as_u16()),
        other => TrialError::NotOpenAi(other.as_u16()),
    }
}

async fn send(request: reqwest::RequestBuilder) -> Result<Response, TrialError> {
    request.send().await.map_err(|e| TrialError::Silent(reply::reason(e)))
}

/// The answer as JSON; `None` for anything else.
async fn read(mut response: Response) -> Result<Option<Value>, TrialError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| TrialError::Silent(reply::reason(e)))? {
        body.extend_from_slice(&chunk);
        if body.len() > MOST_BYTES {
            return Ok(None);
        }
    }
    Ok(serde_json::from_slice(&body).ok())
}
