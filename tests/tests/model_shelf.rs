//! Models that were carried in, at the running server: which one serves, and that a model which cannot be loaded costs
//! nobody the one that could.

use anyhow::{Context, ensure};
use madang_tests::{City, Client, Madang, model};
use reqwest::Method;
use serde_json::{Value, json};

type Test = anyhow::Result<()>;

fn add(server: &Madang, name: &str, family: &str) -> Test {
    let file = model(family, "q8_0")?;
    let done = server.command(&["models", "add", file.to_str().context("path")?, "--name", name])?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

/// Names of what is loaded.
async fn serving(admin: &Client) -> anyhow::Result<Vec<String>> {
    let overview = admin.json("/api/v1/models").await?;
    let loaded = overview["loaded"].as_array().context("loaded")?;
    Ok(loaded.iter().filter_map(|m| m["name"].as_str()).map(str::to_owned).collect())
}

async fn status(admin: &Client, method: Method, name: &str) -> anyhow::Result<(u16, Value)> {
    let answer = admin.send(method, &format!("/api/v1/models/{name}/load"), json!({})).await?;
    let status = answer.status().as_u16();
    let text = answer.text().await?;
    Ok((status, serde_json::from_str(&text).unwrap_or_default()))
}

#[tokio::test]
async fn only_what_serves_is_unloaded_and_a_broken_model_costs_nobody_the_old_one() -> Test {
    let server = Madang::start()?;
    let city = City::build(&server).await?;
    let admin = &city.admin.client;
    add(&server, "first", "qwen3")?;
    add(&server, "second", "llama")?;
    assert_eq!(status(admin, Method::POST, "first").await?.0, 204);
    assert_eq!(serving(admin).await?, ["first"]);
    // `second` serves nobody: there is nothing to unload, and `first` goes on.
    let (code, told) = status(admin, Method::DELETE, "second").await?;
    ensure!(code == 409, "{code} {told}");
    assert_eq!(serving(admin).await?, ["first"]);
    // Damaged on the disk since it was added.
    let folder = server.home().join("models/second");
    let file = std::fs::read_dir(&folder)?.filter_map(Result::ok).map(|e| e.path());
    let file = file.into_iter().find(|p| p.extension().is_some_and(|e| e == "gguf")).context("the file")?;
    std::fs::write(&file, b"GGUF and nothing more")?;
    let (code, told) = status(admin, Method::POST, "second").await?;
    ensure!(code == 422, "{code} {told}");
    assert_eq!(serving(admin).await?, ["first"], "the old one is back");
    assert_eq!(status(admin, Method::DELETE, "first").await?.0, 204);
    ensure!(serving(admin).await?.is_empty());
    assert_eq!(status(admin, Method::POST, "third").await?.0, 404);
    Ok(())
}
