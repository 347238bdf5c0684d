//! Every bundled app takes its exam over the demo city's documents, answered by the quoting engine.

mod support;

use madang_domain::{Grade, Role};
use madang_registry::exam::judge;
use madang_registry::quoting::QuotingEngine;
use serde::Deserialize;
use std::path::Path;
use std::sync::Arc;
use support::House;

#[derive(Deserialize)]
struct City {
    collection: Vec<Collection>,
}

#[derive(Deserialize)]
struct Collection {
    name: String,
    grade: String,
    files: Vec<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bundled_app_passes_its_exam() {
    let house = House::open(Arc::new(QuotingEngine::default())).await;
    let department = house.department("자치행정과").await;
    let person = house.person("official", department, &[Role::Official]).await;
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo");
    let city: City =
        toml::from_str(&std::fs::read_to_string(demo.join("city.toml")).expect("city.toml")).expect("a city");
    for collection in &city.collection {
        let grade: Grade = collection.grade.parse().expect("a grade");
        let id = house.collection(&person, &collection.name, grade, &[]).await;
        for file in &collection.files {
            let bytes = std::fs::read(demo.join(file)).expect("a document");
            house.document(&person, id, file.rsplit('/').next().unwrap_or(file), &bytes).await;
        }
    }
    let mut faults = Vec::new();
    let mut questions = 0;
    for app in madang_server::bundled::apps().expect("sound apps") {
        for (i, question) in app.exam.iter().enumerate() {
            questions += 1;
            let outcome = madang_server::running::examine(&house.app, &person.identity.scope, &app.sheet, question)
                .await
                .unwrap_or_else(|e| panic!("{} {i}: {}", app.slug, e.message));
            for fault in judge(question, &outcome) {
                faults.push(format!(
                    "{} {i}: {fault}\n{:?}\n{:?}\n{}\n",
                    app.slug,
                    question.inputs.values(),
                    outcome.documents,
                    outcome.answer
                ));
            }
        }
    }
    assert!(questions >= 20, "{questions} questions");
    assert!(faults.is_empty(), "{} of {questions}:\n{}", faults.len(), faults.join("\n"));
}
