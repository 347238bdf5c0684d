//! The shelf of models with real files: tiny models of random weights that load and compute.

mod common;

use candle_core::Device;
use candle_core::quantized::gguf_file::{self, Content, Value};
use common::model;
use madang_inference::EngineChoice;
use madang_inference::catalogue::{AddOptions, Added, InternalServer, ModelKind, Progress, Shelf, ShelfError};
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use tempfile::TempDir;

struct Home {
    folder: TempDir,
}

impl Home {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn shelf(&self) -> Shelf {
        Shelf::open(self.folder.path()).expect("the shelf opens")
    }

    fn models(&self) -> PathBuf {
        self.folder.path().join("models")
    }

    fn list(&self) -> PathBuf {
        self.models().join("installed.toml")
    }

    /// Everything on the shelf but its lock.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.models()).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.retain(|n| n != ".lock");
        names.sort();
        names
    }
}

fn named(name: &str) -> AddOptions {
    AddOptions { name: Some(name.to_owned()), ..AddOptions::default() }
}

fn add(shelf: &mut Shelf, file: &Path, options: &AddOptions) -> Result<Added, ShelfError> {
    shelf.add(file, options, &mut |_| {})
}

fn flip_a_byte(file: &Path) {
    let length = file.metadata().expect("metadata").len();
    let mut file = OpenOptions::new().write(true).open(file).expect("opens");
    file.seek(SeekFrom::Start(length - 1)).expect("seeks");
    file.write_all(&[0x5a]).expect("writes");
}

#[test]
fn a_model_comes_with_its_hash_pinned() {
    let (home, file) = (Home::new(), model("qwen3", "q8_0"));
    let mut shelf = home.shelf();
    let mut other = home.shelf();
    let size = file.metadata().expect("metadata").len();
    let (mut last, mut tried) = ((0, 0), false);
    let added = shelf.add(&file, &named("tiny"), &mut |p| match p {
        Progress::Copying { done, total } => last = (done, total),
        Progress::Trying => tried = true,
    });
    let added = added.expect("added");
    assert_eq!(last, (size, size));
    assert!(tried && added.probe.per_second > 0.0 && added.probe.memory > 0);
    assert!(!added.checked && !added.warnings.is_empty(), "an unknown file is only pinned, which is said");
    assert_eq!(added.model.kind, ModelKind::Chat);
    assert_eq!(shelf.verify("tiny").expect("sound").sha256, added.model.sha256);
    assert_eq!(std::fs::read(shelf.path("tiny").expect("path")).expect("reads"), std::fs::read(&file).expect("reads"));
    assert_eq!(home.names(), ["installed.toml", "tiny"]);

    assert!(other.refresh().expect("reads again") && !other.refresh().expect("unchanged"));
    assert_eq!(other.find("tiny"), Some(&added.model));

    // The same hash, given in capitals, is accepted under another home.
    let second = Home::new();
    let options = AddOptions { sha256: Some(added.model.sha256.to_uppercase()), ..named("tiny") };
    assert!(add(&mut second.shelf(), &file, &options).expect("added").checked);
}

#[test]
fn a_changed_byte_is_found() {
    let (home, file) = (Home::new(), model("llama", "q8_0"));
    let mut shelf = home.shelf();
    let sha256 = add(&mut shelf, &file, &named("a")).expect("added").model.sha256;
    flip_a_byte(&home.models().join("a/model.gguf"));
    assert!(matches!(shelf.verify("a"), Err(ShelfError::Differs { expected, .. }) if expected == sha256));

    let changed = home.folder.path().join("changed.gguf");
    std::fs::copy(&file, &changed).expect("copies");
    flip_a_byte(&changed);
    let options = AddOptions { sha256: Some(sha256), ..named("b") };
    assert!(matches!(add(&mut shelf, &changed, &options), Err(ShelfError::Differs { .. })));
    let options = AddOptions { sha256: Some("12".to_owned()), ..named("b") };
    assert!(matches!(add(&mut shelf, &changed, &options), Err(ShelfError::NotAHash(_))));
    assert_eq!(home.names(), ["a", "installed.toml"], "nothing stays of what was refused");
}

