//! Rules of the house that a compiler does not keep: file heads and sizes, dictionaries, vendored files, licences,
//! who may depend on whom, and migrations that say the same in both dialects.

use anyhow::{Context, ensure};
use regex::Regex;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;

type Test = anyhow::Result<()>;

const MAX_LINES: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Files below `dir` whose name ends with one of `endings`, as paths from the root, with their text.
fn files(dir: &str, endings: &[&str]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let mut open = vec![root().join(dir)];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
            let path = entry?.path();
            let name = path.strip_prefix(root())?.to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.ends_with("vendor") {
                    open.push(path);
                }
            } else if endings.iter().any(|end| name.ends_with(end)) {
                found.insert(name, std::fs::read_to_string(&path)?);
            }
        }
    }
    ensure!(!found.is_empty(), "nothing to check in {dir}");
    Ok(found)
}

fn none(what: &str, faults: &[String]) -> Test {
    ensure!(faults.is_empty(), "{what}:\n  {}", faults.join("\n  "));
    Ok(())
}

#[test]
fn every_source_file_says_what_lives_there_and_is_short() -> Test {
    let mut sources = files("crates", &[".rs"])?;
    sources.extend(files("tests", &[".rs"])?);
    let unfinished = [concat!("todo", "!("), concat!("unimplemented", "!(")];
    let mut faults = Vec::new();
    for (name, text) in &sources {
        if !text.starts_with("//!") {
            faults.push(format!("{name} does not open with //!"));
        }
        let lines = text.lines().count();
        if lines > MAX_LINES {
            faults.push(format!("{name} has {lines} lines"));
        }
        if unfinished.iter().any(|mark| text.contains(mark)) {
            faults.push(format!("{name} is unfinished"));
        }
    }
    none("source files", &faults)
}

