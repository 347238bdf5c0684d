//! Folders of a department's share over HTTP against the real binary: what becomes of documents when their files
//! change, move, go or cannot be taken in, and when whoever connected the folder may no longer.

use anyhow::Context;
use madang_tests::{City, Client, Madang, PASSWORD, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

type Test = anyhow::Result<()>;

async fn hits(client: &Client, q: &str) -> anyhow::Result<Vec<Value>> {
    let answer = client.get(&format!("/api/v1/search?q={q}")).await?;
    let body: Value = answer.error_for_status()?.json().await?;
    Ok(body["hits"].as_array().context("hits")?.clone())
}

/// Writes a file that nobody seems to be writing any more.
fn put(path: &Path, text: &str, age: u64) -> anyhow::Result<()> {
    std::fs::create_dir_all(path.parent().context("parent")?)?;
    std::fs::write(path, text)?;
    let then = std::time::SystemTime::now() - std::time::Duration::from_secs(age);
    Ok(std::fs::File::options().write(true).open(path)?.set_modified(then)?)
}

#[tokio::test]
async fn a_collection_follows_a_folder_of_its_departments_share() -> Test {
    let share = tempfile::tempdir()?;
    let root = share.path().join("share");
    put(&root.join("규정/당직.md"), "# 당직 규정\n\n당직 근무는 저녁 여섯 시에 시작한다.", 900)?;
    put(&root.join("규정/사진.jpg"), "그림", 900)?;
    put(&root.join("규정/~$당직.docx"), "잠금", 900)?;
    put(&root.join("밖.md"), "# 다른 폴더\n\n이 글은 연결한 폴더 밖에 있다.", 900)?;
    let home = tempfile::tempdir()?;
    let server = Madang::start_in(home.path(), &["--share", &format!("정보통신과={}", root.display())])?;
    let city = City::build(&server).await?;
    let collection = city.collection("규정", "O", true).await?;
    let client = &city.ict_official.client;
    let path = format!("/api/v1/collections/{collection}/folder");
    assert_eq!(client.json(&path).await?["choices"], json!(["", "규정"]));
    for out in ["..", "/etc", "없는 폴더"] {
        let refused = client.send(Method::PUT, &path, json!({ "path": out })).await?;
        assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY, "{out}");
    }
    let stranger = &city.civil_official.client;
    let refused = stranger.send(Method::PUT, &path, json!({ "path": "규정" })).await?;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN, "a reader of the collection is not its owner");
    client.ok(Method::PUT, &path, json!({ "path": "규정" })).await?;
    let documents = format!("/api/v1/collections/{collection}/documents");
    let listed = async || -> anyhow::Result<Vec<Value>> {
        Ok(client.json(&documents).await?["documents"].as_array().cloned().unwrap_or_default())
    };
    // Looks now, until the list is as wanted and all of it is ready.
    let until = async |wanted: &[&str]| {
        eventually(&format!("{wanted:?} is listed"), || async {
            client.ok(Method::POST, &format!("{path}/look"), json!({})).await?;
            let listed = listed().await?;
            let names: Vec<_> = listed.iter().filter_map(|d| d["file_name"].as_str()).collect();
            let ready = listed.iter().all(|d| d["state"] == "ready");
            Ok((ready && names == wanted).then_some(listed.clone()))
        })
        .await
    };
    let first = until(&["당직.md"]).await?[0]["id"].clone();
    let cited = hits(client, "당직 근무 시작").await?;
    assert_eq!(cited[0]["document"], first);
    let folder = client.json(&path).await?;
    assert_eq!(folder["folder"]["summary"]["files"], 2, "{folder}");
    assert_eq!(folder["skipped"][0][1], 1, "the picture: {folder}");

    put(&root.join("규정/당직.md"), "# 당직 규정\n\n당직 근무는 저녁 일곱 시에 시작한다.", 600)?;
    let changed = eventually("the change is followed", || async {
        client.ok(Method::POST, &format!("{path}/look"), json!({})).await?;
        let hits = hits(client, "당직 근무 시작").await?;
        Ok(hits.iter().any(|h| h["text"].as_str().is_some_and(|t| t.contains("일곱"))).then_some(hits))
    })
    .await?;
    assert!(changed.iter().all(|h| h["document"] != first), "the newest version alone is found");
    let old = client.json(&format!("/api/v1/passages/{}", cited[0]["id"].as_str().context("id")?)).await?;
    assert!(old["text"].as_str().is_some_and(|t| t.contains("여섯")), "what was cited still opens: {old}");

    std::fs::create_dir_all(root.join("규정/2026"))?;
    std::fs::rename(root.join("규정/당직.md"), root.join("규정/2026/야간 근무.md"))?;
    let moved = until(&["야간 근무.md"]).await?;
    assert_eq!(moved[0]["title"], "야간 근무");
    assert_eq!(moved[0]["id"], changed[0]["document"], "the same document under another name");

    std::fs::rename(&root, share.path().join("away"))?;
    let lost = eventually("the lost share is told of", || async {
        client.ok(Method::POST, &format!("{path}/look"), json!({})).await?;
        let folder = client.json(&path).await?["folder"].clone();
        Ok(folder["error"].is_string().then_some(folder))
    })
    .await?;
    assert!(lost["error"].as_str().is_some_and(|e| e.contains("그대로")), "{lost}");
    assert_eq!(listed().await?.len(), 1, "an unmounted share deletes nothing");
    std::fs::rename(share.path().join("away"), &root)?;

    put(&root.join("규정/새 지침.md"), "# 새 지침\n\n민원실은 점심에도 연다.", 600)?;
    std::fs::remove_file(root.join("규정/2026/야간 근무.md"))?;
    until(&["새 지침.md"]).await?;
    assert!(hits(client, "당직 근무 시작").await?.is_empty(), "a file that is gone is found no more");
    client.ok(Method::DELETE, &path, json!({})).await?;
    assert_eq!(client.json(&path).await?["folder"], Value::Null);
    assert_eq!(listed().await?.len(), 1, "documents stay when following ends");
    Ok(())
}

