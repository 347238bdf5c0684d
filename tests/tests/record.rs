//! The record, from outside: kept by the real binary, carried off in a file, verified where there is nothing else, and
//! tampered with by whoever has the database's password and even the log's own key.

use anyhow::{Context, ensure};
use madang_ledger::{Entry, Head, chain};
use madang_tests::{City, Client, Madang, PASSWORD, Postgres, binary};
use reqwest::{Method, StatusCode};
use serde_json::json;
use sqlx::any::AnyPoolOptions;
use sqlx::{AnyPool, AssertSqlSafe, Row};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

type Test = anyhow::Result<()>;

/// A home folder with its database, a witness on a machine of its own, and a third machine that has nothing.
struct Place {
    dir: tempfile::TempDir,
    /// Of a PostgreSQL database.
    url: Option<String>,
    _cluster: Option<Postgres>,
}

impl Place {
    fn new() -> anyhow::Result<Self> {
        Ok(Place { dir: tempfile::tempdir()?, url: None, _cluster: None })
    }

    /// One on SQLite and, where it is installed, one on PostgreSQL.
    fn on_both() -> anyhow::Result<Vec<Self>> {
        let mut places = vec![Self::new()?];
        if let Some(cluster) = Postgres::start()? {
            let url = Some(cluster.database("record")?);
            places.push(Place { url, _cluster: Some(cluster), ..Self::new()? });
        }
        Ok(places)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn home(&self) -> PathBuf {
        self.path("home")
    }

    fn start(&self) -> anyhow::Result<Madang> {
        let database: Vec<&str> = self.url.iter().flat_map(|url| ["--database-url", url]).collect();
        Madang::start_in(&self.home(), &database)
    }

    /// A command on the home folder.
    fn command(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let mut command = Command::new(binary()?);
        command.args(arguments).env("MADANG_HOME", self.home());
        if let Some(url) = &self.url {
            command.env("MADANG_DATABASE_URL", url);
        }
        Ok(command.output()?)
    }

    fn done(&self, arguments: &[&str]) -> anyhow::Result<String> {
        said(self.command(arguments)?)
    }

    /// A command on a machine that has the program alone.
    fn elsewhere(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let empty = self.path("elsewhere");
        fs::create_dir_all(&empty)?;
        Ok(Command::new(binary()?).args(arguments).env_clear().env("HOME", &empty).current_dir(&empty).output()?)
    }

    /// Exports the whole record beside the server, or without one.
    fn export(&self, name: &str) -> anyhow::Result<String> {
        let file = self.path(name).to_string_lossy().into_owned();
        self.done(&["ledger", "export", "--reason", "감사", "-o", &file])?;
        Ok(file)
    }

    /// Key of the log, the first one.
    fn key(&self) -> anyhow::Result<String> {
        Ok(self.done(&["ledger", "key"])?.lines().next().context("no key")?.to_owned())
    }

    /// Makes the witness known to both sides; gives its key.
    fn with_witness(&self) -> anyhow::Result<String> {
        let dir = self.path("witness").to_string_lossy().into_owned();
        let made = self.elsewhere(&["witness", "init", &dir, "--name", "audit.city/witness", "--log", &self.key()?])?;
        let key = said(made)?.trim().to_owned();
        fs::write(self.home().join("witnesses.toml"), format!("keys = [\"{key}\"]\n"))?;
        Ok(key)
    }

    fn cosign(&self, request: &str) -> anyhow::Result<Output> {
        self.elsewhere(&["witness", "cosign", &self.path("witness").to_string_lossy(), request])
    }

    /// The way of a checkpoint to the witness and back, by files.
    fn witnessed(&self, name: &str) -> Test {
        let (request, answer) = (self.path(name).to_string_lossy().into_owned(), self.path("answer"));
        self.done(&["ledger", "request-cosignature", "-o", &request])?;
        fs::write(&answer, said(self.cosign(&request)?)?)?;
        self.done(&["ledger", "add-cosignature", &answer.to_string_lossy()])?;
        Ok(())
    }

    async fn database(&self) -> anyhow::Result<AnyPool> {
        sqlx::any::install_default_drivers();
        let sqlite = format!("sqlite://{}", self.home().join("madang.db").display());
        let pool = AnyPoolOptions::new().max_connections(1).connect(self.url.as_ref().unwrap_or(&sqlite)).await?;
        for table in ["ledger", "ledger_hashes", "ledger_checkpoints"] {
            let undo = match self.url {
                None => format!("DROP TRIGGER IF EXISTS {table}_no_update; DROP TRIGGER IF EXISTS {table}_no_delete"),
                Some(_) => format!("ALTER TABLE {table} DISABLE TRIGGER USER"),
            };
            for statement in undo.split("; ") {
                sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&pool).await?;
            }
        }
        Ok(pool)
    }

