//! Collecting and finding over HTTP against the real binary: good and bad files, rights at every id, what deletion and
//! moves do to the next search, and what survives `kill -9`.

#[path = "../../crates/documents/tests/common/mod.rs"]
mod files;

use anyhow::Context;
use madang_documents::write::markdown_to_docx;
use madang_tests::{City, Client, Madang, PASSWORD, eventually};
use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::io::{Cursor, Write};

type Test = anyhow::Result<()>;

const GUIDE: &str = "# 대강당 사용 안내\n\n## 1. 신청\n대강당은 사용 닷새 전까지 총무팀에 신청한다.\n\n\
## 2. 열쇠\n열쇠는 당직실에서 받고 다음 날 아침 9시까지 돌려준다.\n";

async fn hits(client: &Client, q: &str) -> anyhow::Result<Vec<Value>> {
    let answer = client.get(&format!("/api/v1/search?q={q}")).await?;
    let body: Value = answer.error_for_status()?.json().await?;
    Ok(body["hits"].as_array().context("hits")?.clone())
}

/// Waits until the document has come to an end; the state and the note shown with it.
async fn end_of(client: &Client, id: &str) -> anyhow::Result<(String, String)> {
    let path = format!("/api/v1/documents/{id}");
    eventually("the document comes to its end", || async {
        let document = client.json(&path).await?;
        let state = document["state"].as_str().unwrap_or_default().to_owned();
        let ended = matches!(state.as_str(), "ready" | "failed" | "cancelled");
        Ok(ended.then(|| (state, document["note"].as_str().unwrap_or_default().to_owned())))
    })
    .await
}

async fn added(client: &Client, collection: &str, name: &str, bytes: Vec<u8>) -> anyhow::Result<String> {
    let answer = client.upload(collection, name, bytes).await?;
    let status = answer.status();
    let text = answer.text().await?;
    anyhow::ensure!(status == StatusCode::CREATED, "{name}: {status} {text}");
    let body: Value = serde_json::from_str(&text)?;
    Ok(body["id"].as_str().context("no id")?.to_owned())
}

/// A DOCX that inflates to 600 MB.
fn bomb() -> anyhow::Result<Vec<u8>> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    zip.start_file("[Content_Types].xml", options)?;
    zip.write_all(
        br#"<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>"#,
    )?;
    zip.start_file("word/document.xml", options)?;
    let chunk = vec![b'a'; 1 << 20];
    for _ in 0..600 {
        zip.write_all(&chunk)?;
    }
    Ok(zip.finish()?.into_inner())
}

#[tokio::test]
async fn every_format_is_read_and_found() -> Test {
    let server = Madang::start()?;
    let city = City::build(&server).await?;
    let collection = city.collection("모든 형식", "O", false).await?;
    let client = &city.ict_official.client;
    for (name, bytes) in files::all() {
        let id = client.upload_ready(&collection, name, bytes.clone()).await?;
        let document = client.json(&format!("/api/v1/documents/{id}")).await?;
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        assert_eq!(document["title"], stem, "the title is the file's name");
        assert!(document["passages"].as_u64().is_some_and(|n| n > 0), "{document}");
        let original = client.get(&format!("/api/v1/documents/{id}/original")).await?;
        let headers = original.headers().clone();
        assert!(headers["content-disposition"].to_str()?.starts_with("attachment"));
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["content-type"], "application/octet-stream");
        assert_eq!(original.bytes().await?.as_ref(), bytes.as_slice(), "{name}");
    }
    assert!(hits(client, "행정망 점검").await?.len() >= 4);
    Ok(())
}

