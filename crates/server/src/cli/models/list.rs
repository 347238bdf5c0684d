//! `madang models list`: what is here, and what else there is.

use super::{Home, open};
use madang_inference::catalogue::{Entry, Installed, Shelf, human, memory_bytes};
use serde_json::{Value, json};
use std::io::Write;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct List {
    #[command(flatten)]
    home: Home,
    #[arg(long)]
    json: bool,
}

impl List {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let shelf = open(&self.home)?;
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&document(&shelf))?)?;
            return Ok(ExitCode::SUCCESS);
        }
        writeln!(out, "들여놓은 모델")?;
        if shelf.installed().is_empty() {
            writeln!(out, "  없음: 인용 엔진이 답합니다. madang models add 파일")?;
        }
        for model in shelf.installed() {
            writeln!(out, "  {}  {}", model.name, facts(model, &roles(&shelf, model)))?;
        }
        let memory = memory_bytes();
        let machine = memory.map_or_else(|| "모름".to_owned(), human);
        writeln!(out, "\n알려진 모델 (이 기계의 메모리 {machine}, * 처음 쓰기에 알맞음)")?;
        for entry in others(&shelf) {
            let mark = if entry.default { '*' } else { ' ' };
            let need = entry.memory_needed();
            let fits = match memory {
                Some(all) if all < need => " — 이 기계에는 모자람",
                _ => "",
            };
            let size = human(entry.weight_bytes());
            writeln!(
                out,
                "{mark} {}  {} · {} · {size} · {}",
                entry.name,
                entry.label,
                entry.kind.label(),
                entry.licence
            )?;
            writeln!(out, "      {}", entry.good_for)?;
            writeln!(out, "      메모리 약 {}{fits}", human(need))?;
            if !entry.public_body_ok() {
                writeln!(out, "      이용 조건을 확인해야 하는 라이선스입니다.")?;
            }
        }
        writeln!(out, "\n가져오는 방법: madang models pull 이름")?;
        Ok(ExitCode::SUCCESS)
    }
}

fn others(shelf: &Shelf) -> impl Iterator<Item = &Entry> {
    shelf.catalogue().entries().iter().filter(move |e| shelf.find(&e.name).is_none())
}

fn roles(shelf: &Shelf, model: &Installed) -> Vec<String> {
    shelf.roles().iter().filter(|(_, name)| **name == model.name).map(|(role, _)| role.to_string()).collect()
}

fn facts(model: &Installed, roles: &[String]) -> String {
    let role = if roles.is_empty() { String::new() } else { format!(" · [{}]", roles.join(", ")) };
    format!("{} · {} · {} · {}{role}", model.label, model.kind.label(), human(model.size), model.licence)
}

fn document(shelf: &Shelf) -> Value {
    let installed: Vec<Value> = shelf
        .installed()
        .iter()
        .map(|m| {
            json!({
                "name": m.name, "label": m.label, "kind": m.kind, "size": m.size, "sha256": m.sha256,
                "licence": m.licence, "source": m.source, "context": m.context, "added": m.added,
                "memory": m.memory, "per_second": m.per_second, "roles": roles(shelf, m),
            })
        })
        .collect();
    let known: Vec<Value> = others(shelf)
        .map(|e| {
            json!({
                "name": e.name, "label": e.label, "kind": e.kind, "size": e.weight_bytes(), "licence": e.licence,
                "source": e.source, "file": e.file, "sha256": e.sha256, "context": e.context,
                "memory_needed": e.memory_needed(), "good_for": e.good_for, "default": e.default,
                "public_body_ok": e.public_body_ok(),
            })
        })
        .collect();
    json!({
        "choice": shelf.choice(), "memory": memory_bytes(), "installed": installed, "known": known,
    })
}
