//! The city under fire: its data, people and providers, and what changes around a request: policies, grades, the
//! dictionary, faults of the database, the process.

use crate::chance::Chance;
use crate::recorder::Recorder;
use anyhow::{Context, ensure};
use madang_tests::outside::{app_over, app_over_all, run, start};
use madang_tests::{City, Madang, Member, PASSWORD};
use reqwest::Method;
use serde_json::json;
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use std::path::{Path, PathBuf};

/// Parts of records at which the database can be made to fail.
pub const STEPS: [&str; 3] = ["outside_call_intent", "outside_call_outcome", "outside_call_denied"];

/// Names of documents whose collections open and close; each stands in its own text alone.
const DOORS: [&str; 3] = ["은하누리", "달빛나루", "솔향기길"];
/// What else stands in those texts, to ask for them without their names.
const HALLS: [&str; 3] = ["북관", "남관", "동관"];
/// What stands before a question.
const BEFORE: [&str; 6] = [
    "",
    "010-9876-5432 로 문의한 ",
    "9 0 0 1 0 1 1 9 7 0 0 0 0 의 ",
    "한-울 신도시 ",
    "비밀번호: hunter2-Sw0rd! ",
    "신청인: 남궁민수, ",
];
/// Never leaves: the dictionary's word.
pub const SECRET: &str = "한울 신도시";

/// Numbers from the environment.
pub fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(usual)
}

/// A purpose, now and then with something in it that must not be kept or sent.
pub fn purpose(chance: &mut Chance) -> &'static str {
    const PURPOSES: [&str; 4] =
        ["쉬운 말로 고쳐 쓰기", "번역을 위해 필요함", "담당 010-2222-3333 에게 줄 요약", "900101-1970000 확인"];
    PURPOSES.get(chance.below(PURPOSES.len())).copied().unwrap_or_default()
}

