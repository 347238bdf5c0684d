//! A ranking model at the running server: what it prefers stands first, in the search and among what an app reads, and
//! without it the order is the search's own again.

use anyhow::{Context, ensure};
use madang_tests::{City, Client, Madang};
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::path::Path;

type Test = anyhow::Result<()>;

/// Width of the model.
const WIDTH: usize = 4;
/// The word that the model likes; its number in the vocabulary follows those of the special tokens.
const LIKED: (&str, usize) = ("붉은", 4);
const WORDS: usize = 5;
const POSITIONS: usize = 512;

/// Weights of a one-layer XLM-RoBERTa that is zero but for this: the liked word points along the first number, attention
/// averages all tokens, and the head reads the first number.
fn weights() -> Vec<u8> {
    let identity = |scale: f32| (0..WIDTH * WIDTH).map(|i| if i % (WIDTH + 1) == 0 { scale } else { 0.0 }).collect();
    let zeros = |count: usize| vec![0.0_f32; count];
    let mut words = zeros(WORDS * WIDTH);
    words[LIKED.1 * WIDTH] = 1.0;
    let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = vec![
        ("roberta.embeddings.word_embeddings.weight".into(), vec![WORDS, WIDTH], words),
        ("roberta.embeddings.position_embeddings.weight".into(), vec![POSITIONS, WIDTH], zeros(POSITIONS * WIDTH)),
        ("roberta.embeddings.token_type_embeddings.weight".into(), vec![1, WIDTH], zeros(WIDTH)),
        ("classifier.dense.weight".into(), vec![WIDTH, WIDTH], identity(1.0)),
        ("classifier.dense.bias".into(), vec![WIDTH], zeros(WIDTH)),
        ("classifier.out_proj.weight".into(), vec![1, WIDTH], vec![3.0, 0.0, 0.0, 0.0]),
        ("classifier.out_proj.bias".into(), vec![1], vec![-1.0]),
    ];
    let layer = "roberta.encoder.layer.0";
    for (part, scale) in [
        ("attention.self.query", 0.0),
        ("attention.self.key", 0.0),
        ("attention.self.value", 1.0),
        ("attention.output.dense", 1.0),
        ("intermediate.dense", 0.0),
        ("output.dense", 0.0),
    ] {
        tensors.push((format!("{layer}.{part}.weight"), vec![WIDTH, WIDTH], identity(scale)));
        tensors.push((format!("{layer}.{part}.bias"), vec![WIDTH], zeros(WIDTH)));
    }
    for norm in ["roberta.embeddings.LayerNorm".to_owned(), format!("{layer}.attention.output.LayerNorm")]
        .into_iter()
        .chain([format!("{layer}.output.LayerNorm")])
    {
        tensors.push((format!("{norm}.weight"), vec![WIDTH], vec![1.0; WIDTH]));
        tensors.push((format!("{norm}.bias"), vec![WIDTH], zeros(WIDTH)));
    }
    let (mut header, mut data) = (Map::new(), Vec::new());
    for (name, shape, numbers) in tensors {
        let from = data.len();
        data.extend(numbers.iter().flat_map(|n| n.to_le_bytes()));
        header.insert(name, json!({ "dtype": "F32", "shape": shape, "data_offsets": [from, data.len()] }));
    }
    let header = Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
}

fn write_model(folder: &Path) -> Test {
    std::fs::create_dir_all(folder)?;
    let config = json!({
        "model_type": "xlm-roberta", "architectures": ["XLMRobertaForSequenceClassification"], "vocab_size": WORDS,
        "hidden_size": WIDTH, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": WIDTH,
        "max_position_embeddings": POSITIONS, "type_vocab_size": 1, "hidden_act": "gelu", "layer_norm_eps": 1e-5,
        "pad_token_id": 3,
    });
    let special = |id: &str| json!({ "SpecialToken": { "id": id, "type_id": 0 } });
    let text = |id: &str| json!({ "Sequence": { "id": id, "type_id": 0 } });
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": { "type": "WhitespaceSplit" }, "decoder": null,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [special("[CLS]"), text("A"), special("[SEP]")],
            "pair": [special("[CLS]"), text("A"), special("[SEP]"), text("B"), special("[SEP]")],
            "special_tokens": {
                "[CLS]": { "id": "[CLS]", "ids": [1], "tokens": ["[CLS]"] },
                "[SEP]": { "id": "[SEP]", "ids": [2], "tokens": ["[SEP]"] },
            },
        },
        "model": {
            "type": "WordLevel", "unk_token": "[UNK]",
            "vocab": { "[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "[PAD]": 3, (LIKED.0): LIKED.1 },
        },
    });
    std::fs::write(folder.join("config.json"), config.to_string())?;
    std::fs::write(folder.join("tokenizer.json"), tokenizer.to_string())?;
    Ok(std::fs::write(folder.join("model.safetensors"), weights())?)
}

/// Titles of what the search finds, best first, and whether each was ranked by the model.
async fn found(client: &Client) -> anyhow::Result<Vec<(String, bool)>> {
    let answer = client.json("/api/v1/search?q=%EC%9A%B0%EC%82%B0%20%EB%8C%80%EC%97%AC").await?;
    let hits = answer["hits"].as_array().context("hits")?;
    let told = |h: &Value| Some((h["document_title"].as_str()?.to_owned(), h["relevance"].is_number()));
    hits.iter().map(|h| told(h).context("a hit")).collect()
}

#[tokio::test]
async fn what_the_model_prefers_stands_first() -> Test {
    let server = Madang::start()?;
    let city = City::build(&server).await?;
    let admin = &city.admin.client;
    let collection = city.collection("대여", "O", true).await?;
    let texts = [
        ("plain.txt", "우산 대여 안내입니다. 우산 대여는 민원실에서 합니다."),
        ("liked.txt", "비가 오는 날에는 민원실 앞에 놓인 붉은 우산 을 누구나 빌려 쓰고 돌려주는 대여 제도가 있습니다."),
    ];
    for (name, text) in texts {
        city.ict_official.client.upload_ready(&collection, name, text).await?;
    }
    let names = |all: &[(String, bool)]| all.iter().map(|(title, _)| title.clone()).collect::<Vec<_>>();
    let before = found(admin).await?;
    assert_eq!(names(&before), ["plain", "liked"]);
    assert!(before.iter().all(|(_, ranked)| !ranked));

    let folder = server.home().join("carried-in");
    write_model(&folder)?;
    let path = folder.to_str().context("path")?;
    let done = server.command(&["models", "add", path, "--name", "ranker", "--kind", "reranker"])?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    admin.ok(Method::POST, "/api/v1/models/ranker/load", json!({})).await?;
    let overview = admin.json("/api/v1/models").await?;
    ensure!(overview["ranking"]["name"] == "ranker", "{overview}");
    ensure!(overview["ranking"]["reads"].as_u64().is_some_and(|n| n >= 4), "{overview}");
    let ranked = found(admin).await?;
    assert_eq!(names(&ranked), ["liked", "plain"]);
    assert!(ranked.iter().all(|(_, ranked)| *ranked));

    admin.ok(Method::DELETE, "/api/v1/models/ranker/load", json!({})).await?;
    assert_eq!(names(&found(admin).await?), ["plain", "liked"]);
    Ok(())
}
