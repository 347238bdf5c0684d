//! The catalogue itself, names, copies that break off, and model folders. The tests with model files are xtask's.

use super::disk::{self, Staging};
use super::{AddOptions, Catalogue, ModelFormat, ModelKind, Shelf, ShelfError, is_name, name_from};
use crate::decoder::testing::{HIDDEN, gguf_bytes, tiny};
use crate::embed::testing::{bert, byte_tokenizer, with_head, write_json, write_model, write_modules};
use candle_core::quantized::gguf_file::Value;
use std::io::{Cursor, Error, Read};
use std::path::Path;

/// Gives some bytes, then fails as a stick that is pulled out.
struct Pulled(usize);

impl Read for Pulled {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let some = self.0.min(buffer.len());
        self.0 -= some;
        if some == 0 { Err(Error::other("pulled out")) } else { Ok(some) }
    }
}

#[test]
fn the_built_in_catalogue_is_sound() {
    let catalogue = Catalogue::built_in().expect("it parses");
    assert!(catalogue.entries().len() > 15);
    let loaded = ["llama", "qwen2", "qwen3", "bert", "xlm-roberta", "modernbert", "model2vec"];
    for entry in catalogue.entries() {
        assert!(loaded.contains(&entry.architecture.as_str()), "{}", entry.name);
        assert!(!entry.default || entry.public_body_ok(), "{}", entry.name);
        assert!(entry.memory_needed() > entry.weight_bytes(), "{}", entry.name);
        assert!(entry.good_for.ends_with("다."), "{}: {}", entry.name, entry.good_for);
        assert!(entry.source.split_once('/').is_some_and(|(a, b)| !a.is_empty() && !b.contains('/')), "{}", entry.name);
        assert_eq!(entry.format == ModelFormat::Gguf, entry.file.ends_with(".gguf"), "{}", entry.name);
        assert!(entry.revision.is_empty() || entry.revision.len() == 40, "{}", entry.name);
    }
    for kind in super::ModelKind::ALL {
        assert!(catalogue.entries().iter().any(|e| e.kind == kind && e.default), "{kind} has none to begin with");
    }
}

#[test]
fn a_homes_catalogue_adds_and_replaces() {
    let folder = tempfile::tempdir().expect("a folder");
    let built_in = Catalogue::built_in().expect("it parses");
    let mut own = built_in.entries()[0].clone();
    own.label = "우리 것".to_owned();
    let mut new = own.clone();
    new.name = "our-own".to_owned();
    let text = |entries: &[&super::Entry]| {
        let all: Vec<String> =
            entries.iter().map(|e| format!("[[models]]\n{}", toml::to_string(e).expect("writes"))).collect();
        all.join("\n")
    };
    std::fs::write(folder.path().join("catalogue.toml"), text(&[&own, &new])).expect("writes");
    let both = Catalogue::with_own(folder.path()).expect("reads");
    assert_eq!(both.entries().len(), built_in.entries().len() + 1);
    assert_eq!(both.find(&own.name).map(|e| e.label.as_str()), Some("우리 것"));

    let mut bound = own.clone();
    (bound.licence, bound.default) = ("CC-BY-NC-4.0".to_owned(), true);
    let mut path = own.clone();
    path.name = "../x".to_owned();
    let mut hash = own.clone();
    hash.sha256 = "12".to_owned();
    for bad in [text(&[&bound]), text(&[&path]), text(&[&hash]), text(&[&own, &own]), "models = 1".to_owned()] {
        std::fs::write(folder.path().join("catalogue.toml"), &bad).expect("writes");
        assert!(matches!(Catalogue::with_own(folder.path()), Err(ShelfError::Catalogue { .. })), "{bad}");
    }
}

#[test]
fn names_are_made_of_file_names() {
    let made = |text| name_from(text).unwrap_or_default();
    assert_eq!(made("Qwen3-0.6B-Q8_0"), "qwen3-0.6b-q8_0");
    assert_eq!(made("../../etc/passwd"), "etc-passwd");
    assert_eq!(made("믿음 2.0 (mini)"), "2.0-mini");
    assert_eq!(name_from("가나다"), None);
    assert!(!is_name("..") && !is_name("a/b") && !is_name("a\\b"));
}

#[test]
fn a_copy_that_breaks_off_leaves_no_folder() {
    let shelf = tempfile::tempdir().expect("a folder");
    let staging = Staging::new(shelf.path()).expect("begins");
    let target = staging.path().join("model.gguf");
    let from = Path::new("/media/stick/model.gguf");
    let broken = disk::copy(&mut Pulled(9_000_000), from, &target, &mut |_| Ok(()));
    assert!(matches!(broken, Err(ShelfError::Io { path, .. }) if path == from));
    drop(staging);
    assert_eq!(std::fs::read_dir(shelf.path()).expect("reads").count(), 0);
}