/// The first argument, a string literal, of every call that `call` matches up to its opening quote.
fn literals<'a>(files: &'a BTreeMap<String, String>, call: &str) -> anyhow::Result<Vec<(&'a str, String)>> {
    let pattern = Regex::new(&format!(r#"{call}\(\s*"((?:[^"\\]|\\.)*)""#))?;
    let mut found = Vec::new();
    for (name, text) in files {
        for words in pattern.captures_iter(text) {
            let literal = words.get(1).map_or("", |m| m.as_str());
            found.push((
                name.as_str(),
                serde_json::from_str(&format!("\"{literal}\"")).unwrap_or_else(|_| literal.to_owned()),
            ));
        }
    }
    ensure!(!found.is_empty(), "no call of {call} found");
    Ok(found)
}

#[test]
fn pages_have_all_their_english() -> Test {
    let english: HashMap<String, String> =
        toml::from_str(&std::fs::read_to_string(root().join("web/locales/en.toml"))?)?;
    let mut sources = files("web/templates", &[".html"])?;
    sources.extend(files("crates/server/src", &[".rs"])?);
    sources.remove("crates/server/src/views/lang.rs"); // the translator itself and its tests
    let mut faults = Vec::new();
    for (name, korean) in literals(&sources, r"\b(?:l|lang)\.(?:t|f|f2)")? {
        if !english.contains_key(&korean) {
            faults.push(format!("{name}: {korean:?}"));
        }
    }
    none("without English in web/locales/en.toml", &faults)
}

#[test]
fn scripts_have_all_their_english() -> Test {
    let scripts = files("web/static/js", &[".js"])?;
    let dictionary = scripts.get("web/static/js/locale-en.js").context("no locale-en.js")?;
    let keys = Regex::new(r#"(?m)^\s*"((?:[^"\\]|\\.)*)":"#)?;
    let english: BTreeSet<&str> = keys.captures_iter(dictionary).filter_map(|c| c.get(1)).map(|m| m.as_str()).collect();
    let mut faults = Vec::new();
    for (name, korean) in literals(&scripts, r"\bt")? {
        if !english.contains(korean.as_str()) {
            faults.push(format!("{name}: {korean:?}"));
        }
    }
    none("without English in locale-en.js", &faults)
}

#[test]
fn vendored_files_are_as_they_came() -> Test {
    let vendor = root().join("web/static/vendor");
    let sums = std::fs::read_to_string(vendor.join("SHA256SUMS"))?;
    let mut listed = BTreeSet::new();
    for line in sums.lines() {
        let (sum, name) = line.split_once("  ").with_context(|| line.to_owned())?;
        let bytes = std::fs::read(vendor.join(name)).with_context(|| name.to_owned())?;
        ensure!(hex::encode(Sha256::digest(&bytes)) == sum, "{name} differs from SHA256SUMS");
        listed.insert(name.trim_start_matches("./").to_owned());
    }
    let mut open = vec![vendor.clone()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let name = path.strip_prefix(&vendor)?.to_string_lossy().into_owned();
            ensure!(name == "SHA256SUMS" || listed.contains(&name), "{name} is not in SHA256SUMS");
        }
    }
    Ok(())
}

#[test]
fn nothing_is_loaded_from_elsewhere() -> Test {
    let mut web = files("web/templates", &[".html"])?;
    web.extend(files("web/static", &[".js", ".css", ".svg"])?);
    for name in ["krds/krds_tokens.css", "krds/components.css", "pretendard-gov/pretendard-gov.css"] {
        let path = format!("web/static/vendor/{name}");
        web.insert(path.clone(), std::fs::read_to_string(root().join(&path))?);
    }
    let loads = Regex::new(
        r#"(?i)(?:\b(?:src|href|srcset|action|poster|data)\s*=\s*["']|url\(\s*["']?|@import\s+["']|\bfrom\s+["']|\bimport\s*\(?\s*["']|\bfetch\(\s*["'`]|EventSource\(\s*["'`])(?:https?:)?//"#,
    )?;
    let faults: Vec<_> =
        web.iter().filter_map(|(name, text)| Some(format!("{name}: {}", loads.find(text)?.as_str()))).collect();
    none("loaded from another host", &faults)
}

fn metadata() -> anyhow::Result<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--offline", "--locked", "--format-version", "1"])
        .current_dir(root())
        .output()?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// May be linked into a public body's server without giving its source away. MPL-2.0 reaches as far as its own files.
const LICENCES: [&str; 17] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Unlicense",
    "Zlib",
    "bzip2-1.0.6",
    "Apache-2.0 WITH LLVM-exception",
];

/// Reads `A OR B AND (C OR D)`, AND binding tighter; the old `/` is OR.
fn is_permissive(licence: &str) -> bool {
    let text = licence.replace('/', " OR ");
    let mut flat = text.trim().to_owned();
    // Innermost brackets first, each replaced by the name of its outcome.
    while let Some(close) = flat.find(')') {
        let Some(open) = flat.get(..close).and_then(|head| head.rfind('(')) else { return false };
        let outcome = if is_permissive(flat.get(open + 1..close).unwrap_or_default()) { "MIT" } else { "refused" };
        flat.replace_range(open..=close, outcome);
    }
    flat.split(" OR ").any(|choice| choice.split(" AND ").all(|one| LICENCES.contains(&one.trim())))
}

/// The README's first command names no program: `cargo run` finds out itself.
#[test]
fn one_program_is_what_cargo_run_means() -> Test {
    let metadata = metadata()?;
    let packages = metadata["packages"].as_array().context("packages")?;
    let members = metadata["workspace_members"].as_array().context("members")?;
    let own = packages.iter().filter(|package| members.contains(&package["id"]));
    let meant: Vec<_> = own.filter_map(|package| package["default_run"].as_str()).collect();
    ensure!(meant == ["madang"], "default-run: {meant:?}");
    Ok(())
}

#[test]
fn licences_are_permissive() -> Test {
    assert!(is_permissive("(MIT OR GPL-3.0-only) AND Unicode-3.0") && is_permissive("MIT / Apache-2.0"));
    assert!(!is_permissive("MIT AND GPL-2.0-only") && !is_permissive("AGPL-3.0-only") && !is_permissive(""));
    let metadata = metadata()?;
    let mut faults = Vec::new();
    for package in metadata["packages"].as_array().context("packages")? {
        let licence = package["license"].as_str().unwrap_or_default();
        if !is_permissive(licence) {
            faults.push(format!("{} {}: {licence:?}", package["name"], package["version"]));
        }
    }
    none("licences", &faults)
}

/// Which of our rooms a room may use, as ARCHITECTURE.md draws them. `server` wires all and `tests` try all.
const DOORS: [(&str, &[&str]); 12] = [
    ("domain", &[]),
    ("korean", &[]),
    ("pii", &["domain"]),
    ("ledger", &[]),
    ("policy", &["domain", "ledger", "pii"]),
    ("documents", &["domain"]),
    ("kernels", &[]),
    ("inference", &["domain", "kernels", "korean"]),
    ("search", &["domain", "korean"]),
    ("store", &["domain", "korean", "ledger", "policy"]),
    ("gateway", &["domain", "ledger", "pii", "policy", "store"]),
    ("registry", &["domain", "inference", "korean", "pii", "search", "store"]),
];

/// Libraries that one room alone may know.
const KEPT: [(&str, &[&str]); 8] = [
    ("qdrant-edge", &["search"]),
    ("qdrant-client", &["search"]),
    ("tonic", &["search"]),
    // The tests tamper with the record as whoever has the database's password.
    ("sqlx", &["store", "tests"]),
    ("reqwest", &["inference", "tests"]),
    // The kernels' tests take candle's quantisation as their reference.
    ("candle-core", &["inference", "kernels"]),
    ("candle-nn", &["inference"]),
    ("candle-transformers", &["inference"]),
];

#[test]
fn rooms_use_only_the_doors_of_the_plan() -> Test {
    let metadata = metadata()?;
    let mut faults = Vec::new();
    let mut rooms = 0;
    for package in metadata["packages"].as_array().context("packages")? {
        let Some(room) = package["name"].as_str().and_then(|name| name.strip_prefix("madang-")) else { continue };
        rooms += 1;
        let known = DOORS.iter().find(|(name, _)| *name == room).map(|(_, doors)| *doors);
        if known.is_none() && !["server", "tests"].contains(&room) {
            faults.push(format!("{room} has no line in DOORS"));
        }
        for used in package["dependencies"].as_array().context("dependencies")? {
            let name = used["name"].as_str().unwrap_or_default();
            let shipped = used["kind"].is_null();
            if let (Some(ours), Some(doors)) = (name.strip_prefix("madang-"), known)
                && shipped
                && !doors.contains(&ours)
            {
                faults.push(format!("{room} → {ours}"));
            }
            if KEPT.iter().any(|(kept, by)| *kept == name && !by.contains(&room)) {
                faults.push(format!("{room} → {name}"));
            }
        }
    }
    ensure!(rooms >= DOORS.len(), "only {rooms} rooms found");
    none("against ARCHITECTURE.md", &faults)
}

/// Tables and their columns as a dialect's migrations leave them.
fn schema(dialect: &str) -> anyhow::Result<BTreeMap<String, BTreeSet<String>>> {
    let table = Regex::new(r"(?s)CREATE TABLE (\w+)\s*\((.*?)\);")?;
    let added = Regex::new(r"ALTER TABLE (\w+) ADD COLUMN (\w+)")?;
    let comment = Regex::new(r"--[^\n]*")?;
    let mut tables: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for text in files(&format!("crates/store/migrations/{dialect}"), &[".sql"])?.values() {
        let text = comment.replace_all(text, "");
        for found in table.captures_iter(&text) {
            let columns = tables.entry(found[1].to_owned()).or_default();
            columns.extend(split_top_level(&found[2]).iter().filter_map(|part| column(part)));
        }
        for found in added.captures_iter(&text) {
            tables.entry(found[1].to_owned()).or_default().insert(found[2].to_owned());
        }
    }
    Ok(tables)
}

fn split_top_level(text: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts
}

/// Name and type of a column; `None` for a constraint of the table.
fn column(definition: &str) -> Option<String> {
    let mut words = definition.split_whitespace();
    let name = words.next()?;
    if ["CHECK", "UNIQUE", "PRIMARY", "FOREIGN", "CONSTRAINT"].iter().any(|word| name.starts_with(word)) {
        return None;
    }
    Some(format!("{name} {}", words.next()?))
}

#[test]
fn both_dialects_have_the_same_tables() -> Test {
    let (sqlite, postgres) = (schema("sqlite")?, schema("postgres")?);
    ensure!(sqlite.len() > 15, "only {} tables were understood", sqlite.len());
    for (table, columns) in &sqlite {
        let other = postgres.get(table).with_context(|| format!("PostgreSQL has no table {table}"))?;
        ensure!(columns == other, "{table}: {:?}", columns.symmetric_difference(other).collect::<Vec<_>>());
    }
    ensure!(sqlite.len() == postgres.len(), "PostgreSQL has more tables");
    Ok(())
}