#[test]
fn a_file_laid_beside_a_model_is_found() {
    let (home, file) = (Home::new(), model("qwen3", "q8_0"));
    let mut shelf = home.shelf();
    add(&mut shelf, &file, &named("a")).expect("added");
    std::fs::write(home.models().join("a/tokenizer.json"), "{}").expect("writes");
    assert!(matches!(shelf.verify("a"), Err(ShelfError::Differs { what, .. }) if what == "a/tokenizer.json"));
}

#[test]
fn stopping_leaves_nothing() {
    let (home, file) = (Home::new(), model("qwen3", "q8_0"));
    let mut shelf = home.shelf();
    for trying in [false, true] {
        let options = named("tiny");
        let cancelled = std::sync::Arc::clone(&options.cancelled);
        let stopped = shelf.add(&file, &options, &mut |p| {
            if matches!(p, Progress::Trying) == trying {
                cancelled.store(true, Ordering::Relaxed);
            }
        });
        assert!(matches!(stopped, Err(ShelfError::Stopped)));
        assert!(home.names().is_empty() && shelf.installed().is_empty());
    }
}

#[test]
fn what_cannot_be_used_is_refused_and_leaves_nothing() {
    let (home, file) = (Home::new(), model("qwen3", "q8_0"));
    let mut shelf = home.shelf();
    let text = home.folder.path().join("letter.gguf");
    std::fs::write(&text, "no model").expect("writes");
    assert!(matches!(add(&mut shelf, &text, &named("a")), Err(ShelfError::NotAModel { .. })));
    let short = home.folder.path().join("short.gguf");
    let bytes = std::fs::read(&file).expect("reads");
    std::fs::write(&short, bytes.get(..bytes.len() * 3 / 4).expect("a part")).expect("writes");
    assert!(matches!(add(&mut shelf, &short, &named("a")), Err(ShelfError::Model(_))));
    assert!(matches!(add(&mut shelf, home.folder.path(), &named("a")), Err(ShelfError::NotAModel { .. })));
    assert!(home.names().is_empty());
}

#[test]
fn the_same_file_twice_is_said() {
    let (home, file) = (Home::new(), model("qwen3", "q8_0"));
    let mut shelf = home.shelf();
    add(&mut shelf, &file, &named("a")).expect("added");
    for name in ["a", "b"] {
        assert!(matches!(add(&mut shelf, &file, &named(name)), Err(ShelfError::Already(known)) if known == "a"));
    }
    let other = model("llama", "q4_0");
    assert!(matches!(add(&mut shelf, &other, &named("a")), Err(ShelfError::NameTaken(_) | ShelfError::Already(_))));
    assert_eq!(home.names(), ["a", "installed.toml"]);
}

#[test]
fn names_cannot_lead_out_of_the_shelf() {
    let (home, file) = (Home::new(), model("qwen3", "q8_0"));
    let mut shelf = home.shelf();
    for name in ["../x", "a/b", "/x", "..", ".hidden", "", "A", "a\0", "가", "x.", &"a".repeat(65)] {
        assert!(matches!(add(&mut shelf, &file, &named(name)), Err(ShelfError::Name(_))), "{name:?}");
    }
    assert!(matches!(shelf.remove("../x", true), Err(ShelfError::Unknown(_))));
    assert!(matches!(shelf.verify("../x"), Err(ShelfError::Unknown(_))));
    assert!(home.names().iter().all(|n| n == "installed.toml"));
}

#[test]
fn links_are_copied_in_as_files_and_refused_on_the_shelf() {
    let (home, file) = (Home::new(), model("qwen3", "q8_0"));
    let mut shelf = home.shelf();
    let link = home.folder.path().join("link.gguf");
    symlink(&file, &link).expect("links");
    add(&mut shelf, &link, &AddOptions::default()).expect("added");
    let inside = home.models().join("link/model.gguf");
    assert!(inside.symlink_metadata().expect("there").is_file());

    std::fs::remove_file(&inside).expect("removes");
    symlink(&file, &inside).expect("links");
    assert!(matches!(shelf.verify("link"), Err(ShelfError::Link(_))));
    assert!(matches!(shelf.path("link"), Err(ShelfError::Link(_))));
    std::fs::remove_dir_all(home.models().join("link")).expect("removes");
    let outside = home.folder.path().join("outside");
    std::fs::create_dir(&outside).expect("creates");
    std::fs::write(outside.join("kept"), "x").expect("writes");
    symlink(&outside, home.models().join("link")).expect("links");
    shelf.remove("link", false).expect("removed");
    assert!(outside.join("kept").is_file(), "only the link went");
    assert_eq!(home.names(), ["installed.toml"]);
}