/// A collection that follows the whole share of its department.
struct Following {
    server: Madang,
    city: City,
    root: PathBuf,
    collection: String,
    _share: tempfile::TempDir,
}

impl Following {
    async fn start(files: &[&str]) -> anyhow::Result<Self> {
        let share = tempfile::tempdir()?;
        let root = share.path().to_owned();
        for name in files {
            put(&root.join(name), &format!("# {name}\n\n{name} 문서는 창고에 둔다."), 900)?;
        }
        let server = Madang::start_with(&["--share", &format!("정보통신과={}", root.display())])?;
        let city = City::build(&server).await?;
        let collection = city.collection("창고", "O", true).await?;
        let out = Self { server, city, root, collection, _share: share };
        out.city.ict_official.client.ok(Method::PUT, &out.path(""), json!({ "path": "" })).await?;
        Ok(out)
    }

    /// Of the folder, or of what is done with it.
    fn path(&self, what: &str) -> String {
        format!("/api/v1/collections/{}/folder{what}", self.collection)
    }

    /// Looks again and again until the folder is as wanted.
    async fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        let client = &self.city.ict_manager.client;
        eventually(what, || async {
            client.ok(Method::POST, &self.path("/look"), json!({})).await?;
            let folder = client.json(&self.path("")).await?;
            Ok(wanted(&folder).then_some(folder))
        })
        .await
    }

    /// Looks until so many documents are listed and all of them ready.
    async fn until_ready(&self, number: usize) -> anyhow::Result<Vec<Value>> {
        let client = &self.city.ict_manager.client;
        eventually(&format!("{number} documents are ready"), || async {
            client.ok(Method::POST, &self.path("/look"), json!({})).await?;
            let listed = self.listed().await?;
            Ok((listed.len() == number && listed.iter().all(|d| d["state"] == "ready")).then_some(listed))
        })
        .await
    }

    async fn listed(&self) -> anyhow::Result<Vec<Value>> {
        let path = format!("/api/v1/collections/{}/documents", self.collection);
        let body = self.city.ict_manager.client.json(&path).await?;
        Ok(body["documents"].as_array().context("documents")?.clone())
    }
}

#[tokio::test]
async fn a_file_that_is_refused_once_keeps_its_document() -> Test {
    let world = Following::start(&["가.md"]).await?;
    let first = world.until_ready(1).await?[0]["id"].clone();
    put(&world.root.join("가.md"), "", 800)?;
    world.until("the empty file is told of", |f| f["skipped"][0][1] == 1).await?;
    assert_eq!(world.until_ready(1).await?[0]["id"], first, "it is found as before");
    put(&world.root.join("가.md"), "# 가\n\n이제는 지하 서고에 둔다.", 700)?;
    world.until("the file is whole again", |f| f["skipped"] == json!([])).await?;
    let listed = world.until_ready(1).await?;
    assert_ne!(listed[0]["id"], first, "the new version in its place");
    assert!(hits(&world.city.ict_official.client, "창고에 둔다").await?.iter().all(|h| h["document"] != first));
    Ok(())
}

