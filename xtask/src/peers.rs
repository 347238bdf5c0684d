//! `xtask peers`: llama-cpp-python from the Python package registry that this machine is set up with. Its sources hold
//! real tokenizers and chat templates, which tests read in place; built, it is the peer of the benchmark.

use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGE: &str = "llama-cpp-python";
/// Native instructions, no tools and no network library: what a careful user of the peer would build.
const CMAKE_ARGS: &str = "-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_CURL=OFF";

#[derive(clap::Args)]
pub struct Args {
    /// Also build it, with native instructions, into `target/peers/venv` (about 20 minutes on two cores).
    #[arg(long)]
    build: bool,
    /// This version instead of the newest.
    #[arg(long)]
    version: Option<String>,
    /// Python to make the environment with.
    #[arg(long, default_value = "python3")]
    python: String,
}

/// `target/peers` of the workspace.
pub fn folder() -> PathBuf {
    workspace().join("target/peers")
}

/// The workspace's root.
pub fn workspace() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// The folder of llama.cpp's vocabularies and templates: in the sources that `MADANG_LLAMA_CPP` names, else in those
/// that this command unpacked.
///
/// # Errors
/// When they are not there.
pub fn vocabularies() -> Result<PathBuf> {
    let sources = std::env::var_os("MADANG_LLAMA_CPP").map_or_else(|| folder().join("llama_cpp_python"), PathBuf::from);
    let models = sources.join("vendor/llama.cpp/models");
    ensure!(
        models.is_dir(),
        "{}: no such folder. Run `cargo run --release -p xtask -- peers` first, or set MADANG_LLAMA_CPP.",
        models.display()
    );
    Ok(models)
}

/// Downloads, unpacks and, where asked, builds.
///
/// # Errors
/// Says which step failed and what it needs.
pub fn run(args: &Args) -> Result<()> {
    let folder = folder();
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let python = environment(&args.python, &folder.join("venv"))?;
    let sdist = download(&python, args.version.as_deref(), &folder.join("sdist"))?;
    let sources = unpack(&python, &sdist, &folder)?;
    eprintln!("sources: {}", sources.display());
    if args.build {
        build(&python, &sdist)?;
        eprintln!("built: {}", python.display());
    }
    Ok(())
}

/// A virtual environment with what the package's build needs; downloading needs it too, for the metadata.
fn environment(system: &str, folder: &Path) -> Result<PathBuf> {
    let python = folder.join("bin/python");
    if !python.is_file() {
        step("a Python environment (needs Python 3 with venv)", Command::new(system).args(["-m", "venv"]).arg(folder))?;
    }
    let tools = ["cmake", "ninja", "scikit-build-core", "numpy", "typing-extensions"];
    step(
        "installing build tools (needs a network or a configured package index)",
        Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(tools),
    )?;
    Ok(python)
}

fn download(python: &Path, version: Option<&str>, folder: &Path) -> Result<PathBuf> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let wanted = version.map_or_else(|| PACKAGE.to_owned(), |version| format!("{PACKAGE}=={version}"));
    step(
        "downloading the sources (needs a network or a configured package index)",
        with_tools(python)?
            .args(["-m", "pip", "download", "--no-deps", "--no-build-isolation", "--no-binary", PACKAGE])
            .arg(wanted)
            .arg("-d")
            .arg(folder),
    )?;
    let files = std::fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path()));
    let mut archives = files.filter(|path| path.to_string_lossy().ends_with(".tar.gz"));
    archives.next().with_context(|| format!("{}: no .tar.gz was downloaded", folder.display()))
}

/// Unpacks into `llama_cpp_python`, in place of an older one.
fn unpack(python: &Path, sdist: &Path, folder: &Path) -> Result<PathBuf> {
    let fresh = folder.join("unpacking");
    if fresh.exists() {
        std::fs::remove_dir_all(&fresh)?;
    }
    step("unpacking", Command::new(python).args(["-m", "tarfile", "-e"]).arg(sdist).arg(&fresh))?;
    let inner = std::fs::read_dir(&fresh)?.filter_map(|entry| Some(entry.ok()?.path())).find(|path| path.is_dir());
    let Some(inner) = inner else { bail!("{}: no folder inside", sdist.display()) };
    let target = folder.join("llama_cpp_python");
    match std::fs::symlink_metadata(&target) {
        Ok(old) if old.is_dir() => std::fs::remove_dir_all(&target)?,
        Ok(_) => std::fs::remove_file(&target)?,
        Err(_) => {}
    }
    std::fs::rename(&inner, &target)?;
    std::fs::remove_dir_all(&fresh)?;
    ensure!(
        target.join("vendor/llama.cpp/models").is_dir(),
        "this version of {PACKAGE} comes without llama.cpp's models"
    );
    Ok(target)
}

fn build(python: &Path, sdist: &Path) -> Result<()> {
    step(
        "building (needs a C++ compiler)",
        with_tools(python)?
            .env("CMAKE_ARGS", CMAKE_ARGS)
            .args(["-m", "pip", "install", "--no-build-isolation", "--force-reinstall", "--no-cache-dir"])
            .arg(sdist),
    )
}

/// Python with the environment's own cmake and ninja first in the path.
fn with_tools(python: &Path) -> Result<Command> {
    let mut command = Command::new(python);
    let own = python.parent().map(Path::to_owned);
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env("PATH", std::env::join_paths(own.into_iter().chain(std::env::split_paths(&path)))?);
    Ok(command)
}

/// Runs one step, its output on the terminal.
fn step(what: &str, command: &mut Command) -> Result<()> {
    eprintln!("{what} ...");
    let status = command.status().with_context(|| format!("{what}: {:?} does not start", command.get_program()))?;
    ensure!(status.success(), "{what}: failed ({status}); see the messages above");
    Ok(())
}