    /// Changes the database as whoever has its password would.
    async fn tamper(&self, statements: &[&str]) -> Test {
        let pool = self.database().await?;
        for statement in statements {
            sqlx::query(AssertSqlSafe((*statement).to_owned())).execute(&pool).await.context(statement.to_string())?;
        }
        pool.close().await;
        Ok(())
    }

    /// Another place with a copy of everything; the server must stand still.
    fn copied(&self) -> anyhow::Result<Self> {
        let copy = Self::new()?;
        copy_all(self.dir.path(), copy.dir.path())?;
        Ok(copy)
    }
}

fn copy_all(from: &Path, to: &Path) -> Test {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_all(&entry.path(), &target)?,
            false => fs::copy(entry.path(), target).map(|_| ())?,
        }
    }
    Ok(())
}

fn said(output: Output) -> anyhow::Result<String> {
    let words = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "{} {words} {}", output.status, String::from_utf8_lossy(&output.stderr));
    Ok(words)
}

/// Exit code 1, and what it says.
fn found(output: Output) -> anyhow::Result<String> {
    let words = String::from_utf8(output.stdout)?;
    ensure!(output.status.code() == Some(1), "{} {words} {}", output.status, String::from_utf8_lossy(&output.stderr));
    Ok(words)
}

#[tokio::test]
async fn a_record_is_verified_where_there_is_nothing_else() -> Test {
    for place in Place::on_both()? {
        let server = place.start()?;
        let city = City::build(&server).await?;
        let officer = &city.security.client;
        let state = officer.json("/api/v1/ledger/signed").await?;
        assert_eq!(state["keys"][0].as_str(), Some(place.key()?.as_str()), "{state}");
        let witness = place.with_witness()?;
        // On the screen: a request, the witness's answer, an export.
        let request = officer.get("/api/v1/ledger/cosignature").await?;
        assert_eq!(request.status(), StatusCode::OK);
        let file = place.path("request.txt");
        fs::write(&file, request.text().await?)?;
        let answer = said(place.cosign(&file.to_string_lossy())?)?;
        let path = "/api/v1/ledger/cosignatures";
        let taken = officer.ok(Method::POST, path, json!({ "answer": answer.replace('\n', "\r\n") })).await?;
        assert_eq!(taken["witnesses"], json!(["audit.city/witness"]));
        let lines: String = answer.split_once("\n\n").context("note")?.1.to_owned();
        officer.ok(Method::POST, path, json!({ "answer": lines })).await?;
        let strange = lines.replace("audit.city", "audit.town");
        assert_eq!(officer.post(path, json!({ "answer": strange })).await?.status(), StatusCode::UNPROCESSABLE_ENTITY);
        let exported = async |kind: &str| -> anyhow::Result<String> {
            let wanted = json!({ "format": "jsonl", "reason": "정기 점검", "kind": kind });
            Ok(officer.post("/api/v1/ledger/export", wanted).await?.text().await?)
        };
        let export = exported("").await?;
        let file = place.path("record.jsonl").to_string_lossy().into_owned();
        fs::write(&file, &export)?;
        let verify = ["ledger", "verify", &file, "--public-key", &place.key()?, "--witness-key", &witness];
        let words = said(place.elsewhere(&verify)?)?;
        assert!(words.contains("이어집니다") && words.contains("audit.city/witness"), "{words}");
        assert_eq!(place.elsewhere(&verify[..3])?.status.code(), Some(2), "a public key is needed");
        let none_unwitnessed = [&verify[..], &["--max-unwitnessed", "0"]].concat();
        assert!(found(place.elsewhere(&none_unwitnessed)?)?.contains("증인의 확인서명이 없습니다"));
        for (changed, what) in [("sign_in", "a letter"), ("\"seq\":9,", "a number"), ("\\n— ", "a signature")] {
            let other = if changed == "sign_in" { "sign_iN" } else { " " };
            fs::write(&file, export.replacen(changed, other, 1))?;
            assert!(found(place.elsewhere(&verify)?)?.contains("번"), "{what}");
        }
        // What a filter found is proven record by record.
        let part = exported("sign_in").await?;
        fs::write(&file, &part)?;
        assert!(said(place.elsewhere(&verify[..5])?)?.contains("서명된 원장"));
        fs::write(&file, part.replacen("sign_in", "sign_iN", 2))?;
        found(place.elsewhere(&verify[..5])?)?;
        // Nobody is told that a file holds which cannot be held to what they asked.
        let kept = place.path("kept").to_string_lossy().into_owned();
        for (file, more) in [(&part, ["--kept", &kept]), (&part, ["--max-unwitnessed", "0"])] {
            fs::write(place.path("record.jsonl"), file)?;
            let told = place.elsewhere(&[&verify[..], &more].concat())?;
            assert_eq!(told.status.code(), Some(2), "{more:?}");
            assert!(String::from_utf8(told.stderr)?.contains(more[0]));
        }
        assert!(place.done(&["ledger", "verify"])?.contains("서명되어"), "works beside the server");
        let (status, page) = officer.page("/ledger").await?;
        assert!(status == StatusCode::OK && page.contains(&place.key()?) && page.contains("audit.city/witness"));
    }
    Ok(())
}

