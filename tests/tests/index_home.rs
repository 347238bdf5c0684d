//! The index as operator and readers meet it: made anew and moved while it serves, checked, damaged and mended, and the
//! classified passages in an index of their own from the moment a grade is changed.

use anyhow::{Context, ensure};
use madang_tests::{City, Client, Madang, PASSWORD, eventually};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

type Test = anyhow::Result<()>;

const QUESTIONS: [&str; 3] = ["당직자는 언제 보고합니까", "여권 재발급 수수료", "제3호 규정"];

async fn some_documents(city: &City, name: &str, grade: &str) -> anyhow::Result<String> {
    let collection = city.collection(name, grade, grade == "O").await?;
    for n in 0..4 {
        let text = format!(
            "# 규정 {n}\n\n제{n}호 규정. 당직자는 {n}분 이내에 보고한다.\n\n여권 재발급 수수료는 {n}만 원이다.\n"
        );
        city.ict_official.client.upload_ready(&collection, &format!("{name} {n}.md"), text).await?;
    }
    Ok(collection)
}

/// The passages found for a question, with their scores in thousandths.
type Answer = BTreeMap<String, i64>;

async fn answers(by: &Client) -> anyhow::Result<Vec<Answer>> {
    let mut all = Vec::new();
    for question in QUESTIONS {
        let found = by.json(&format!("/api/v1/search?q={question}&limit=20")).await?;
        let hits = found["hits"].as_array().context("hits")?.iter();
        let score = |hit: &Value| (hit["score"].as_f64().unwrap_or_default() * 1000.0).round() as i64;
        let answer: Answer = hits.map(|hit| (hit["id"].to_string(), score(hit))).collect();
        ensure!(!answer.is_empty(), "nothing found for {question}: {found}");
        all.push(answer);
    }
    Ok(all)
}

/// The passages alone. A passage's weights follow the mean length when it was indexed: scores of an index that grew
/// document by document are a little apart from those of one that was filled at once, and equal between two of these.
fn passages(answers: &[Answer]) -> Vec<BTreeSet<String>> {
    answers.iter().map(|answer| answer.keys().cloned().collect()).collect()
}

async fn hits(by: &Client, question: &str) -> anyhow::Result<usize> {
    let found = by.json(&format!("/api/v1/search?q={question}&limit=50")).await?;
    Ok(found["hits"].as_array().context("hits")?.len())
}

/// `madang index …` and what it said.
fn index(server: &Madang, arguments: &[&str]) -> anyhow::Result<(bool, String)> {
    let output = server.command(&[&["index"], arguments].concat())?;
    let words = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&words).into_owned()))
}

#[tokio::test]
async fn made_anew_while_it_serves() -> Test {
    let home = tempfile::tempdir()?;
    let mut server = Madang::start_in(home.path(), &[])?;
    let city = City::build(&server).await?;
    some_documents(&city, "당직", "O").await?;
    some_documents(&city, "기밀 당직", "C").await?;
    let official = &city.ict_official.client;
    let grown = passages(&answers(official).await?);
    let (sound, words) = index(&server, &["check"])?;
    ensure!(sound && words.contains("같습니다"), "{words}");
    let (done, words) = index(&server, &["rebuild"])?;
    ensure!(done && words.contains("index-2"), "{words}");
    let before = answers(official).await?;
    assert_eq!(passages(&before), grown, "the same passages");
    let (done, words) = index(&server, &["rebuild"])?;
    ensure!(done && words.contains("index-3"), "{words}");
    assert_eq!(answers(official).await?, before, "with the same scores");
    assert!(!home.path().join("index").exists() && !home.path().join("index-2").exists(), "old ones are gone");
    // What is written after the change is found too, and all of it after a restart.
    let late = city.collection("늦은 자료", "O", true).await?;
    official.upload_ready(&late, "늦게.md", "# 제설\n\n제설함은 네거리마다 둔다.\n").await?;
    assert_eq!(hits(official, "제설함").await?, 1);
    ensure!(index(&server, &["check"])?.0);
    server.stop()?;
    let (sound, words) = index(&server, &["check"])?;
    ensure!(sound, "without the server: {words}");
    let (done, words) = index(&server, &["rebuild"])?;
    ensure!(done && words.contains("index-4"), "without the server: {words}");
    let server = Madang::start_in(home.path(), &[])?;
    let mut again = Client::new(&server.base)?;
    again.sign_in(&city.ict_official.login, PASSWORD).await?;
    assert_eq!(hits(&again, "제설함").await?, 1);
    ensure!(index(&server, &["check"])?.0);
    Ok(())
}