#[test]
fn a_published_folder_vanishes_unless_it_is_kept() {
    let shelf = tempfile::tempdir().expect("a folder");
    let to = shelf.path().join("a");
    let fill = || {
        let mut staging = Staging::new(shelf.path()).expect("begins");
        let (mut reader, file) = (Cursor::new(b"abc"), staging.path().join("f"));
        let copied = disk::copy(&mut reader, Path::new("f"), &file, &mut |_| Ok(())).expect("copies");
        // FIPS 180-2, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(copied, (abc.to_owned(), 3));
        staging.publish(&to).expect("publishes");
        staging
    };
    drop(fill());
    assert!(!to.exists());
    // One under way is nobody else's to take away.
    let staging = fill();
    disk::sweep(shelf.path(), |_| false);
    staging.keep();
    disk::sweep(shelf.path(), |_| false);
    assert_eq!(std::fs::read_dir(&to).expect("reads").count(), 1);
}

#[test]
fn a_list_is_replaced_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("installed.toml");
    for text in ["one", "two"] {
        disk::replace(&path, text).expect("replaces");
        assert_eq!(std::fs::read_to_string(&path).expect("reads"), text);
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("reads").count(), 1);
    assert!(disk::replace(&folder.path().join("absent/x"), "t").is_err());
}

#[test]
fn folders_are_taken_without_what_is_no_model() {
    let home = tempfile::tempdir().expect("a folder");
    let mut shelf = Shelf::open(home.path()).expect("opens");
    let encoder = bert("xlm-roberta", "", 64, 1);
    let cross = with_head(bert("xlm-roberta", "roberta.", 64, 2), 1);
    for (toy, kind) in [(encoder, ModelKind::Embedding), (cross, ModelKind::Reranker)] {
        let carried = home.path().join(format!("Carried {kind}"));
        std::fs::create_dir(&carried).expect("creates");
        write_model(&carried, &toy, "pooling_mode_mean_tokens");
        for other in ["pytorch_model.bin", "setup.py", ".hidden.json"] {
            std::fs::write(carried.join(other), "x").expect("writes");
        }
        let added = shelf.add(&carried, &AddOptions::default(), &mut |_| {}).expect("added").model;
        assert_eq!((added.name.as_str(), added.kind), (format!("carried-{kind}").as_str(), kind));
        assert!(added.files.iter().any(|f| f.path == "1_Pooling/config.json"));
        assert!(added.files.iter().all(|f| !f.path.ends_with("bin") && !f.path.ends_with("py")));
        assert_eq!(shelf.verify(&added.name).expect("sound").files, added.files.len());
        let weights = added.files.iter().find(|f| f.path == "model.safetensors").expect("weights");
        assert_eq!(weights.sha256, added.sha256);
        shelf.use_role(kind, &added.name).expect("given");
        std::fs::remove_file(carried.join("model.safetensors")).expect("removes");
        let refused = shelf.add(&carried, &AddOptions::default(), &mut |_| {});
        assert!(matches!(refused, Err(ShelfError::NotAModel { .. })));
    }
}

/// A file of the Qwen3 family, its tokenizer inside.
fn decoder_file(path: &Path, pooling: Option<u32>, title: &str) {
    let tokens = ["<|endoftext|>", "yes", "no"].map(|t| Value::String(t.to_owned()));
    let bytes = byte_tokenizer();
    let letters = bytes["model"]["vocab"].as_object().expect("a vocabulary");
    let mut plain: Vec<_> = letters.iter().filter(|(t, _)| t.chars().count() == 1).map(|(t, _)| t.clone()).collect();
    plain.sort();
    let merges = ["y e", "ye s", "n o"].map(|m| Value::String(m.to_owned())).to_vec();
    let all: Vec<Value> = plain.iter().cloned().chain(["ye".to_owned()]).map(Value::String).chain(tokens).collect();
    let types = all.iter().map(|t| Value::I32(if t.to_string().is_ok_and(|t| t.starts_with("<|")) { 3 } else { 1 }));
    let mut more = vec![
        ("general.name", Value::String(title.to_owned())),
        ("tokenizer.ggml.model", Value::String("gpt2".to_owned())),
        ("tokenizer.ggml.pre", Value::String("qwen2".to_owned())),
        ("tokenizer.ggml.token_type", Value::Array(types.collect())),
        ("tokenizer.ggml.merges", Value::Array(merges)),
        ("tokenizer.ggml.eos_token_id", Value::U32(257)),
        ("tokenizer.ggml.tokens", Value::Array(all)),
    ];
    more.extend(pooling.map(|p| ("qwen3.pooling_type", Value::U32(p))));
    std::fs::write(path, gguf_bytes("qwen3", 270, &more, &[])).expect("writes");
}

