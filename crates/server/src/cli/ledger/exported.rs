//! `madang ledger verify`: an exported record, whole or in part, on a machine that has nothing but this program, the file
//! and public keys; files of before there were checkpoints, too. The rules are the `ledger` crate's.

use super::super::Home;
use super::{broken, sound, verify_home};
use crate::pages::when;
use crate::pairs;
use anyhow::Context;
use madang_ledger::checkpoint::SignedCheckpoint;
use madang_ledger::export::{ExportReport, PartialReport, Selection, VerifyOptions, verify_export, verify_partial};
use madang_ledger::keys::VerifierKey;
use madang_ledger::trust::{KeyHistory, Trust};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Entries without a witness's cosignature that are accepted unless told otherwise.
const UNWITNESSED: u64 = 1000;
/// Options that bind the whole record alone.
const OF_WHOLE: [&str; 2] = ["--max-unwitnessed", "--kept"];
/// Intents without an outcome that are listed.
const LISTED: usize = 100;

#[derive(clap::Args)]
pub struct Verify {
    #[command(flatten)]
    home: Home,
    /// An exported record (JSON Lines); without it the installation's own is verified.
    export: Option<PathBuf>,
    /// Public key of the log, as `madang ledger key` prints it, noted when the installation was set up; older keys may
    /// be given too.
    #[arg(long = "public-key", value_name = "VKEY", requires = "export")]
    public_keys: Vec<VerifierKey>,
    /// Public key of a witness: without one, a record that its own operator rewrote cannot be told.
    #[arg(long = "witness-key", value_name = "VKEY", requires = "export")]
    witness_keys: Vec<VerifierKey>,
    /// How many of these witnesses must have cosigned; all of them by default.
    #[arg(long, requires = "witness_keys")]
    witnesses: Option<usize>,
    /// How many entries may come after the last checkpoint that the witnesses cosigned.
    #[arg(long, value_name = "N", help = format!("How many entries may come after the last checkpoint that the witnesses cosigned; {UNWITNESSED} by default"), requires = "export")]
    max_unwitnessed: Option<u64>,
    /// A checkpoint kept elsewhere, such as what `madang witness checkpoint` prints: the record must continue it.
    #[arg(long = "kept", value_name = "FILE", requires = "export")]
    kept: Vec<PathBuf>,
}