/// A server with some records that were cosigned and some that were not, standing still.
async fn settled() -> anyhow::Result<(Place, String)> {
    let place = Place::new()?;
    let mut server = place.start()?;
    let city = City::build(&server).await?;
    let witness = place.with_witness()?;
    place.witnessed("request")?;
    for n in 0..12 {
        city.admin.client.ok(Method::POST, "/api/v1/departments", json!({ "name": format!("시험 {n}과") })).await?;
    }
    ensure!(server.stop()?.success());
    Ok((place, witness))
}

#[tokio::test]
async fn whatever_is_done_to_the_database_is_named() -> Test {
    let (place, _) = settled().await?;
    let key = place.key()?;
    let end: u64 = {
        let pool = place.database().await?;
        let row = sqlx::query("SELECT MAX(seq) AS n FROM ledger").fetch_one(&pool).await?;
        pool.close().await;
        u64::try_from(row.try_get::<i64, _>("n")?)?
    };
    let cut = format!("DELETE FROM ledger WHERE seq > {}", end - 3);
    let cases: [(&str, &[&str], u64); 5] = [
        (
            "flipped",
            &["UPDATE ledger SET payload = replace(payload, '\"action\":\"', '\"action\":\"x') WHERE seq = 9"],
            9,
        ),
        ("deleted", &["DELETE FROM ledger WHERE seq = 6"], 6),
        (
            "reordered",
            &[
                "UPDATE ledger SET seq = -1 WHERE seq = 7",
                "UPDATE ledger SET seq = 7 WHERE seq = 8",
                "UPDATE ledger SET seq = 8 WHERE seq = -1",
            ],
            7,
        ),
        (
            "inserted",
            &[
                "UPDATE ledger SET seq = -seq WHERE seq >= 9",
                "UPDATE ledger SET seq = 1 - seq WHERE seq < 0",
                "INSERT INTO ledger SELECT 9, time, payload, prev_hash, hash FROM ledger WHERE seq = 10",
            ],
            10,
        ),
        ("cut", &[&cut], end - 2),
    ];
    for (name, statements, first) in cases {
        let place = place.copied()?;
        place.tamper(statements).await.context(name)?;
        let words = found(place.command(&["ledger", "verify"])?).context(name)?;
        assert!(words.contains(&format!("원장 {first}번")), "{name}: {words}");
        let file = place.export("record.jsonl")?;
        let words = found(place.elsewhere(&["ledger", "verify", &file, "--public-key", &key])?).context(name)?;
        assert!(words.contains(&format!("원장 {first}번")), "{name}: {words}");
        // A server that starts on it still serves, so that an officer can look into it.
        let mut server = place.start()?;
        let mut officer = Client::new(&server.base)?;
        officer.sign_in("sujin", PASSWORD).await?;
        if name == "cut" || name == "inserted" {
            let refused = officer.json("/api/v1/ledger/signed").await?;
            assert!(refused["refused"].as_str().is_some_and(|why| why.contains("서명하지 않았습니다")), "{refused}");
            let (_, page) = officer.page("/ledger").await?;
            assert!(page.contains("원장에 서명하지 않고 있습니다"), "{name}");
        }
        server.stop()?;
    }
    Ok(())
}