#[tokio::test]
async fn a_check_after_a_power_cut_finds_nothing_wrong() -> Test {
    let home = tempfile::tempdir()?;
    let mut server = Madang::start_in(home.path(), &[])?;
    let city = City::build(&server).await?;
    let collection = some_documents(&city, "당직", "O").await?;
    let official = &city.ict_official.client;
    let mut text = String::from("# 점검 대장\n");
    for number in 1..=30_000 {
        text.push_str(&format!("\n{number}번 시설은 다달이 점검하고 담당자가 그 까닭과 함께 대장에 적는다.\n"));
    }
    let added: Value = official.upload(&collection, "대장.md", text).await?.json().await?;
    let path = format!("/api/v1/documents/{}", added["id"].as_str().context("id")?);
    eventually("some of its passages are in the index", || async {
        let document = official.json(&path).await?;
        ensure!(document["state"] != "ready", "read before it could be killed: make the text longer");
        Ok(document["percent"].as_u64().is_some_and(|percent| percent > 50).then_some(()))
    })
    .await?;
    server.kill()?;
    let (sound, words) = index(&server, &["check"])?;
    ensure!(sound, "{words}");
    Ok(())
}

#[tokio::test]
async fn a_lost_or_damaged_index_comes_back_with_the_same_results() -> Test {
    let home = tempfile::tempdir()?;
    let mut server = Madang::start_in(home.path(), &[])?;
    let city = City::build(&server).await?;
    some_documents(&city, "당직", "O").await?;
    some_documents(&city, "기밀 당직", "C").await?;
    ensure!(index(&server, &["rebuild"])?.0);
    let before = answers(&city.ict_official.client).await?;
    server.stop()?;
    drop(server);
    let index_folder = home.path().join("index-2");
    let harm: [(&str, &dyn Fn() -> std::io::Result<()>); 5] = [
        ("all of it", &|| std::fs::remove_dir_all(&index_folder)),
        ("the classified one", &|| std::fs::remove_dir_all(index_folder.join("closed"))),
        ("what it knows of itself", &|| std::fs::remove_file(index_folder.join("meta.json"))),
        ("the passages", &|| std::fs::remove_dir_all(index_folder.join("shard/segments"))),
        ("every file cut in half", &|| halve(&index_folder.join("closed/shard"))),
    ];
    for (what, harm) in harm {
        harm()?;
        let mut server = Madang::start_in(home.path(), &[])?;
        let mut reader = Client::new(&server.base)?;
        reader.sign_in(&city.ict_official.login, PASSWORD).await?;
        let mended = eventually("the index is whole again", || async {
            let whole = index(&server, &["check"])?.0;
            Ok(whole.then_some(answers(&reader).await?))
        });
        assert_eq!(mended.await?, before, "{what}");
        server.stop()?;
    }
    Ok(())
}