impl Verify {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match &self.export {
            None => verify_home(&self.home).await,
            Some(file) => self.exported(file),
        }
    }

    fn exported(&self, path: &Path) -> anyhow::Result<ExitCode> {
        let open = || File::open(path).with_context(|| format!("{} 파일을 읽을 수 없습니다", path.display()));
        let mut reader = BufReader::with_capacity(1 << 20, open()?);
        let begin = reader.fill_buf().with_context(|| format!("{} 파일을 읽을 수 없습니다", path.display()))?;
        let whole = begin.starts_with(b"{\"export\":");
        if !whole && !begin.starts_with(b"{\"partial\":") && self.public_keys.is_empty() {
            // Whoever gives these wants more than that the lines follow each other.
            let given = self.given();
            return match given.as_slice() {
                [] => of_lines(reader),
                _ => misused("서명이 없는 옛 형식이거나 원장의 파일이 아닙니다", &given),
            };
        }
        if self.public_keys.is_empty() {
            let words = "원장의 공개키가 필요합니다. 원장 화면이나 `madang ledger key`에서 얻어 따로 보관해 둔 것을 \
                         --public-key로 넣어 주세요.";
            writeln!(std::io::stderr(), "{words}")?;
            return Ok(ExitCode::from(2));
        }
        let of_whole: Vec<_> = self.given().into_iter().filter(|name| OF_WHOLE.contains(name)).collect();
        if begin.starts_with(b"{\"partial\":") && !of_whole.is_empty() {
            return misused("기록의 일부만 담은 파일입니다", &of_whole);
        }
        let trust = self.trust()?;
        if whole || !begin.starts_with(b"{\"partial\":") {
            let mut options = VerifyOptions::strict(trust);
            options.unwitnessed_tail = self.max_unwitnessed.unwrap_or(UNWITNESSED);
            options.kept = self.kept.iter().map(|file| kept(file)).collect::<anyhow::Result<_>>()?;
            let mut roles = pairs::role;
            match verify_export(reader, &options, Some(&mut roles)) {
                Ok(report) => self.tell(&report),
                Err(fault) => broken(&fault.to_string()),
            }
        } else {
            match verify_partial(reader, &trust, |_| ()) {
                Ok(report) => self.tell_part(&report),
                Err(fault) => broken(&fault.to_string()),
            }
        }
    }

    /// Options that ask for more than signatures of the log.
    fn given(&self) -> Vec<&'static str> {
        let all = [
            ("--witness-key", !self.witness_keys.is_empty()),
            ("--witnesses", self.witnesses.is_some()),
            ("--max-unwitnessed", self.max_unwitnessed.is_some()),
            ("--kept", !self.kept.is_empty()),
        ];
        all.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
    }

    fn trust(&self) -> anyhow::Result<Trust> {
        let log = KeyHistory::pinned(self.public_keys.iter().cloned()).context("--public-key")?;
        let wanted = self.witnesses.unwrap_or(self.witness_keys.len());
        Trust::of_log(log).witnessed(self.witness_keys.clone(), wanted).context("--witness-key")
    }

    fn tell(&self, report: &ExportReport) -> anyhow::Result<ExitCode> {
        sound(report.records, &report.head.hash)?;
        let mut out = std::io::stdout().lock();
        writeln!(
            out,
            "{}: {}번까지 원장의 키로 서명되었습니다(체크포인트 {}개).",
            report.origin, report.signed, report.checkpoints
        )?;
        writeln!(out, "{}", self.of_witnesses(report.witnessed, report.records, &report.witnesses))?;
        if !report.unknown.is_empty() {
            writeln!(out, "결과가 적히지 않은 의도 {}건: 알 수 없음(나간 것으로 셈)", report.unknown.len())?;
            for unknown in report.unknown.iter().take(LISTED) {
                writeln!(out, "  원장 {}번 {}", unknown.seq, unknown.id)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn tell_part(&self, report: &PartialReport) -> anyhow::Result<ExitCode> {
        let mut out = std::io::stdout().lock();
        writeln!(
            out,
            "기록 {}건이 모두 {}의 서명된 원장({}건)에 있습니다.",
            report.records, report.origin, report.size
        )?;
        writeln!(
            out,
            "{}",
            self.of_witnesses(
                if report.witnesses.is_empty() { 0 } else { report.size },
                report.size,
                &report.witnesses
            )
        )?;
        if let Selection::Filter(words) = &report.selection {
            writeln!(out, "조건 {words}(으)로 고른 일부입니다. 빠진 것이 없는지는 전체를 내보내야 알 수 있습니다.")?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// What the witnesses' keys say, or what could not be told without one.
    fn of_witnesses(&self, witnessed: u64, records: u64, names: &[(String, u64)]) -> String {
        if self.witness_keys.is_empty() {
            return "증인의 공개키(--witness-key)를 주지 않아, 운영자가 스스로 다시 쓴 것은 가려내지 못합니다."
                .to_owned();
        }
        let by: Vec<String> = names
            .iter()
            .map(|(name, at)| {
                format!("{name} {}", when::date_time(i64::try_from(*at).unwrap_or(0).saturating_mul(1000)))
            })
            .collect();
        let rest = match records - witnessed {
            0 => String::new(),
            _ => format!(" {}번부터 {records}번까지는 아직 확인하지 않았습니다.", witnessed + 1),
        };
        format!("{witnessed}번까지 증인이 확인했습니다({}).{rest}", by.join(", "))
    }
}

/// Options were given that this file cannot be held to: wrong use, whatever the file says of itself.
fn misused(what: &str, options: &[&str]) -> anyhow::Result<ExitCode> {
    writeln!(
        std::io::stderr(),
        "{what}. {}(으)로는 확인할 수 없어 아무것도 확인하지 않았습니다. 원장 전체를 다시 내보내 받거나 그 옵션을 빼 주세요.",
        options.join(", ")
    )?;
    Ok(ExitCode::from(2))
}

/// A file of before there were checkpoints: entries alone.
fn of_lines(reader: impl BufRead) -> anyhow::Result<ExitCode> {
    match madang_ledger::verify_lines(reader, None) {
        Ok(verified) => {
            sound(verified.entries, &verified.head.hash)?;
            writeln!(
                std::io::stdout(),
                "서명이 없는 옛 형식입니다. 기록이 서로 이어지는지만 확인했습니다. 다시 내보내면 서명까지 확인할 수 있습니다."
            )?;
            Ok(ExitCode::SUCCESS)
        }
        Err(fault) => broken(&fault.to_string()),
    }
}

fn kept(file: &Path) -> anyhow::Result<SignedCheckpoint> {
    let fault = || format!("{} 파일은 체크포인트가 아닙니다", file.display());
    std::fs::read_to_string(file).with_context(fault)?.parse().with_context(fault)
}