/// All records from number `from` on are others, their hashes right again, and nothing is left of what was signed: the
/// server signs that history with its own key as if there had been no other.
async fn rewrite(place: &Place, from: usize) -> Test {
    let pool = place.database().await?;
    let rows = sqlx::query("SELECT time, payload, prev_hash, hash FROM ledger ORDER BY seq").fetch_all(&pool).await?;
    let mut head = Head::genesis();
    for (seq, row) in (1..).zip(&rows) {
        let text = |column| row.try_get::<String, _>(column);
        let mut payload = text("payload")?;
        if seq >= from {
            payload = payload.replace("시험", "가짜");
        }
        let entry: Entry = chain(&head, &text("time")?, &payload)?;
        sqlx::query("UPDATE ledger SET payload = $1, prev_hash = $2, hash = $3 WHERE seq = $4")
            .bind(entry.payload.clone())
            .bind(entry.prev_hash.clone())
            .bind(entry.hash.clone())
            .bind(i64::try_from(seq)?)
            .execute(&pool)
            .await?;
        head = Head::from(&entry);
    }
    pool.close().await;
    let zeros = "0".repeat(64);
    let tree = format!("UPDATE ledger_tree SET size = 0, head = '{zeros}', frontier = '0000000000000000'");
    place
        .tamper(&[
            "DELETE FROM ledger_hashes",
            "DELETE FROM ledger_checkpoints",
            "DELETE FROM meta WHERE key LIKE 'ledger_%'",
            &tree,
        ])
        .await
}

#[tokio::test]
async fn a_history_rewritten_with_the_logs_own_key_is_caught_by_the_witness_alone() -> Test {
    let (place, witness) = settled().await?;
    let key = place.key()?;
    let mut server = place.start()?;
    place.witnessed("second")?;
    let kept = place.path("kept").to_string_lossy().into_owned();
    said(place.elsewhere(&["witness", "checkpoint", &place.path("witness").to_string_lossy(), "-o", &kept])?)?;
    ensure!(server.stop()?.success());
    let file = place.export("honest.jsonl")?;
    let of_log = ["ledger", "verify", &file, "--public-key", &key];
    said(place.elsewhere(&[&of_log[..], &["--witness-key", &witness, "--kept", &kept]].concat())?)?;
    rewrite(&place, 1).await?;
    assert!(place.done(&["ledger", "verify"])?.contains("이어집니다"), "the database agrees with itself");
    let file = place.export("rewritten.jsonl")?;
    let of_log = ["ledger", "verify", &file, "--public-key", &key];
    said(place.elsewhere(&of_log)?).context("the log's key alone proves nothing against its owner")?;
    found(place.elsewhere(&[&of_log[..], &["--witness-key", &witness]].concat())?)?;
    let against = [&of_log[..], &["--witness-key", &witness, "--max-unwitnessed", "100000", "--kept", &kept]].concat();
    assert!(found(place.elsewhere(&against)?)?.contains("다시 쓰였습니다"));
    // And the witness itself signs no such thing.
    let request = place.path("third").to_string_lossy().into_owned();
    place.done(&["ledger", "request-cosignature", "-o", &request])?;
    let told = place.cosign(&request)?;
    ensure!(told.status.code() == Some(1), "cosigned another history");
    let words = String::from_utf8(told.stderr)?;
    let size = words.split("건까지").next().and_then(|w| w.split_whitespace().last()).context("no size")?.to_owned();
    let request = place.path("fourth").to_string_lossy().into_owned();
    place.done(&["ledger", "request-cosignature", "-o", &request, "--old", &size])?;
    let told = place.cosign(&request)?;
    ensure!(told.status.code() == Some(1) && String::from_utf8(told.stderr)?.contains("다시 쓰였을 수"), "a fork");
    Ok(())
}