#[tokio::test]
async fn bad_files_fail_with_words_that_say_what_to_do() -> Test {
    let server = Madang::start()?;
    let city = City::build(&server).await?;
    let collection = city.collection("나쁜 파일", "O", false).await?;
    let client = &city.ict_official.client;
    let empty = client.upload(&collection, "빈 글.txt", "").await?;
    assert_eq!(empty.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let docx = markdown_to_docx(GUIDE, "안내")?;
    let sealed = files::ole(&[("/EncryptionInfo", b"x"), ("/EncryptedPackage", b"y")]);
    let cases = [
        ("잘린 글.docx", docx.get(..docx.len() / 2).context("half")?.to_vec(), "손상"),
        ("암호.docx", sealed, "암호"),
        ("스캔.pdf", files::pdf(&[files::PICTURE], ""), "스캔"),
        ("그림.png", b"\x89PNG\r\n\x1a\n....".to_vec(), "형식"),
        ("폭탄.docx", bomb()?, "압축"),
        ("빈칸.txt", b"  \n \n".to_vec(), "글자"),
    ];
    for (name, bytes, word) in cases {
        let id = added(client, &collection, name, bytes).await?;
        let (state, note) = end_of(client, &id).await?;
        assert_eq!(state, "failed", "{name}");
        assert!(note.contains(word), "{name}: {note}");
        let retried = client.post(&format!("/api/v1/documents/{id}/retry"), json!({})).await?;
        assert_eq!(retried.status(), StatusCode::NO_CONTENT);
        assert_eq!(end_of(client, &id).await?.0, "failed", "{name} again");
    }
    let id = added(client, &collection, "이름만 문서.pdf", docx).await?;
    let (state, note) = end_of(client, &id).await?;
    assert_eq!(state, "ready", "the content decides: {note}");
    assert!(!note.is_empty(), "and its owner is told");
    assert_eq!(server_is_well(client).await?, StatusCode::OK);
    Ok(())
}

async fn server_is_well(client: &Client) -> anyhow::Result<StatusCode> {
    Ok(client.get("/readyz").await?.status())
}

#[tokio::test]
async fn many_files_have_an_outcome_each_and_the_same_bytes_enter_once() -> Test {
    let server = Madang::start()?;
    let city = City::build(&server).await?;
    let collection = city.collection("여러 파일", "O", false).await?;
    let client = &city.ict_official.client;
    let part = |name: &str, text: &str| Part::bytes(text.as_bytes().to_vec()).file_name(name.to_owned());
    let form = Form::new()
        .part("a", part("../../안내.md", GUIDE))
        .part("b", part("빈.txt", ""))
        .part("c", part("같은 것.md", GUIDE))
        .text("d", "파일이 아닌 칸");
    let path = format!("/api/v1/collections/{collection}/documents");
    let answer = client.request(Method::POST, &path).multipart(form).send().await?;
    assert_eq!(answer.status(), StatusCode::CREATED);
    let body: Value = answer.json().await?;
    let outcomes = body["documents"].as_array().context("outcomes")?;
    assert_eq!(outcomes.len(), 3, "{body}");
    assert_eq!((&outcomes[0]["name"], &outcomes[0]["duplicate"]), (&json!("안내.md"), &json!(false)));
    assert!(outcomes[1]["error"]["message"].as_str().is_some_and(|m| m.contains("빈 파일")));
    assert_eq!((&outcomes[2]["id"], &outcomes[2]["duplicate"]), (&outcomes[0]["id"], &json!(true)));
    let list = client.json(&path).await?;
    assert_eq!(list["total"], 1);
    let nothing = client.request(Method::POST, &path).multipart(Form::new().text("x", "y")).send().await?;
    assert_eq!(nothing.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let no_form = client.post(&path, json!({})).await?;
    assert_eq!(no_form.status(), StatusCode::BAD_REQUEST);
    let huge = client.upload(&collection, "큰 글.txt", vec![b'a'; (100 << 20) + 1]).await?;
    assert_eq!(huge.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(huge.text().await?.contains("100MB"));
    let incoming = std::fs::read_dir(server.home().join("originals/incoming"))?.count();
    assert_eq!(incoming, 0, "nothing half-written is left");
    Ok(())
}

#[tokio::test]
async fn what_is_deleted_is_gone_at_once_and_its_original_with_the_last_document() -> Test {
    let server = Madang::start()?;
    let city = City::build(&server).await?;
    let (first, second) = (city.collection("하나", "O", true).await?, city.collection("둘", "O", true).await?);
    let client = &city.ict_official.client;
    let here = client.upload_ready(&first, "안내.md", GUIDE).await?;
    let there = client.upload_ready(&second, "안내.md", GUIDE).await?;
    let found = hits(&city.civil_official.client, "대강당 신청은 언제까지").await?;
    let passage = found.first().context("found")?["id"].as_str().context("id")?.to_owned();
    let digest =
        client.json(&format!("/api/v1/documents/{here}")).await?["original"].as_str().context("digest")?.to_owned();
    let original = server.home().join("originals").join(&digest[..2]).join(&digest);
    client.ok(Method::DELETE, &format!("/api/v1/documents/{here}"), json!({})).await?;
    let found = hits(&city.civil_official.client, "대강당 신청은 언제까지").await?;
    assert!(found.iter().all(|h| h["document"] == there.as_str()), "{found:?}");
    assert!(original.exists(), "another document still refers to it");
    client.ok(Method::DELETE, &format!("/api/v1/collections/{second}"), json!({})).await?;
    assert!(hits(&city.civil_official.client, "대강당 신청은 언제까지").await?.is_empty());
    assert_eq!(client.get(&format!("/api/v1/passages/{passage}")).await?.status(), StatusCode::NOT_FOUND);
    assert!(!original.exists(), "nobody refers to it any more");
    Ok(())
}

#[tokio::test]
async fn readers_and_moves_count_from_the_next_query_on() -> Test {
    let server = Madang::start()?;
    let city = City::build(&server).await?;
    let collection = city.collection("안내", "S", false).await?;
    let official = &city.ict_official.client;
    let outsider = &city.civil_official.client;
    official.upload_ready(&collection, "안내.md", GUIDE).await?;
    let q = "열쇠는 어디서 받나";
    assert!(hits(outsider, q).await?.is_empty());
    let readers = format!("/api/v1/collections/{collection}/readers");
    let put = async |everyone: bool, departments: Vec<&str>| {
        official.ok(Method::PUT, &readers, json!({ "everyone": everyone, "departments": departments })).await
    };
    put(false, vec![&city.civil]).await?;
    assert!(!hits(outsider, q).await?.is_empty(), "a reader department");
    let people = official.json(&readers).await?["people"].to_string();
    assert!(people.contains("daeun") && people.contains("reader_department"), "{people}");
    assert!(!people.contains("sujin"));
    put(false, vec![]).await?;
    assert!(hits(outsider, q).await?.is_empty(), "closed again");
    let moved = json!({ "from": city.civil_official.post, "to": city.ict_official.post });
    city.admin.client.ok(Method::POST, &format!("/api/v1/people/{}/move", city.civil_official.id), moved).await?;
    assert!(!hits(outsider, q).await?.is_empty(), "the new post opens it");
    let moved = json!({ "from": city.ict_official.post, "to": city.civil_manager.post });
    city.admin.client.ok(Method::POST, &format!("/api/v1/people/{}/move", city.ict_official.id), moved).await?;
    assert!(hits(official, q).await?.is_empty(), "who made it leaves it behind");
    Ok(())
}

#[tokio::test]
async fn foreign_ids_are_not_found_wherever_they_are_put() -> Test {
    let server = Madang::start()?;
    let city = City::build(&server).await?;
    let secret = city.collection("비공개", "S", false).await?;
    let owner = &city.ict_official.client;
    let document = owner.upload_ready(&secret, "안내.md", GUIDE).await?;
    let passage = hits(owner, "대강당").await?.first().context("found")?["id"].as_str().context("id")?.to_owned();
    let outsider = &city.civil_official.client;
    let mine = outsider.ok(Method::POST, "/api/v1/collections", json!({ "name": "내 것", "grade": "O" })).await?;
    let mine = mine["id"].as_str().context("id")?.to_owned();
    let reads = [
        format!("/api/v1/collections/{secret}"),
        format!("/api/v1/collections/{secret}/readers"),
        format!("/api/v1/collections/{secret}/documents"),
        format!("/api/v1/documents/{document}"),
        format!("/api/v1/documents/{document}/original"),
        format!("/api/v1/passages/{passage}"),
        format!("/api/v1/search?q=x&collection={secret}"),
        format!("/collections/{secret}"),
        format!("/documents/{document}"),
        format!("/documents/{document}?passage={passage}"),
    ];
    for path in &reads {
        assert_eq!(outsider.get(path).await?.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let changes = [
        (Method::PATCH, format!("/api/v1/collections/{secret}"), json!({ "name": "내 이름" })),
        (Method::DELETE, format!("/api/v1/collections/{secret}"), json!({})),
        (Method::PUT, format!("/api/v1/collections/{secret}/readers"), json!({ "everyone": true })),
        (Method::DELETE, format!("/api/v1/documents/{document}"), json!({})),
        (Method::POST, format!("/api/v1/documents/{document}/cancel"), json!({})),
        (Method::POST, format!("/api/v1/documents/{document}/retry"), json!({})),
    ];
    for (method, path, body) in changes {
        assert_eq!(outsider.send(method, &path, body).await?.status(), StatusCode::NOT_FOUND, "{path}");
    }
    for path in [format!("/api/v1/collections/{secret}/documents"), format!("/api/v1/documents/{document}/replacement")]
    {
        let form = Form::new().part("file", Part::bytes(b"x".to_vec()).file_name("x.txt"));
        let answer = outsider.request(Method::POST, &path).multipart(form).send().await?;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let foreign = json!({ "name": "남의 부서 것", "grade": "O", "department": city.ict });
    assert_eq!(outsider.post("/api/v1/collections", foreign).await?.status(), StatusCode::FORBIDDEN);
    let hand = json!({ "department": city.ict });
    let answer = outsider.send(Method::PATCH, &format!("/api/v1/collections/{mine}"), hand).await?;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN, "nothing is put upon another department");
    assert_eq!(owner.get(&format!("/api/v1/documents/{document}")).await?.status(), StatusCode::OK, "all is as it was");
    assert!(hits(outsider, "대강당").await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_replacement_takes_over_when_it_is_read() -> Test {
    let server = Madang::start()?;
    let city = City::build(&server).await?;
    let collection = city.collection("안내", "O", true).await?;
    let client = &city.ict_official.client;
    let old = client.upload_ready(&collection, "안내.md", GUIDE).await?;
    let send = async |bytes: Vec<u8>| -> anyhow::Result<String> {
        let form = Form::new().part("file", Part::bytes(bytes).file_name("안내 고침.md"));
        let path = format!("/api/v1/documents/{old}/replacement");
        let answer = client.request(Method::POST, &path).multipart(form).send().await?.error_for_status()?;
        Ok(answer.json::<Value>().await?["id"].as_str().context("id")?.to_owned())
    };
    let broken = send(vec![0xff, 0xfe, 0x00]).await?;
    assert_eq!(end_of(client, &broken).await?.0, "failed");
    assert!(!hits(client, "대강당 닷새 전").await?.is_empty(), "the old one serves on");
    let new = send(GUIDE.replace("닷새", "이레").into_bytes()).await?;
    assert_eq!(end_of(client, &new).await?.0, "ready");
    let found = hits(client, "대강당 신청").await?;
    assert!(!found.is_empty() && found.iter().all(|h| h["document"] == new.as_str()), "{found:?}");
    let before = client.json(&format!("/api/v1/documents/{old}")).await?;
    assert_eq!((&before["state"], &before["superseded_by"]), (&json!("superseded"), &json!(new)));
    Ok(())
}

/// About 4 MB in some thousand passages, the last of which alone names the comet.
fn long_text() -> String {
    let mut text = String::from("# 시설 점검 대장\n");
    for number in 1..=30_000 {
        text.push_str(&format!(
            "\n{number}번 시설은 {}월에 점검하고 담당자가 대장에 적는다. 점검하지 못한 까닭도 함께 적는다.\n",
            number % 12 + 1
        ));
    }
    text.push_str("\n## 부록\n혜성관측소 시설은 따로 점검한다.\n");
    text
}

#[tokio::test]
async fn killed_while_reading_it_reads_on_and_nobody_saw_half_a_document() -> Test {
    let home = tempfile::tempdir()?;
    let mut server = Madang::start_in(home.path(), &[])?;
    let city = City::build(&server).await?;
    let collection = city.collection("대장", "O", true).await?;
    let small = city.ict_official.client.upload_ready(&collection, "안내.md", GUIDE).await?;
    let id = added(&city.ict_official.client, &collection, "대장.md", long_text().into_bytes()).await?;
    let path = format!("/api/v1/documents/{id}");
    eventually("the document is under way", || async {
        let state = city.ict_official.client.json(&path).await?["state"].clone();
        anyhow::ensure!(state != "ready", "read before it could be killed: make the text longer");
        Ok((state == "indexing").then_some(()))
    })
    .await?;
    assert!(hits(&city.ict_official.client, "혜성관측소").await?.is_empty(), "half a document is never found");
    server.kill()?;
    std::fs::write(home.path().join("originals/incoming/half"), b"an upload that was cut off")?;
    let server = Madang::start_in(home.path(), &[])?;
    let mut client = Client::new(&server.base)?;
    client.sign_in("jihun", PASSWORD).await?;
    assert_eq!(end_of(&client, &id).await?.0, "ready");
    let document = client.json(&path).await?;
    let found = hits(&client, "혜성관측소").await?;
    assert_eq!(
        found.iter().filter(|h| h["text"].as_str().is_some_and(|t| t.contains("혜성관측소"))).count(),
        1,
        "once"
    );
    assert!(document["passages"].as_u64().is_some_and(|n| n > 1000), "{document}");
    assert_eq!(client.json(&format!("/api/v1/documents/{small}")).await?["state"], "ready");
    assert!(!hits(&client, "대강당 열쇠").await?.is_empty(), "what was ready stays so");
    assert_eq!(std::fs::read_dir(home.path().join("originals/incoming"))?.count(), 0);
    Ok(())
}

#[tokio::test]
async fn cancelled_it_leaves_nothing_and_can_be_read_again() -> Test {
    let server = Madang::start()?;
    let city = City::build(&server).await?;
    let collection = city.collection("대장", "O", true).await?;
    let client = &city.ict_official.client;
    let id = added(client, &collection, "대장.md", long_text().into_bytes()).await?;
    client.ok(Method::POST, &format!("/api/v1/documents/{id}/cancel"), json!({})).await?;
    assert_eq!(end_of(client, &id).await?.0, "cancelled");
    assert!(hits(client, "혜성관측소").await?.is_empty());
    let again = client.post(&format!("/api/v1/documents/{id}/cancel"), json!({})).await?;
    assert_eq!(again.status(), StatusCode::CONFLICT);
    client.ok(Method::POST, &format!("/api/v1/documents/{id}/retry"), json!({})).await?;
    assert_eq!(end_of(client, &id).await?.0, "ready");
    assert_eq!(hits(client, "혜성관측소").await?.first().context("found")?["document"], id.as_str());
    Ok(())
}

#[tokio::test]
async fn a_lost_index_is_made_anew_from_the_database() -> Test {
    let home = tempfile::tempdir()?;
    let mut server = Madang::start_in(home.path(), &[])?;
    let city = City::build(&server).await?;
    let collection = city.collection("안내", "O", true).await?;
    city.ict_official.client.upload_ready(&collection, "안내.md", GUIDE).await?;
    assert!(server.stop()?.success(), "TERM ends it cleanly");
    std::fs::remove_dir_all(home.path().join("index"))?;
    let server = Madang::start_in(home.path(), &[])?;
    let mut client = Client::new(&server.base)?;
    client.sign_in("jihun", PASSWORD).await?;
    eventually("the index is full again", || async {
        Ok((!hits(&client, "대강당 열쇠").await?.is_empty()).then_some(()))
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn the_command_line_reads_files_and_says_why_not() -> Test {
    let server = Madang::start()?;
    let folder = tempfile::tempdir()?;
    let file = |name: &str, bytes: &[u8]| -> anyhow::Result<String> {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes)?;
        Ok(path.to_string_lossy().into_owned())
    };
    let guide = file("안내.md", GUIDE.as_bytes())?;
    let out = server.command(&["extract", &guide])?;
    assert!(out.status.success() && String::from_utf8(out.stdout)?.contains("## 2. 열쇠"));
    let out = server.command(&["extract", &guide, "--json"])?;
    let body: Value = serde_json::from_slice(&out.stdout)?;
    let last = body["passages"].as_array().and_then(|p| p.last()).context("passages")?;
    assert_eq!(last["heading_path"], json!(["대강당 사용 안내", "2. 열쇠"]));
    assert!(last["page"].is_null(), "no page where the format has none");
    let broken = file("깨짐.docx", b"PK\x03\x04 cut short")?;
    let out = server.command(&["extract", &broken, "--json"])?;
    assert!(!out.status.success());
    let body: Value = serde_json::from_slice(&out.stdout)?;
    assert!(body["error"]["message"].as_str().is_some_and(|m| !m.is_empty()), "{body}");
    Ok(())
}