#[test]
fn a_damaged_list_is_said_and_stays() {
    let (home, file) = (Home::new(), model("qwen3", "q8_0"));
    let mut shelf = home.shelf();
    add(&mut shelf, &file, &named("a")).expect("added");
    shelf.use_role(ModelKind::Chat, "a").expect("given");
    let sound = std::fs::read_to_string(home.list()).expect("reads");
    let damaged = [
        "version = ".to_owned(),
        sound.replacen("generation", "novelty = 1\ngeneration", 1),
        sound.replacen("version = 1", "version = 2", 1),
        sound.replace("a/model.gguf", "../../etc/passwd"),
        sound.replacen("chat = \"a\"", "chat = \"gone\"", 1),
    ];
    for text in damaged {
        std::fs::write(home.list(), &text).expect("writes");
        assert!(matches!(Shelf::open(home.folder.path()), Err(ShelfError::Damaged { .. })), "{text}");
        assert!(matches!(shelf.use_role(ModelKind::Chat, "a"), Err(ShelfError::Damaged { .. })));
        assert!(add(&mut shelf, &model("llama", "q8_0"), &named("b")).is_err());
        assert_eq!(std::fs::read_to_string(home.list()).expect("reads"), text, "it was not overwritten");
    }
    std::fs::write(home.list(), &sound).expect("writes");
    shelf.use_role(ModelKind::Chat, "a").expect("sound again");
    assert_eq!(home.names(), ["a", "installed.toml"]);
}

#[test]
fn one_writer_at_a_time() {
    let home = Home::new();
    let mut shelf = home.shelf();
    std::fs::create_dir(home.models()).expect("creates");
    let lock = File::create(home.models().join(".lock")).expect("creates");
    lock.lock().expect("locks");
    assert!(matches!(shelf.set_choice(EngineChoice::Quoting), Err(ShelfError::Locked)));
    assert_eq!(shelf.choice(), &EngineChoice::Auto);
    drop(lock);
    shelf.set_choice(EngineChoice::Quoting).expect("free");
}

#[test]
fn several_may_add_at_a_time() {
    let home = Home::new();
    let files = [("a", model("qwen3", "q8_0")), ("b", model("llama", "q8_0")), ("c", model("qwen2", "q8_0"))];
    std::thread::scope(|scope| {
        for (name, file) in &files {
            let mut shelf = home.shelf();
            scope.spawn(move || add(&mut shelf, file, &named(name)).expect("added"));
        }
    });
    let shelf = home.shelf();
    assert_eq!(shelf.installed().len(), 3);
    assert_eq!(shelf.generation(), 3);
    for (name, _) in &files {
        shelf.verify(name).expect("sound");
    }
}

#[test]
fn what_a_killed_process_left_is_taken_away() {
    let (home, file) = (Home::new(), model("qwen3", "q8_0"));
    let mut shelf = home.shelf();
    add(&mut shelf, &file, &named("a")).expect("added");
    // Killed while copying, after the renaming, and while removing; a folder of somebody's own has no mark.
    for (folder, marked) in [(".adding-1-0", true), ("b", true), ("own", false)] {
        std::fs::create_dir(home.models().join(folder)).expect("creates");
        std::fs::write(home.models().join(folder).join("model.gguf"), "half").expect("writes");
        if marked {
            std::fs::write(home.models().join(folder).join(".adding"), "").expect("writes");
        }
    }
    std::fs::write(home.models().join("a/.adding"), "").expect("writes");
    assert!(matches!(add(&mut shelf, &model("llama", "q8_0"), &named("own")), Err(ShelfError::NameTaken(_))));
    add(&mut shelf, &model("llama", "q8_0"), &named("c")).expect("added");
    assert_eq!(home.names(), ["a", "c", "installed.toml", "own"]);
    shelf.verify("a").expect("sound");
}

