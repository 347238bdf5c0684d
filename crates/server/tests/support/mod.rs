//! A whole application in a temporary home, with people of two departments and documents that were read and indexed
//! for real; requests go straight into the router.

#![allow(dead_code)] // each test file uses its own part

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use axum::response::Response;
use madang_documents::Limits;
use madang_domain::{CollectionId, DepartmentId, DocumentId, Grade, PersonId, Role};
use madang_inference::TextEngine;
use madang_search::IndexedPassage;
use madang_server::{App, Settings, http};
use madang_store::Clock;
use madang_store::auth::Identity;
use madang_store::collection_changes::NewCollection;
use madang_store::documents::NewDocument;
use madang_store::ingest::ReadDocument;
use madang_store::people::NewPerson;
use serde_json::Value;
use std::sync::Arc;
use tempfile::TempDir;

/// An application and its home, removed when dropped.
pub struct House {
    pub app: App,
    pub router: Router,
    pub admin: Person,
    home: TempDir,
}

/// A signed-in person.
pub struct Person {
    pub id: PersonId,
    pub identity: Identity,
    cookie: String,
}

/// What came back.
pub struct Reply {
    pub status: StatusCode,
    pub headers: axum::http::HeaderMap,
    pub bytes: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("no JSON: {} {}", self.status, self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

impl House {
    pub async fn open(engine: Arc<dyn TextEngine>) -> Self {
        let home = tempfile::tempdir().expect("a temporary home");
        let settings = Settings::for_home(home.path().join("home"));
        let app = App::open_with_engine(settings, Clock::System, engine).await.expect("a fresh home opens");
        let person = new_person("admin", vec![]);
        let id = app.store.create_first_admin("정보통신과", "운영 담당", person).await.expect("first admin");
        let admin = sign_in(&app, id).await;
        Self { router: http::router(app.clone()), app, admin, home }
    }

    /// Opens the same home again, as after a restart.
    pub async fn reopen(self, engine: Arc<dyn TextEngine>) -> (App, TempDir) {
        let Self { app, router, home, .. } = self;
        let settings = app.settings.clone();
        app.store.close().await;
        drop(router);
        drop(app);
        (App::open_with_engine(settings, Clock::System, engine).await.expect("the home opens again"), home)
    }

    pub async fn department(&self, name: &str) -> DepartmentId {
        self.app.store.create_department(&self.admin.identity.scope, name, None).await.expect("department")
    }

    pub async fn person(&self, login: &str, department: DepartmentId, roles: &[Role]) -> Person {
        let scope = &self.admin.identity.scope;
        let post = self.app.store.create_post(scope, department, &format!("{login} 담당"), roles).await.expect("post");
        let id = self.app.store.create_person(scope, new_person(login, vec![post])).await.expect("person");
        sign_in(&self.app, id).await
    }

    /// A collection of the owner's department with documents read by the real readers.
    pub async fn collection(&self, owner: &Person, name: &str, grade: Grade, files: &[(&str, &[u8])]) -> CollectionId {
        let scope = &owner.identity.scope;
        let new =
            NewCollection { name: name.into(), description: String::new(), department: scope.home_department(), grade };
        let id = self.app.store.create_collection(scope, new).await.expect("collection");
        for (file, bytes) in files {
            self.document(owner, id, file, bytes).await;
        }
        id
    }

    pub async fn document(&self, owner: &Person, collection: CollectionId, file: &str, bytes: &[u8]) -> DocumentId {
        let store = &self.app.store;
        let title = file.rsplit_once('.').map_or(file, |(stem, _)| stem).to_owned();
        let new = NewDocument {
            title: title.clone(),
            file_name: file.to_owned(),
            format: String::new(),
            original: format!("{:064x}", DocumentId::new().0.as_u128()),
            bytes: bytes.len() as i64,
            replaces: None,
        };
        let id = store.add_document(&owner.identity.scope, collection, new).await.expect("document").id;
        store.claim_document(id).await.expect("claim").expect("waits");
        let read = madang_documents::read(bytes, file, &Limits::default()).expect("readable");
        let kept = ReadDocument {
            format: "text".into(),
            text: read.text,
            pages: None,
            pages_estimated: false,
            warnings: read.warnings,
            passages: read.passages.clone(),
        };
        let ids = store.store_read_document(id, &kept).await.expect("stored").expect("not cancelled");
        let passages: Vec<_> = ids
            .into_iter()
            .zip(read.passages)
            .map(|(passage, draft)| IndexedPassage {
                id: passage,
                collection,
                document: id,
                title: title.clone(),
                heading_path: draft.heading_path,
                text: draft.text,
            })
            .collect();
        let grade = store.document_grade(id).await.expect("grade").expect("a document");
        self.app.index.upsert(grade, &passages).expect("indexed");
        store.make_ready(id).await.expect("ready").expect("not cancelled");
        id
    }

    pub async fn request(&self, person: &Person, method: Method, path: &str, body: Option<Value>) -> Reply {
        let response = self.open_request(person, method, path, body, "application/json").await;
        read(response).await
    }

    pub async fn get(&self, person: &Person, path: &str) -> Reply {
        self.request(person, Method::GET, path, None).await
    }

    pub async fn post(&self, person: &Person, path: &str, body: Value) -> Reply {
        self.request(person, Method::POST, path, Some(body)).await
    }

    /// The response before its body was read: for streams.
    pub async fn open_request(
        &self,
        person: &Person,
        method: Method,
        path: &str,
        body: Option<Value>,
        accept: &str,
    ) -> Response {
        use tower::ServiceExt;
        let csrf = person.identity.session.as_ref().map(|(_, csrf)| csrf.clone()).unwrap_or_default();
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::COOKIE, &person.cookie)
            .header("x-csrf-token", csrf)
            .header(header::ACCEPT, accept);
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map_or_else(Body::empty, |b| Body::from(b.to_string()));
        self.router.clone().oneshot(request.body(body).expect("a request")).await.expect("infallible")
    }
}

/// Status, headers and the whole body.
pub async fn read(response: Response) -> Reply {
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, 64 << 20).await.expect("a body").to_vec();
    Reply { status: parts.status, headers: parts.headers, bytes }
}

fn new_person(login: &str, posts: Vec<madang_domain::PostId>) -> NewPerson {
    NewPerson { login: login.into(), name: format!("{login} 이름"), password_hash: "unused".into(), posts }
}

async fn sign_in(app: &App, id: PersonId) -> Person {
    let secret = app.store.open_session(id, "127.0.0.1", "test").await.expect("session");
    let identity = app.store.authenticate_session(&secret).await.expect("authenticates").expect("is known");
    Person { id, identity, cookie: format!("{}={secret}", app.cookie_name()) }
}