#[test]
fn decoders_are_tried_as_what_they_are_for() {
    let home = tempfile::tempdir().expect("a folder");
    let mut shelf = Shelf::open(home.path()).expect("opens");
    let add = |shelf: &mut Shelf, path: &Path, options: &AddOptions| shelf.add(path, options, &mut |_| {});
    let rows = 300;
    for (name, kind) in [("Qwen3-Embedding-0.6B", ModelKind::Embedding), ("Qwen3-Reranker-0.6B", ModelKind::Reranker)] {
        let carried = home.path().join(name);
        let mut decoder = tiny("qwen3", rows, 4);
        decoder.config["architectures"] = serde_json::json!(["Qwen3ForCausalLM"]);
        if kind == ModelKind::Embedding {
            decoder.bare().write(&carried);
            write_modules(&carried, HIDDEN, "pooling_mode_lasttoken");
        } else {
            decoder.write(&carried);
        }
        write_json(&carried, "tokenizer.json", &byte_tokenizer());
        let added = add(&mut shelf, &carried, &AddOptions::default()).expect("added").model;
        assert_eq!(added.kind, kind, "{name}");
        shelf.use_role(kind, &added.name).expect("given");
    }
    let file = |name: &str, pooling: Option<u32>, title: &str| {
        let path = home.path().join(name);
        decoder_file(&path, pooling, title);
        path
    };
    for (name, pooling, kind) in [("a.gguf", Some(3), ModelKind::Embedding), ("b.gguf", Some(4), ModelKind::Reranker)] {
        let added = add(&mut shelf, &file(name, pooling, name), &AddOptions::default()).expect("added");
        assert_eq!(added.model.kind, kind, "{name}");
    }
    // What calls itself so, but does not say how it embeds, is refused before it stands on the shelf.
    for (name, pooling) in [("some-embedding.gguf", None), ("other-embedding.gguf", Some(1))] {
        let refused = add(&mut shelf, &file(name, pooling, name), &AddOptions::default());
        assert!(matches!(refused, Err(ShelfError::Model(_))), "{name}: {refused:?}");
    }
    let chat = file("plain.gguf", None, "plain");
    let wrong = AddOptions { kind: Some(ModelKind::Embedding), ..AddOptions::default() };
    assert!(matches!(add(&mut shelf, &chat, &wrong), Err(ShelfError::Model(_))));
    assert_eq!(add(&mut shelf, &chat, &AddOptions::default()).expect("added").model.kind, ModelKind::Chat);
}

#[test]
fn one_hash_checks_one_file_of_weights_and_no_list() {
    let home = tempfile::tempdir().expect("a folder");
    let mut shelf = Shelf::open(home.path()).expect("opens");
    let carried = home.path().join("carried");
    std::fs::create_dir(&carried).expect("creates");
    write_model(&carried, &bert("bert", "", 64, 1), "pooling_mode_mean_tokens");
    let known = AddOptions { name: Some("first".to_owned()), ..AddOptions::default() };
    let first = shelf.add(&carried, &known, &mut |_| {}).expect("added");
    assert!(!first.checked);
    shelf.remove("first", true).expect("removed");
    let given = |name: &str, sha256: &str| AddOptions {
        name: Some(name.to_owned()),
        sha256: Some(sha256.to_owned()),
        ..AddOptions::default()
    };
    let again = shelf.add(&carried, &given("again", &first.model.sha256), &mut |_| {}).expect("added");
    assert!(again.checked);
    shelf.remove("again", true).expect("removed");
    // The same weights as a shard: their list has a hash too, which says nothing of them.
    std::fs::rename(carried.join("model.safetensors"), carried.join("part-1.safetensors")).expect("renames");
    let index = r#"{"weight_map": {"w": "part-1.safetensors"}}"#;
    std::fs::write(carried.join("model.safetensors.index.json"), index).expect("writes");
    let refused = shelf.add(&carried, &given("cut", &first.model.sha256), &mut |_| {});
    assert!(matches!(refused, Err(ShelfError::Sharded)), "{refused:?}");
    assert!(!shelf.add(&carried, &AddOptions::default(), &mut |_| {}).expect("added").checked);
}