#[test]
fn roles_and_the_choice_hold_models() {
    let (home, file) = (Home::new(), model("qwen3", "q8_0"));
    let mut shelf = home.shelf();
    add(&mut shelf, &file, &named("a")).expect("added");
    assert!(matches!(shelf.use_role(ModelKind::Chat, "b"), Err(ShelfError::Unknown(_))));
    assert!(matches!(shelf.use_role(ModelKind::Embedding, "a"), Err(ShelfError::WrongKind { .. })));
    shelf.use_role(ModelKind::Chat, "a").expect("given");
    assert_eq!(home.shelf().role(ModelKind::Chat).map(|m| m.name.as_str()), Some("a"));
    assert!(matches!(shelf.remove("a", false), Err(ShelfError::InUse { .. })));
    shelf.free_role(ModelKind::Chat).expect("freed");
    shelf.set_choice(EngineChoice::Model("a".to_owned())).expect("chosen");
    assert!(matches!(shelf.set_choice(EngineChoice::Model("b".to_owned())), Err(ShelfError::Unknown(_))));
    assert!(matches!(shelf.remove("a", false), Err(ShelfError::InUse { .. })));
    shelf.remove("a", true).expect("forced");
    assert_eq!(home.shelf().choice(), &EngineChoice::Auto);
    assert_eq!(home.names(), ["installed.toml"]);
    // A model that writes cannot be called one that embeds; one whose file says that it does is told by it.
    let kind = AddOptions { kind: Some(ModelKind::Embedding), ..named("e") };
    assert!(matches!(add(&mut shelf, &file, &kind), Err(ShelfError::Model(_))));
    let embeds = home.folder.path().join("embeds.gguf");
    with_pooling(&file, 3, &embeds);
    assert_eq!(add(&mut shelf, &embeds, &named("e")).expect("added").model.kind, ModelKind::Embedding);
}

/// The same file with llama.cpp's `pooling_type`.
fn with_pooling(file: &Path, pooling: u32, to: &Path) {
    let mut reader = std::io::BufReader::new(File::open(file).expect("opens"));
    let content = Content::read(&mut reader).expect("reads");
    let pooling = Value::U32(pooling);
    let mut metadata: Vec<_> = content.metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
    metadata.push(("qwen3.pooling_type", &pooling));
    let mut tensor = |name: &String| content.tensor(&mut reader, name, &Device::Cpu).expect("a tensor");
    let tensors: Vec<_> = content.tensor_infos.keys().map(|name| (name.as_str(), tensor(name))).collect();
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
    gguf_file::write(&mut File::create(to).expect("creates"), &metadata, &tensors).expect("writes");
}

#[test]
fn model_servers_stand_in_the_bodys_networks() {
    let home = Home::new();
    let mut shelf = home.shelf();
    let server = |url: &str, key: Option<&str>| InternalServer {
        name: "gpu".to_owned(),
        url: url.to_owned(),
        model: "m".to_owned(),
        grammar: Default::default(),
        key_file: key.map(str::to_owned),
        authority_file: None,
        weight: 1,
        capacity: 8,
    };
    let networks = || vec!["10.0.0.0/8".to_owned()];
    let refused = [
        shelf.set_servers(networks(), vec![server("http://192.0.2.1:8000/v1", None)]),
        shelf.set_servers(vec!["0.0.0.0/0".to_owned()], Vec::new()),
        shelf.set_servers(networks(), vec![server("http://10.1.1.1:8000/v1", Some("../key"))]),
    ];
    assert!(refused.iter().all(|r| matches!(r, Err(ShelfError::Setting(_)))), "{refused:?}");
    let key = home.folder.path().join("key");
    std::fs::write(&key, "secret\n").expect("writes");
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).expect("sets");
    let with_key = || vec![server("http://10.1.1.1:8000/v1", Some("key"))];
    assert!(
        matches!(shelf.set_servers(networks(), with_key()), Err(ShelfError::Setting(_))),
        "others may read the key"
    );
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).expect("sets");
    shelf.set_servers(networks(), with_key()).expect("set");
    let again = home.shelf();
    assert_eq!(again.servers(), with_key());
    assert_eq!(again.internal_networks(), networks());
    assert!(!std::fs::read_to_string(home.list()).expect("reads").contains("secret"));
}
