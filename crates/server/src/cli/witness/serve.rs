//! `madang witness serve`: the witness's protocol over HTTP (C2SP tlog-witness). Plain HTTP, as what is carried is signed
//! and public within the body; who may ask is a matter of the network.

use super::folder::Folder;
use super::now;
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use madang_ledger::witness::{AddCheckpoint, SIZE_CONTENT_TYPE, Witness, WitnessError};
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;

/// Largest request, bytes.
const MAX_REQUEST: usize = 512 * 1024;

#[derive(clap::Args)]
pub struct Serve {
    dir: PathBuf,
    /// Address to serve.
    #[arg(long, default_value = "127.0.0.1:7979")]
    addr: SocketAddr,
}

impl Serve {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let witness = Arc::new(Mutex::new(Folder::at(&self.dir).open()?));
        let router = Router::new()
            .route("/add-checkpoint", post(add_checkpoint))
            .layer(DefaultBodyLimit::max(MAX_REQUEST))
            .with_state(witness);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let listener = TcpListener::bind(self.addr).await?;
            writeln!(std::io::stdout(), "http://{}/add-checkpoint", listener.local_addr()?)?;
            axum::serve(listener, router).await?;
            Ok(ExitCode::SUCCESS)
        })
    }
}

async fn add_checkpoint(State(witness): State<Arc<Mutex<Witness>>>, body: String) -> Response {
    // Signing writes and synchronises a file.
    let signed = tokio::task::spawn_blocking(move || {
        let request: AddCheckpoint = body.parse()?;
        witness.lock().unwrap_or_else(PoisonError::into_inner).add_checkpoint(&request, now())
    });
    match signed.await {
        Ok(Ok(line)) => format!("{line}\n").into_response(),
        Ok(Err(error)) => refused(&error),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn refused(error: &WitnessError) -> Response {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = if status == StatusCode::CONFLICT { SIZE_CONTENT_TYPE } else { "text/plain; charset=utf-8" };
    (status, [(header::CONTENT_TYPE, kind)], error.body()).into_response()
}