#[tokio::test]
async fn keys_follow_each_other_beside_a_running_server() -> Test {
    let place = Place::new()?;
    let server = place.start()?;
    let city = City::build(&server).await?;
    let first = place.key()?;
    let witness = place.with_witness()?;
    place.witnessed("one")?;
    let told = place.done(&["ledger", "rotate-key"])?;
    let second = told.lines().next().context("no key")?.to_owned();
    assert_eq!(place.done(&["ledger", "key"])?, format!("{first}\n{second}\n"));
    city.admin.client.ok(Method::POST, "/api/v1/departments", json!({ "name": "새 과" })).await?;
    // The witness is led over the hand-over, then on.
    place.witnessed("two")?;
    place.witnessed("three")?;
    let file = place.export("record.jsonl")?;
    let words =
        said(place.elsewhere(&["ledger", "verify", &file, "--public-key", &first, "--witness-key", &witness])?)?;
    assert!(words.contains("증인이 확인했습니다"), "{words}");
    found(place.elsewhere(&["ledger", "verify", &file, "--public-key", &second])?)?;
    said(place.elsewhere(&["ledger", "verify", &file, "--public-key", &first, "--public-key", &second])?)?;
    Ok(())
}

/// A witness that answers over HTTP; stopped when dropped.
struct Served(Child, String);