#[tokio::test]
async fn much_that_is_gone_stays_until_somebody_confirms_it() -> Test {
    let world = Following::start(&["1.md", "2.md", "3.md", "4.md", "5.md", "6.md", "7.md"]).await?;
    let owner = &world.city.ict_official.client;
    world.until_ready(7).await?;
    let early = owner.send(Method::POST, &world.path("/removals"), json!({})).await?;
    assert_eq!(early.status(), StatusCode::CONFLICT, "none is missing");
    let away = world.root.join(".away");
    std::fs::create_dir(&away)?;
    for name in ["1.md", "2.md", "3.md", "4.md", "5.md", "6.md"] {
        std::fs::rename(world.root.join(name), away.join(name))?;
    }
    put(&world.root.join("새것.md"), "# 새것\n\n새것은 책상에 둔다.", 600)?;
    let folder = world.until("six files are missed", |f| f["folder"]["summary"]["missing"] == 6).await?;
    assert_eq!(folder["folder"]["error"], Value::Null, "the rest is kept in step: {folder}");
    world.until_ready(8).await?;
    let (_, page) = owner.page(&format!("/collections/{}", world.collection)).await?;
    assert!(page.contains("일부러 지웠습니다") && page.contains("파일 6개가"), "{page}");
    let stranger = &world.city.civil_official.client;
    let refused = stranger.send(Method::POST, &world.path("/removals"), json!({})).await?;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    // One comes back meanwhile; the others go.
    std::fs::rename(away.join("1.md"), world.root.join("1.md"))?;
    owner.ok(Method::POST, &world.path("/removals"), json!({})).await?;
    let left = world.until_ready(3).await?;
    let mut names: Vec<_> = left.iter().filter_map(|d| d["file_name"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["1.md", "7.md", "새것.md"]);

    // Withdrawn ones are listed for those who may delete them, and deleted from their own page.
    let (_, page) = owner.page(&format!("/collections/{}", world.collection)).await?;
    let (_, list) = page.split_once("거둔 문서").context("the withdrawn are listed")?;
    let (_, id) = list.split_once("/documents/").context("a withdrawn one")?;
    let id = id.get(..36).context("an id")?;
    let (_, readers) = stranger.page(&format!("/collections/{}", world.collection)).await?;
    assert!(!readers.contains("거둔 문서"));
    let (status, page) = stranger.page(&format!("/documents/{id}")).await?;
    assert!(status == StatusCode::OK && !page.contains("문서 지우기"), "its readers open it");
    let (_, page) = owner.page(&format!("/documents/{id}")).await?;
    assert!(page.contains("문서 지우기"));
    owner.ok(Method::DELETE, &format!("/api/v1/documents/{id}"), json!({})).await?;
    assert_eq!(stranger.page(&format!("/documents/{id}")).await?.0, StatusCode::NOT_FOUND);
    Ok(())
}

#[tokio::test]
async fn a_folder_stops_with_the_right_of_whoever_connected_it() -> Test {
    let world = Following::start(&["가.md"]).await?;
    let first = world.until_ready(1).await?[0]["id"].clone();
    let connector = &world.city.ict_official;
    let path = format!("/api/v1/people/{}/deactivate", connector.id);
    world.city.admin.client.ok(Method::POST, &path, json!({})).await?;
    put(&world.root.join("나.md"), "# 나\n\n나중에 온 문서다.", 600)?;
    let folder = world.until("the folder stops", |f| f["folder"]["error"].is_string()).await?;
    assert_eq!(folder["folder"]["allowed"], false, "{folder}");
    assert_eq!(world.listed().await?.len(), 1, "nothing comes in any more");
    let manager = &world.city.ict_manager.client;
    let (_, page) = manager.page(&format!("/collections/{}", world.collection)).await?;
    assert!(page.contains("내 이름으로 다시 연결") && page.contains("맞추기를 멈췄습니다"), "{page}");
    manager.ok(Method::PUT, &world.path(""), json!({ "path": "" })).await?;
    let listed = world.until_ready(2).await?;
    assert!(listed.iter().any(|d| d["id"] == first), "it goes on where it stood");
    Ok(())
}

#[tokio::test]
async fn a_server_ends_while_it_follows_folders() -> Test {
    let mut world = Following::start(&["가.md"]).await?;
    world.until_ready(1).await?;
    assert!(world.server.stop()?.success());
    let server = Madang::start_in(world.server.home(), &[])?;
    let mut client = Client::new(&server.base)?;
    client.sign_in(&world.city.ict_official.login, PASSWORD).await?;
    assert_eq!(hits(&client, "창고에 둔다").await?.len(), 1, "without its share the document stays");
    Ok(())
}
