//! Two real municipal work plans as a department's collection: ten questions, each answered by a citation that holds
//! the answer. The plans stay where they are; without them the test says so and is skipped.

use anyhow::Context;
use madang_tests::{City, Madang};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;
use std::path::Path;

#[derive(Deserialize)]
struct Questions {
    question: Vec<Question>,
}

#[derive(Deserialize)]
struct Question {
    file: String,
    question: String,
    answer_contains: String,
}

#[tokio::test]
async fn ten_questions_about_two_work_plans() -> anyhow::Result<()> {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/seeds");
    if !seeds.is_dir() {
        eprintln!("skipped: {} is not here", seeds.display());
        return Ok(());
    }
    let questions: Questions = toml::from_str(include_str!("../seed_questions.toml"))?;
    assert!(questions.question.len() >= 10);
    let server = Madang::start()?;
    let city = City::build(&server).await?;
    let collection = city.collection("주요업무계획", "O", false).await?;
    let official = &city.ict_official.client;
    let mut files: Vec<_> = questions.question.iter().map(|q| q.file.as_str()).collect();
    files.sort_unstable();
    files.dedup();
    for file in files {
        official.upload_ready(&collection, file, std::fs::read(seeds.join(file))?).await?;
    }
    let prompt = json!({ "prompt": "주요업무계획에 대한 질문에 근거를 붙여 답해줘" });
    let draft = official.ok(Method::POST, "/api/v1/drafts", prompt).await?;
    let draft = draft["id"].as_str().context("no draft")?.to_owned();
    let read = official.json(&format!("/api/v1/drafts/{draft}")).await?;
    let key = read["sheet"]["inputs"][0]["key"].as_str().context("no input")?.to_owned();
    let mut missed = Vec::new();
    for q in &questions.question {
        let trial = json!({ "inputs": { key.as_str(): q.question } });
        let run = official.ok(Method::POST, &format!("/api/v1/drafts/{draft}/trial"), trial).await?;
        let citations = run["citations"].as_array().cloned().unwrap_or_default();
        let mut held = false;
        for citation in &citations {
            let passage = citation["passage"].as_str().context("citation without passage")?;
            let opened = official.json(&format!("/api/v1/passages/{passage}")).await?;
            held |= opened["text"].as_str().is_some_and(|t| t.contains(&q.answer_contains));
        }
        if !held {
            missed.push(format!("{} → {} not in {}", q.question, q.answer_contains, run["answer"]));
        }
    }
    assert!(missed.is_empty(), "{} of {}:\n{}", missed.len(), questions.question.len(), missed.join("\n"));
    Ok(())
}