impl Served {
    fn start(place: &Place) -> anyhow::Result<Self> {
        let mut child = Command::new(binary()?)
            .args(["witness", "serve", &place.path("witness").to_string_lossy(), "--addr", "127.0.0.1:0"])
            .env_clear()
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("stdout")?).read_line(&mut line)?;
        let base = line.trim().strip_suffix("/add-checkpoint").context(line.clone())?.to_owned();
        Ok(Served(child, base))
    }

    async fn ask(&self, request: &str) -> anyhow::Result<(StatusCode, String, String)> {
        let answer =
            Client::new(&self.1)?.request(Method::POST, "/add-checkpoint").body(request.to_owned()).send().await?;
        let kind = answer.headers().get("content-type").context("no type")?.to_str()?.to_owned();
        Ok((answer.status(), kind, answer.text().await?))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_witness_answers_over_http() -> Test {
    let place = Place::new()?;
    let server = place.start()?;
    let city = City::build(&server).await?;
    place.with_witness()?;
    let officer = &city.security.client;
    let witness = Served::start(&place)?;
    let request = officer.get("/api/v1/ledger/cosignature").await?.text().await?;
    let (status, _, line) = witness.ask(&request).await?;
    assert!(status == StatusCode::OK && line.starts_with("— audit.city/witness "), "{status} {line}");
    let taken = officer.ok(Method::POST, "/api/v1/ledger/cosignatures", json!({ "answer": line })).await?;
    let (status, kind, size) = witness.ask(&request).await?;
    assert_eq!((status, kind.as_str()), (StatusCode::CONFLICT, "text/x.tlog.size"));
    assert_eq!(size, format!("{}\n", taken["size"]), "it says how far it is");
    assert_eq!(witness.ask("old 0\n").await?.0, StatusCode::BAD_REQUEST);
    let again = place.path("request").to_string_lossy().into_owned();
    place.done(&["ledger", "request-cosignature", "-o", &again])?;
    let in_use = place.cosign(&again)?;
    assert!(!in_use.status.success(), "one process at a time");
    assert_eq!(witness.ask(&fs::read_to_string(&again)?).await?.0, StatusCode::OK, "it goes on from there");
    Ok(())
}

#[tokio::test]
async fn what_a_killed_server_appended_is_signed_by_the_next() -> Test {
    let place = Place::new()?;
    let mut server = place.start()?;
    let city = City::build(&server).await?;
    let admin = city.admin.client.clone();
    let busy = tokio::spawn(async move {
        let mut made = 0;
        while admin.post("/api/v1/departments", json!({ "name": format!("과 {made}") })).await.is_ok() {
            made += 1;
        }
        made
    });
    let officer = &city.security.client;
    madang_tests::eventually("records come", || async {
        Ok((officer.json("/api/v1/ledger/signed").await?["size"].as_u64() > Some(60)).then_some(()))
    })
    .await?;
    server.kill()?;
    ensure!(busy.await? > 0);
    let mut server = place.start()?;
    let file = place.export("record.jsonl")?;
    said(place.elsewhere(&["ledger", "verify", &file, "--public-key", &place.key()?])?)?;
    assert!(server.stop()?.success());
    let words = place.done(&["ledger", "verify"])?;
    let (records, signed) = (number_before(&words, "건이"), number_before(&words, "번까지 서명"));
    assert!(records.is_some() && records == signed, "signed at the end too: {words}");
    Ok(())
}

fn number_before(words: &str, unit: &str) -> Option<u64> {
    words.split(unit).next()?.split(|c: char| !c.is_ascii_digit()).next_back()?.parse().ok()
}

#[tokio::test]
async fn an_older_database_gets_its_tree_at_start() -> Test {
    let place = Place::new()?;
    let mut server = place.start()?;
    City::build(&server).await?;
    server.stop()?;
    place
        .tamper(&[
            "DROP TABLE ledger_tree",
            "DROP TABLE ledger_hashes",
            "DROP TABLE ledger_keys",
            "DROP TABLE ledger_checkpoints",
            "DELETE FROM _sqlx_migrations WHERE version = 6",
        ])
        .await?;
    let server = place.start()?;
    let mut officer = Client::new(&server.base)?;
    officer.sign_in("sujin", PASSWORD).await?;
    let state = officer.json("/api/v1/ledger/signed").await?;
    assert!(state["size"].as_u64() > Some(20) && state["refused"].is_null(), "{state}");
    let file = place.export("record.jsonl")?;
    said(place.elsewhere(&["ledger", "verify", &file, "--public-key", &place.key()?])?)?;
    // And the files of that time are still verified, as far as they go.
    let entries: String =
        fs::read_to_string(&file)?.lines().filter(|l| l.starts_with("{\"seq\"")).map(|l| format!("{l}\n")).collect();
    fs::write(&file, &entries)?;
    assert!(said(place.elsewhere(&["ledger", "verify", &file])?)?.contains("옛 형식"));
    let key = place.with_witness()?;
    for more in [["--witness-key", &key], ["--max-unwitnessed", "0"], ["--kept", &file]] {
        let told = place.elsewhere(&[&["ledger", "verify", &file][..], &more].concat())?;
        assert_eq!(told.status.code(), Some(2), "what cannot be asked of it is not passed over: {more:?}");
    }
    fs::write(&file, entries.replacen("sign_in", "sign_iN", 1))?;
    assert!(found(place.elsewhere(&["ledger", "verify", &file])?)?.contains("번 기록"));
    Ok(())
}
