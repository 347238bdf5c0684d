//! `madang serve`: opens the home folder, prints the address and, on a fresh start, the one-time set-up link; stops
//! cleanly on INT and TERM.

use super::Home;
use crate::app::App;
use crate::desk::metadata::Form;
use crate::desk::{erasing, siem};
use crate::engines::ModelFile;
use crate::settings::{Settings, Siem};
use crate::watch::Share;
use crate::{deadlines, demo, http, ingest, meaning, shelf, signing, watch};
use anyhow::Context;
use madang_gateway::syslog::{Receiver, Sender, Target};
use madang_store::Clock;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[derive(clap::Args)]
pub struct Serve {
    #[command(flatten)]
    home: Home,
    /// Address to serve.
    #[arg(long, env = "MADANG_ADDR", default_value = "127.0.0.1:7878")]
    addr: SocketAddr,
    /// Address that people type, such as https://madang.city.local; with https cookies are Secure.
    #[arg(long, env = "MADANG_PUBLIC_URL")]
    public_url: Option<String>,
    /// Fill an empty home with a small invented city and print who can sign in.
    #[arg(long)]
    demo: bool,
    /// A model to answer with: a GGUF file, or a folder with safetensors. Without one the quoting engine answers.
    #[arg(long, env = "MADANG_MODEL")]
    model: Option<PathBuf>,
    /// Open 배포용 HWP, which their authors sealed against copying. You answer for the right to do so.
    #[arg(long, env = "MADANG_OPEN_SEALED")]
    open_sealed: bool,
    /// A department's share on the disk, as NAME=/PATH, below which its collections may follow folders; may be repeated.
    #[arg(long = "share", env = "MADANG_SHARES", value_name = "NAME=PATH", value_delimiter = ';')]
    shares: Vec<Share>,
    /// Send the metadata of each record to this SIEM (syslog over TLS), as HOST:PORT; never texts, purposes or reasons.
    #[arg(long, env = "MADANG_SIEM", value_name = "HOST:PORT", requires = "siem_ca")]
    siem: Option<Receiver>,
    /// PEM file of the authority that vouches for the SIEM.
    #[arg(long, env = "MADANG_SIEM_CA", value_name = "FILE")]
    siem_ca: Option<PathBuf>,
    /// What the messages look like.
    #[arg(long, env = "MADANG_SIEM_FORMAT", value_enum, default_value_t = Form::Structured)]
    siem_format: Form,
    /// Allow outside providers on a loopback address: for trials on one machine.
    #[arg(long, env = "MADANG_ALLOW_LOOPBACK_PROVIDERS")]
    allow_loopback_providers: bool,
    /// Proxy through which calls to outside providers leave, as http://host:port.
    #[arg(long, env = "MADANG_EGRESS_PROXY", value_name = "URL")]
    egress_proxy: Option<madang_gateway::Proxy>,
}

impl Serve {
    fn settings(&self) -> Settings {
        Settings {
            addr: self.addr,
            database_url: self.home.database_url.clone(),
            public_url: self.public_url.clone(),
            allow_loopback_providers: self.allow_loopback_providers,
            egress_proxy: self.egress_proxy.clone(),
            open_sealed: self.open_sealed,
            shares: self.shares.clone(),
            siem: self.siem(),
            ..Settings::for_home(self.home.home.clone())
        }
    }

    fn siem(&self) -> Option<Siem> {
        let (to, authority) = self.siem.clone().zip(self.siem_ca.clone())?;
        Some(Siem { target: Target { to, authority }, form: self.siem_format })
    }

    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let filter = EnvFilter::try_from_env("MADANG_LOG")
            .unwrap_or_else(|_| EnvFilter::new("warn,madang=info,madang_server=info"));
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
        let settings = self.settings();
        let siem = settings.siem.as_ref().map(link).transpose()?;
        let app = App::open(settings, Clock::System).await?;
        let listener =
            TcpListener::bind(self.addr).await.with_context(|| format!("{} 주소를 열 수 없습니다", self.addr))?;
        let local = listener.local_addr()?;
        let base = self.public_url.clone().unwrap_or_else(|| format!("http://{local}"));
        let mut lines = vec![
            format!("마당 {}  {base}", env!("CARGO_PKG_VERSION")),
            format!("home     {}", self.home.home.display()),
        ];
        if self.demo {
            let people = demo::fill(&app).await?;
            lines.push(format!("demo     {}: 아이디, 비밀번호, 이름 · 직위 · 역할\n{people}", app.body_name().await?));
        }
        if let Some(token) = app.new_setup_token().await? {
            lines.push(format!("set up   {base}/setup/{token}   (한 번만 쓸 수 있습니다)"));
        }
        if let Some(path) = self.model.clone() {
            let loaded = app.engines.load(ModelFile::at(path), false).await?;
            lines.push(format!("model    {} ({:.1}s)", loaded.file.label, loaded.took.as_secs_f64()));
        }
        lines.push("ready".to_owned());
        say(&lines)?;
        serve(app, listener, siem).await?;
        Ok(ExitCode::SUCCESS)
    }
}

fn link(siem: &Siem) -> anyhow::Result<siem::Link> {
    Ok(siem::Link { sender: Sender::new(siem.target.to.clone(), &siem.target.authority)?, form: siem.form })
}

/// Prints what the operator must see, whole and at once.
fn say(lines: &[String]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}")?;
    }
    out.flush()
}

/// Serves until INT or TERM; open streams are told to end.
async fn serve(app: App, listener: TcpListener, siem: Option<siem::Link>) -> anyhow::Result<()> {
    let mut int = signal(SignalKind::interrupt())?;
    let mut term = signal(SignalKind::terminate())?;
    let shutdown = app.shutdown.clone();
    let stop = async move {
        tokio::select! { _ = int.recv() => {}, _ = term.recv() => {} }
        shutdown.cancel();
    };
    let background = ingest::start(&app);
    let models = tokio::spawn(shelf::follow(app.clone()));
    let vectors = tokio::spawn(meaning::follow(app.clone()));
    let folders = tokio::spawn(watch::follow(app.clone()));
    let checkpoints = tokio::spawn(signing::follow(app.clone()));
    tokio::spawn(deadlines::follow(app.clone()));
    let erasing = tokio::spawn(erasing::follow(app.clone()));
    let siem = siem.map(|link| tokio::spawn(siem::follow(app.clone(), link)));
    let service = http::router(app.clone()).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(stop).await?;
    // Runs that were stopped are still being stored.
    app.board.idle().await;
    // Also when the listener ended by itself: work under way is given back.
    app.shutdown.cancel();
    background.ended().await;
    models.await?;
    vectors.await?;
    folders.await?;
    checkpoints.await?;
    erasing.await?;
    if let Some(siem) = siem {
        siem.await?;
    }
    app.signer.sign_if_grown().await;
    app.store.close().await;
    Ok(())
}