fn halve(dir: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            halve(&path)?;
        } else {
            let file = std::fs::File::options().write(true).open(&path)?;
            file.set_len(file.metadata()?.len() / 2)?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn rights_and_grades_take_effect_on_the_next_question() -> Test {
    let server = Madang::start()?;
    let city = City::build(&server).await?;
    let collection = some_documents(&city, "당직", "O").await?;
    let (owner, other) = (&city.ict_official.client, &city.civil_official.client);
    let seen = async || -> anyhow::Result<(usize, usize)> {
        Ok((hits(owner, "당직자").await?, hits(other, "당직자").await?))
    };
    assert_eq!(seen().await?, (4, 4));
    let path = format!("/api/v1/collections/{collection}");
    let readers = format!("{path}/readers");
    owner.ok(Method::PUT, &readers, json!({ "everyone": false, "departments": [] })).await?;
    assert_eq!(seen().await?, (4, 0), "readers were taken away");
    owner.ok(Method::PUT, &readers, json!({ "everyone": false, "departments": [city.civil] })).await?;
    assert_eq!(seen().await?, (4, 4), "and named again");
    owner.ok(Method::PUT, &readers, json!({ "everyone": true, "departments": [] })).await?;
    // Classified: closed to everyone at once; the owner goes on finding each passage once while they are moved.
    owner.ok(Method::PATCH, &path, json!({ "grade": "C" })).await?;
    assert_eq!(seen().await?, (4, 0), "raised to C");
    let moved = eventually("the passages lie in the classified index", || async {
        assert_eq!(seen().await?, (4, 0), "while they move");
        let (sound, words) = index(&server, &["check"])?;
        Ok((sound && words.contains("기밀 4개")).then_some(words))
    });
    moved.await?;
    owner.upload_ready(&collection, "나중.md", "# 추가\n\n당직자는 이상 유무를 적는다.\n").await?;
    assert_eq!(seen().await?, (5, 0), "a new document of the collection");
    ensure!(index(&server, &["check"])?.1.contains("기밀 5개"));
    let lowered = json!({ "grade": "S", "reason": "공개 심의를 마침" });
    city.ict_manager.client.ok(Method::PATCH, &path, lowered).await?;
    assert_eq!(seen().await?, (5, 0), "lowered: nobody was named again");
    eventually("the passages are back", || async {
        let (sound, words) = index(&server, &["check"])?;
        Ok((sound && words.contains("기밀 0개")).then_some(()))
    })
    .await?;
    let listed = owner.json(&format!("{path}/documents")).await?;
    let first = listed["documents"][0]["id"].as_str().context("a document")?;
    owner.ok(Method::DELETE, &format!("/api/v1/documents/{first}"), json!({})).await?;
    assert_eq!(seen().await?.0, 4, "deleted");
    Ok(())
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_leaves_the_old_index_serving() -> Test {
    let server = Madang::start()?;
    let city = City::build(&server).await?;
    some_documents(&city, "당직", "O").await?;
    let before = answers(&city.ict_official.client).await?;
    for (url, told) in [
        ("http://127.0.0.1:9", "닿지 못했습니다"),
        ("https://203.0.113.7:6334", "내부망"),
        ("", "--url"),
        ("qdrant", "검색 서버"),
    ] {
        let (done, words) = index(&server, &["move", "--to", "server", "--url", url])?;
        ensure!(!done && words.contains(told) && !words.contains("panicked"), "{url}: {words}");
    }
    assert_eq!(answers(&city.ict_official.client).await?, before);
    let (sound, words) = index(&server, &["check"])?;
    ensure!(sound && words.contains("내장(index)"), "{words}");
    Ok(())
}

#[tokio::test]
async fn moves_to_a_server_and_back_while_it_serves() -> Test {
    let Ok(url) = std::env::var("MADANG_TEST_QDRANT_URL") else {
        eprintln!("skipped: MADANG_TEST_QDRANT_URL names no Qdrant server");
        return Ok(());
    };
    let home = tempfile::tempdir()?;
    let mut server = Madang::start_in(home.path(), &[])?;
    let city = City::build(&server).await?;
    some_documents(&city, "당직", "O").await?;
    some_documents(&city, "기밀 당직", "C").await?;
    ensure!(index(&server, &["rebuild"])?.0);
    let before = answers(&city.ict_official.client).await?;
    let key_file = home.path().join("qdrant.key");
    std::fs::write(&key_file, std::env::var("MADANG_TEST_QDRANT_API_KEY").unwrap_or_default())?;
    let key_file = key_file.to_str().context("path")?;
    let there = ["move", "--to", "server", "--url", &url, "--key-file", key_file, "--prefix", "madang-test"];
    let (done, words) = index(&server, &there)?;
    ensure!(done, "{words}");
    assert_eq!(answers(&city.ict_official.client).await?, before);
    let (sound, words) = index(&server, &["check"])?;
    ensure!(sound && words.contains("Qdrant 서버"), "{words}");
    server.stop()?;
    let server = Madang::start_in(home.path(), &[])?;
    let mut reader = Client::new(&server.base)?;
    reader.sign_in(&city.ict_official.login, PASSWORD).await?;
    assert_eq!(answers(&reader).await?, before);
    let (done, words) = index(&server, &["move", "--to", "embedded"])?;
    ensure!(done, "{words}");
    assert_eq!(answers(&reader).await?, before);
    Ok(())
}
