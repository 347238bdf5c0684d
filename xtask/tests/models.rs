//! `madang models` as people type it: the real binary, beside this package's own in the target folder (or where
//! `MADANG_BIN` points), on tiny models of random weights. Skipped aloud where it is not built.

mod common;

use common::model;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

struct Cli {
    binary: PathBuf,
    home: TempDir,
}

impl Cli {
    fn new() -> Option<Self> {
        let beside = Path::new(env!("CARGO_BIN_EXE_xtask")).with_file_name("madang");
        let binary = std::env::var_os("MADANG_BIN").map_or(beside, PathBuf::from);
        if !binary.is_file() {
            eprintln!("skipped: {} is not built", binary.display());
            return None;
        }
        Some(Self { binary, home: tempfile::tempdir().expect("a folder") })
    }

    fn models(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.binary);
        command.arg("models").args(arguments).env("MADANG_HOME", self.home.path());
        command.output().expect("it runs")
    }

    /// Its standard output, after it succeeded.
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.models(arguments);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {out}{err}");
        out
    }

    /// Its standard error, after it failed with this exit code.
    fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.models(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stderr)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("one JSON document")
}

#[test]
fn a_model_is_carried_in_used_and_removed() {
    let Some(cli) = Cli::new() else { return };
    let file = model("qwen3", "q8_0");
    let file = file.to_str().expect("a path");
    assert!(cli.ok(&["list"]).contains("Qwen3 4B"), "the known ones are shown on an empty shelf");
    let said = cli.ok(&["add", file, "--name", "tiny"]);
    let list = json(&cli.ok(&["list", "--json"]));
    let sha256 = list["installed"][0]["sha256"].as_str().expect("a hash");
    assert!(said.contains(sha256) && said.contains("madang models use chat tiny"), "{said}");
    cli.ok(&["use", "chat", "tiny"]);
    assert!(cli.ok(&["list"]).contains("[chat]"));
    assert!(cli.ok(&["verify"]).contains(sha256));
    assert!(cli.fails(1, &["add", file, "--name", "again"]).contains("tiny"));
    assert!(cli.fails(1, &["remove", "tiny"]).contains("--force"));
    cli.fails(2, &["use", "singer", "tiny"]);

    let inside = cli.home.path().join("models/tiny/model.gguf");
    let mut bytes = std::fs::read(&inside).expect("reads");
    *bytes.last_mut().expect("not empty") ^= 1;
    std::fs::write(&inside, bytes).expect("writes");
    let output = cli.models(&["verify", "tiny"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("다름"));
    cli.ok(&["remove", "tiny", "--force"]);
    assert_eq!(json(&cli.ok(&["list", "--json"]))["installed"], Value::Array(Vec::new()));
}

#[test]
fn a_wrong_hash_keeps_a_model_out() {
    let Some(cli) = Cli::new() else { return };
    let file = model("llama", "q8_0");
    let wrong = "0".repeat(64);
    let said = cli.fails(1, &["add", file.to_str().expect("a path"), "--sha256", &wrong]);
    assert!(said.contains(&wrong), "{said}");
    assert!(!cli.home.path().join("models/installed.toml").exists());
}

#[test]
fn it_answers_by_name_and_by_file() {
    let Some(cli) = Cli::new() else { return };
    let file = model("qwen3", "q8_0");
    let file = file.to_str().expect("a path");
    cli.ok(&["add", file, "--name", "tiny"]);
    let ask = |model: &str, more: &[&str]| {
        let plain = ["run", model, "--raw", "--prompt", "마당은", "--max-tokens", "12"];
        cli.ok(&[plain.as_slice(), more].concat())
    };
    let answer = json(&ask(file, &["--json"]));
    let usage = &answer["usage"];
    assert!(usage["prompt_tokens"].as_u64() > Some(0), "{answer}");
    assert!(usage["completion_tokens"].as_u64() <= Some(12), "{answer}");
    assert!(answer["timings"]["first_token_seconds"].as_f64() > Some(0.0), "{answer}");
    assert_eq!(ask("tiny", &[]).trim_end_matches('\n'), answer["text"].as_str().expect("text").trim_end_matches('\n'));
    let warm = ["--temperature", "1.5", "--seed", "7"];
    assert_eq!(ask("tiny", &warm), ask("tiny", &warm), "the same seed gives the same text");

    let schema = cli.home.path().join("schema.json");
    std::fs::write(
        &schema,
        r#"{"type":"object","properties":{"yes":{"type":"boolean"}},"required":["yes"],"additionalProperties":false}"#,
    )
    .expect("writes");
    let schema = schema.to_str().expect("a path");
    let bound = ["run", "tiny", "--raw", "--prompt", "q", "--max-tokens", "400", "--json-schema", schema];
    assert!(json(&cli.ok(&bound))["yes"].is_boolean());
    assert!(cli.fails(1, &["run", "absent", "--prompt", "q"]).contains("absent"));
}

#[test]
fn it_measures() {
    let Some(cli) = Cli::new() else { return };
    let file = model("qwen3", "q8_0");
    let file = file.to_str().expect("a path");
    let short = ["bench", file, "--prompt", "32", "--generate", "4", "--parallel", "1,2", "--threads", "1"];
    let report = json(&cli.ok(&[short.as_slice(), &["--json"]].concat()));
    assert_eq!(report["prefill"][0]["tokens"], 32);
    assert_eq!(report["parallel"].as_array().map(Vec::len), Some(2));
    assert!(report["decode"][0]["per_second"].as_f64() > Some(0.0));
    assert!(cli.ok(&short).contains("write x2"));
    cli.fails(2, &["bench", file, "--parallel", "0"]);
}

#[test]
fn it_fetches_nothing_and_says_how_to_carry_a_model_in() {
    let Some(cli) = Cli::new() else { return };
    let output = cli.models(&["pull", "qwen3-4b-q4_k_m"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("Qwen3-4B-Q4_K_M.gguf") && said.contains("models add") && said.contains("--sha256"),
        "{said}"
    );
    assert!(cli.fails(1, &["pull", "absent"]).contains("absent"));
}