pub struct World {
    pub city: City,
    pub second: Member,
    pub server: Madang,
    pub recorder: Recorder,
    pub providers: Vec<String>,
    pub runs: Vec<String>,
    /// Each with what a question to it asks for by name.
    apps: Vec<((String, String), &'static str)>,
    home: PathBuf,
    /// Collections that open and close, with the word of their document and whether they are closed.
    doors: Vec<(String, &'static str, bool)>,
}

impl World {
    pub async fn build(home: &Path, seed: u64) -> anyhow::Result<Self> {
        let server = start(home)?;
        let city = City::build(&server).await?;
        let second = city.officer(&server.base, "minji").await?;
        let recorder = Recorder::start(home, seed).await?;
        let mut world = Self {
            providers: Vec::new(),
            runs: Vec::new(),
            apps: Vec::new(),
            doors: Vec::new(),
            home: home.to_owned(),
            city,
            second,
            server,
            recorder,
        };
        world.register().await?;
        world.fill().await?;
        let rules = json!([{ "name": "비공개 사업명", "terms": [SECRET], "patterns": [], "action": "block" }]);
        let officer = &world.city.security.client;
        let now = officer.json("/api/v1/pii/dictionary").await?["revision"].clone();
        let kept = json!({ "revision": now, "rules": rules, "reason": "시험" });
        officer.ok(Method::PUT, "/api/v1/pii/dictionary", kept).await?;
        Ok(world)
    }

    async fn register(&mut self) -> anyhow::Result<()> {
        let admin = &self.city.admin.client;
        for n in 0..6 {
            let body = json!({ "name": format!("제공자 {n}"), "base_url": self.recorder.url, "model": format!("model-{}", n % 2),
                "api_key": "secret-key-0123456789", "first_byte_seconds": 1, "total_seconds": 2, "connect_seconds": 1 });
            let made = admin.ok(Method::POST, "/api/v1/providers", body).await?;
            let id = made["id"].as_str().context("provider")?.to_owned();
            admin.ok(Method::POST, &format!("/api/v1/providers/{id}/enable"), json!({})).await?;
            self.providers.push(id);
        }
        Ok(())
    }

    /// Documents, an app over each, and runs with inputs of every kind.
    async fn fill(&mut self) -> anyhow::Result<()> {
        let official = self.city.ict_official.client.clone();
        let mut texts: Vec<(String, Option<&'static str>)> = DOORS
            .iter()
            .zip(HALLS)
            .map(|(word, hall)| {
                let text = format!("# {word} 안내\n\n{word} {hall} 예약은 매월 1일에 받는다. 담당 010-1234-5678.\n");
                (text, Some(*word))
            })
            .collect();
        texts.push((
            "# 캠핑장 안내\n\n가람 캠핑장은 매월 1일 오전 9시에 예약을 받는다. 문의 hong@example.kr\n".to_owned(),
            None,
        ));
        texts.push((format!("# 계획 안내\n\n{SECRET} 예약은 매월 1일에 받는다.\n"), None));
        texts.push(("# 점검 안내\n\n[대외비] 점검 예약은 매월 1일에 받는다.\n".to_owned(), None));
        texts.push((
            "# 명단 안내\n\n대표 900101-1970000, 여권 M12345678. 명단 예약은 매월 1일에 받는다.\n".to_owned(),
            None,
        ));
        for (n, (text, word)) in texts.into_iter().enumerate() {
            let collection = self.city.collection(&format!("자료 {n}"), "O", true).await?;
            official.upload_ready(&collection, "안내.md", text.as_str()).await?;
            let app = app_over(&official, &collection).await?;
            for before in BEFORE {
                self.runs.push(run(&official, &app, &format!("{before}예약은 언제 받습니까?")).await?);
            }
            self.apps.push((app, ""));
            self.doors.extend(word.map(|word| (collection, word, false)));
        }
        // One that names no collection: what it cites is known from the run alone.
        let all = app_over_all(&official).await?;
        for hall in HALLS {
            self.runs.push(run(&official, &all, &format!("{hall} 예약은 언제 받습니까?")).await?);
            self.apps.push((all.clone(), hall));
        }
        Ok(())
    }

    /// A run that was not there before, or one that was: the same bytes again.
    pub async fn some_run(&mut self, chance: &mut Chance) -> anyhow::Result<String> {
        if chance.once_in(3) {
            return Ok(chance.pick(&self.runs).clone());
        }
        let after: String =
            (0..6).filter_map(|_| "가나다라마바사아자차카타파하".chars().nth(chance.below(14))).collect();
        // More often clean than not, so that much leaves.
        let before = BEFORE.get(chance.below(12)).copied().unwrap_or_default();
        let (app, hall) = chance.pick(&self.apps).clone();
        run(&self.city.ict_official.client, &app, &format!("{before}{hall} 예약은 언제 받습니까? {after}")).await
    }

    /// Now and then a policy, a grade or the dictionary's revision changes between two requests.
    pub async fn change_something(&mut self, chance: &mut Chance) -> anyhow::Result<()> {
        if chance.once_in(25) {
            self.policy(chance).await?;
        }
        if chance.once_in(15) {
            let at = chance.below(self.doors.len());
            self.turn(at, chance).await?;
        }
        Ok(())
    }

    /// A collection opens or closes: from the answer on its word must not arrive.
    async fn turn(&mut self, at: usize, chance: &mut Chance) -> anyhow::Result<()> {
        let Some((collection, word, closed)) = self.doors.get_mut(at) else { return Ok(()) };
        let path = format!("/api/v1/collections/{collection}");
        if *closed {
            // Nothing is on its way now: what opens may arrive from here on.
            self.recorder.seen.closed.lock().expect("no poison").remove(*word);
            let open = json!({ "grade": "O", "reason": "점검을 마치고 공개하기로 함" });
            self.city.ict_manager.client.ok(Method::PATCH, &path, open).await?;
        } else {
            let grade = if chance.once_in(2) { "S" } else { "C" };
            self.city.ict_official.client.ok(Method::PATCH, &path, json!({ "grade": grade })).await?;
            self.recorder.seen.closed.lock().expect("no poison").insert((*word).to_owned());
        }
        *closed = !*closed;
        Ok(())
    }

    async fn policy(&mut self, chance: &mut Chance) -> anyhow::Result<()> {
        let needs = |officers: u8, found: &str| {
            format!(
                "[[rule]]\nid = \"open\"\neffect = \"needs_approval\"\n[rule.when]\ngrades = [\"O\"]\nfound_at_most = [{found}]\n\
                 [rule.approval]\nofficers = {officers}\nfrom = {{ role = \"security\" }}\n"
            )
        };
        let passes = "[[rule]]\nid = \"open\"\neffect = \"allow_with_masking\"\n[rule.when]\ngrades = [\"O\"]\nfound_at_most = [\"personal\"]\n";
        let regraded = "[[rule]]\nid = \"once-closed\"\neffect = \"deny\"\nreason = \"등급을 내린 자료입니다.\"\n[rule.when]\nregraded = true\n";
        let rules = match chance.below(6) {
            0 => needs(1, "\"personal\""),
            1 => needs(2, "\"personal\""),
            2 => needs(1, ""),
            3 => passes.to_owned(),
            4 => format!("{passes}{regraded}"),
            // A policy cannot open the floor, whatever it says.
            _ => "[[rule]]\nid = \"all\"\neffect = \"allow_with_masking\"\n[rule.when]\n".to_owned(),
        };
        let officer = &self.city.security.client;
        let revision = officer.json("/api/v1/policy").await?["revision"].as_u64().context("revision")?;
        let text = format!("format = 1\nrevision = {}\n{rules}", revision + 1);
        let new = json!({ "text": text, "reason": "시험", "expected_revision": revision });
        let put = officer.ok(Method::PUT, "/api/v1/policy", new).await?;
        if let Some(proposal) = put["proposal"].as_str() {
            let path = format!("/api/v1/policy/proposals/{proposal}/confirm");
            self.second.client.ok(Method::POST, &path, json!({})).await?;
        }
        Ok(())
    }

    async fn database(&self) -> anyhow::Result<SqliteConnection> {
        let options = SqliteConnectOptions::new().filename(self.home.join("madang.db"));
        Ok(SqliteConnection::connect_with(&options).await?)
    }

    /// From now on the database refuses this kind of record.
    pub async fn break_step(&self, step: &str) -> anyhow::Result<()> {
        let trigger = format!(
            "CREATE TRIGGER fault BEFORE INSERT ON ledger WHEN NEW.payload LIKE '%\"action\":\"{step}\"%' \
             BEGIN SELECT RAISE(ABORT, 'a fault'); END"
        );
        sqlx::query(sqlx::AssertSqlSafe(trigger)).execute(&mut self.database().await?).await?;
        Ok(())
    }

    pub async fn mend(&self) -> anyhow::Result<()> {
        sqlx::query("DROP TRIGGER IF EXISTS fault").execute(&mut self.database().await?).await?;
        Ok(())
    }

    /// Lets others run so many times: how far they come is chance.
    pub async fn let_pass(&self, turns: usize) {
        for _ in 0..turns {
            let _row = self.city.security.client.get("/healthz").await;
        }
    }

    /// Starts the server again and signs everybody in to it.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        // Already dead where it was killed.
        let _stopped = self.server.kill();
        self.server = start(&self.home)?;
        let base = self.server.base.clone();
        let city = &mut self.city;
        for member in [
            &mut city.admin,
            &mut city.ict_official,
            &mut city.ict_manager,
            &mut city.civil_official,
            &mut city.security,
            &mut self.second,
        ] {
            let mut client = madang_tests::Client::new(&base)?;
            client.sign_in(&member.login, PASSWORD).await?;
            member.client = client;
        }
        ensure!(self.recorder.seen.faults.lock().expect("no poison").is_empty(), "{:?}", self.recorder.seen.faults);
        Ok(())
    }

    /// The end of the server's log.
    pub fn log(&self) -> String {
        let text = std::fs::read_to_string(self.home.with_extension("stderr")).unwrap_or_default();
        text.lines().rev().take(8).collect::<Vec<_>>().join("\n")
    }

    pub fn home(&self) -> &Path {
        &self.home
    }
}
