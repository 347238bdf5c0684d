//! Model servers inside the network, for the admin: which there are and how they do, adding one that was tried, removing
//! one, and the networks that they may stand in. A key goes in and never comes out.

use super::body::Body;
use super::models::refused;
use crate::app::App;
use crate::auth::Admin;
use crate::blocking;
use crate::error::{Failure, Handled};
use crate::shelf::take_up_servers;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use madang_inference::catalogue::{NewServer, Shelf, ShelfError};
use madang_inference::remote::{InternalNetworks, ServerStatus, Tried, try_server};
use madang_store::ledger::Event;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Requests that a server takes at once where nobody says otherwise.
const CAPACITY: usize = 8;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, add))
        .routes(routes!(attempt))
        .routes(routes!(remove))
        .routes(routes!(set_networks))
}

/// A server as it is set, and how it does.
#[derive(Serialize, ToSchema)]
pub struct Server {
    pub name: String,
    /// Base of its OpenAI routes.
    pub url: String,
    /// What it calls the model.
    pub model: String,
    /// Most requests at once.
    pub capacity: usize,
    /// Share of the load beside the other servers.
    pub weight: u32,
    pub has_key: bool,
    /// Absent where what is set cannot be used.
    #[schema(value_type = Option<Object>)]
    pub status: Option<ServerStatus>,
}

/// All servers, the networks they may stand in, and requests that wait for a server.
#[derive(Serialize, ToSchema)]
pub struct Servers {
    pub networks: Vec<String>,
    pub waiting: usize,
    pub servers: Vec<Server>,
}

/// The servers as they are set, with what is known of each.
pub fn servers(app: &App) -> Servers {
    let status = app.engines.servers();
    let waiting = status.as_ref().map_or(0, |s| s.waiting);
    let mut known: Vec<ServerStatus> = status.map_or_else(Vec::new, |s| s.servers);
    let shelf = app.shelf.lock();
    let servers = shelf.servers().iter().map(|s| {
        // In the order of the list, so that two of one name keep each its own.
        let at = known.iter().position(|k| k.name == s.name);
        Server {
            name: s.name.clone(),
            url: s.url.clone(),
            model: s.model.clone(),
            capacity: s.capacity,
            weight: s.weight,
            has_key: s.key_file.is_some(),
            status: at.map(|at| known.remove(at)),
        }
    });
    Servers { networks: shelf.internal_networks().to_vec(), waiting, servers: servers.collect() }
}

/// The model servers inside the network and the networks they may stand in.
#[utoipa::path(get, path = "/api/v1/models/servers", tag = "models", responses((status = 200, body = Servers), (status = 403)))]
async fn list(State(app): State<App>, Admin(_): Admin) -> Handled<Json<Servers>> {
    Ok(Json(servers(&app)))
}

#[derive(Deserialize, ToSchema)]
struct ServerForm {
    /// For screens; the address where empty.
    #[serde(default)]
    name: String,
    /// Base of the OpenAI routes: `http://10.1.2.3:8000/v1`.
    url: String,
    /// What the server calls the model.
    #[serde(default)]
    model: String,
    /// Where the server asks for one.
    #[serde(default)]
    key: String,
    /// Most requests at once.
    capacity: Option<usize>,
}

impl ServerForm {
    fn new_server(self) -> NewServer {
        let (url, key) = (self.url.trim().to_owned(), self.key.trim().to_owned());
        let host = || {
            let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
            rest.split('/').next().unwrap_or(rest).to_owned()
        };
        let name = self.name.trim();
        NewServer {
            name: if name.is_empty() { host() } else { name.to_owned() },
            model: self.model.trim().to_owned(),
            capacity: self.capacity.unwrap_or(CAPACITY),
            key: (!key.is_empty()).then(|| key.into()),
            url,
        }
    }
}

