//! `madang models`: which models there are and which of them this installation holds; brings in files that were carried
//! here or fetches them where that is allowed, gives them their role, checks, tries and measures them. Exit codes: 0 done; 1 failed, or a file is not what it
//! was; 2 wrong use.

mod bench;
mod carry;
mod hosts;
mod list;
mod pull;
mod run;

pub(super) use hosts::local_user;

use super::Home;
use anyhow::{Context, bail};
use madang_inference::catalogue::{AddOptions, Added, ModelKind, Progress, Shelf, human};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

#[derive(clap::Subcommand)]
pub enum Models {
    /// Show installed models with their roles, and known ones with what each is good for.
    List(list::List),
    /// Copy a GGUF file or a model folder in: checked, tried once, and pinned by its SHA-256.
    Add(Add),
    /// Give a role (chat, embedding, reranker) to an installed model.
    Use(Use),
    /// Delete an installed model.
    Remove(Remove),
    /// Read installed files again and compare them with what came in.
    Verify(Verify),
    /// Let a model answer once.
    Run(run::Run),
    /// Measure how fast a model is on this machine.
    Bench(bench::Bench),
    /// Fetch a known model from an allowed host and add it; without a network, say how to carry it in.
    Pull(pull::Pull),
    /// Allow models to be fetched from a host, or list the allowed ones. None is allowed at first.
    AllowHost(hosts::AllowHost),
}

#[derive(clap::Args)]
pub struct Add {
    #[command(flatten)]
    home: Home,
    /// A GGUF file, or a folder with config.json, tokenizer.json and safetensors.
    file: PathBuf,
    /// Name on the shelf; by default the catalogue's, else made from the file's name.
    #[arg(long)]
    name: Option<String>,
    /// Expected SHA-256 of the GGUF file, or of the folder's model.safetensors.
    #[arg(long)]
    sha256: Option<String>,
    /// What it does, where the files tell it wrongly: chat, embedding, reranker.
    #[arg(long)]
    kind: Option<ModelKind>,
}

#[derive(clap::Args)]
pub struct Use {
    #[command(flatten)]
    home: Home,
    /// chat, embedding or reranker.
    role: ModelKind,
    name: String,
}

#[derive(clap::Args)]
pub struct Remove {
    #[command(flatten)]
    home: Home,
    name: String,
    /// Also when it has a role, which nobody has afterwards.
    #[arg(long)]
    force: bool,
}

#[derive(clap::Args)]
pub struct Verify {
    #[command(flatten)]
    home: Home,
    /// All installed models without it.
    name: Option<String>,
}

impl Models {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Models::List(list) => list.run(),
            Models::Add(add) => add.run().await,
            Models::Use(give) => give.run(),
            Models::Remove(remove) => remove.run(),
            Models::Verify(verify) => verify.run(),
            Models::Run(run) => run.run().await,
            Models::Bench(bench) => bench.run(),
            Models::Pull(pull) => pull.run().await,
            Models::AllowHost(allow) => allow.run().await,
        }
    }
}

fn open(home: &Home) -> anyhow::Result<Shelf> {
    Ok(Shelf::open(&home.home)?)
}

/// What to load for the name of an installed model, or for a path.
fn resolve(home: &Home, what: &str) -> anyhow::Result<PathBuf> {
    let shelf = open(home)?;
    if shelf.find(what).is_some() {
        return Ok(shelf.path(what)?);
    }
    let path = PathBuf::from(what);
    if path.exists() {
        return Ok(path);
    }
    bail!("‘{what}’은(는) 들여놓은 모델의 이름도 파일도 아닙니다. madang models list로 이름을 확인해 주세요.")
}

impl Add {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let mut shelf = open(&self.home)?;
        let options =
            AddOptions { name: self.name, sha256: self.sha256, kind: self.kind, label: None, ..AddOptions::default() };
        let cancelled = Arc::clone(&options.cancelled);
        tokio::spawn(async move {
            // Half a copy is taken away before the process ends.
            if tokio::signal::ctrl_c().await.is_ok() {
                cancelled.store(true, Ordering::Relaxed);
            }
        });
        let file = self.file;
        let added = tokio::task::spawn_blocking(move || shelf.add(&file, &options, &mut Meter::default().hears()));
        report(&added.await.context("모델을 들여놓다 멈췄습니다")??)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Progress on standard error: in place on a terminal, a line for every tenth elsewhere.
#[derive(Default)]
struct Meter {
    shown: Option<u64>,
}

impl Meter {
    fn hears(mut self) -> impl FnMut(Progress) {
        move |progress| self.show(progress)
    }

    fn show(&mut self, progress: Progress) {
        let mut out = std::io::stderr().lock();
        let terminal = out.is_terminal();
        // What cannot be shown does not stop the work.
        let _ = match progress {
            Progress::Copying { done, total } => {
                let percent = done.saturating_mul(100) / total.max(1);
                let step = if terminal { percent } else { percent / 10 };
                if self.shown.replace(step) == Some(step) {
                    return;
                }
                let (start, end) = if terminal { ("\r", "") } else { ("", "\n") };
                write!(out, "{start}복사와 검사 {percent:3}% ({} / {}){end}", human(done), human(total))
            }
            Progress::Trying => writeln!(out, "{}모델을 열어 시험합니다…", if terminal { "\n" } else { "" }),
        };
        let _ = out.flush();
    }
}

fn report(added: &Added) -> anyhow::Result<()> {
    let (model, probe) = (&added.model, &added.probe);
    let mut out = std::io::stdout().lock();
    writeln!(out, "들여놓음  {}  {} ({})", model.name, model.label, model.kind.label())?;
    let checked = if added.checked { "출처의 값과 같음" } else { "지금 계산해 고정함" };
    writeln!(out, "sha256    {}  ({checked})", model.sha256)?;
    writeln!(out, "라이선스  {}", model.licence)?;
    writeln!(
        out,
        "여는 데   {:.1}초, 첫 결과까지 {:.2}초, 초당 {:.1}",
        probe.load_seconds, probe.first_seconds, probe.per_second
    )?;
    writeln!(out, "메모리    {} (이 프로그램 전체, 모델을 연 뒤)", human(probe.memory))?;
    for warning in &added.warnings {
        writeln!(out, "주의      {warning}")?;
    }
    writeln!(out, "쓰려면    madang models use {} {}", model.kind, model.name)?;
    Ok(())
}

impl Use {
    fn run(self) -> anyhow::Result<ExitCode> {
        open(&self.home)?.use_role(self.role, &self.name)?;
        writeln!(std::io::stdout(), "{}({})을(를) 이제 {}이(가) 맡습니다.", self.role.label(), self.role, self.name)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Remove {
    fn run(self) -> anyhow::Result<ExitCode> {
        open(&self.home)?.remove(&self.name, self.force)?;
        writeln!(std::io::stdout(), "{}을(를) 지웠습니다.", self.name)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Verify {
    fn run(self) -> anyhow::Result<ExitCode> {
        let shelf = open(&self.home)?;
        let names: Vec<String> = match self.name {
            Some(name) => vec![name],
            None => shelf.installed().iter().map(|m| m.name.clone()).collect(),
        };
        let mut out = std::io::stdout().lock();
        let mut sound = true;
        for name in &names {
            match shelf.verify(name) {
                Ok(found) => writeln!(out, "그대로임  {name}  {} ({})", found.sha256, human(found.bytes))?,
                Err(error) => {
                    sound = false;
                    writeln!(out, "다름      {name}  {error}")?;
                }
            }
        }
        if names.is_empty() {
            writeln!(out, "들여놓은 모델이 없습니다.")?;
        }
        Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