/// Asks a server for its models and, where one is named, for a first token; sets nothing.
#[utoipa::path(post, path = "/api/v1/models/servers/try", tag = "models", request_body = ServerForm, responses((status = 200, body = Object), (status = 403), (status = 422)))]
async fn attempt(State(app): State<App>, Admin(_): Admin, Body(body): Body<ServerForm>) -> Handled<Json<Tried>> {
    Ok(Json(tried(&app, &body.new_server()).await?))
}

async fn tried(app: &App, new: &NewServer) -> Handled<Tried> {
    let networks = InternalNetworks::parse(app.shelf.lock().internal_networks());
    let networks = networks.map_err(|e| Failure::invalid("url", e.to_string()))?;
    try_server(&new.config(), &networks).await.map_err(|e| Failure::invalid(e.field(), e.to_string()))
}

#[derive(Serialize, ToSchema)]
struct Added {
    name: String,
}

/// Adds a server that answers and serves the model; it takes its share of the work from now on.
#[utoipa::path(post, path = "/api/v1/models/servers", tag = "models", request_body = ServerForm, responses((status = 201, body = Added), (status = 403), (status = 422)))]
async fn add(
    State(app): State<App>,
    Admin(reader): Admin,
    Body(body): Body<ServerForm>,
) -> Handled<(StatusCode, Json<Added>)> {
    let new = body.new_server();
    if new.model.is_empty() {
        return Err(Failure::invalid("model", "서버가 부르는 모델 이름을 적어 주세요."));
    }
    tried(&app, &new).await?;
    let added = change(&app, move |shelf| shelf.add_server(new)).await?;
    let detail =
        json!({ "name": added.name, "url": added.url, "model": added.model, "has_key": added.key_file.is_some() });
    app.store.record(Event::new("model_server_added", Some(reader.scope().person()), detail)).await?;
    take_up_servers(&app).await;
    Ok((StatusCode::CREATED, Json(Added { name: added.name })))
}

/// Takes a server out of the list; replies under way come to their end.
#[utoipa::path(delete, path = "/api/v1/models/servers/{name}", tag = "models", params(("name" = String, Path)), responses((status = 204), (status = 403), (status = 404)))]
async fn remove(State(app): State<App>, Admin(reader): Admin, Path(name): Path<String>) -> Handled<StatusCode> {
    let gone = change(&app, move |shelf| shelf.remove_server(&name)).await?;
    let detail = json!({ "name": gone.name, "url": gone.url, "model": gone.model });
    app.store.record(Event::new("model_server_removed", Some(reader.scope().person()), detail)).await?;
    take_up_servers(&app).await;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, ToSchema)]
struct Networks {
    /// CIDR, or single addresses.
    networks: Vec<String>,
}

/// Sets the networks that model servers may stand in.
#[utoipa::path(put, path = "/api/v1/models/networks", tag = "models", request_body = Networks, responses((status = 204), (status = 403), (status = 422)))]
async fn set_networks(State(app): State<App>, Admin(reader): Admin, Body(body): Body<Networks>) -> Handled<StatusCode> {
    let change = change(&app, move |shelf| {
        let before = shelf.set_networks(body.networks)?;
        Ok((before, shelf.internal_networks().to_vec()))
    });
    let (from, to) = change.await.map_err(|f| Failure { field: Some("networks".to_owned()), ..f })?;
    let detail = json!({ "from": from, "to": to });
    app.store.record(Event::new("internal_networks_changed", Some(reader.scope().person()), detail)).await?;
    take_up_servers(&app).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Changes the shelf off the async threads: another program may hold its lock.
async fn change<T: Send + 'static>(
    app: &App,
    change: impl FnOnce(&mut Shelf) -> Result<T, ShelfError> + Send + 'static,
) -> Handled<T> {
    let app = app.clone();
    let changed = blocking::run(move || change(&mut app.shelf.lock())).await.map_err(Failure::internal)?;
    changed.map_err(refused)
}
