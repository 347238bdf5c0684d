//! The invented city of `--demo`: departments, posts, people and collections with documents written for it. Every
//! person gets a random password, kept in a file of the home folder that only its owner may read.

use crate::app::App;
use crate::blocking;
use anyhow::{Context, anyhow};
use madang_domain::{DepartmentId, Grade, PersonId, PostId, Role, Scope};
use madang_store::auth::new_secret;
use madang_store::collection_changes::NewCollection;
use madang_store::documents::NewDocument;
use madang_store::people::NewPerson;
use rust_embed::RustEmbed;
use serde::Deserialize;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

#[derive(RustEmbed)]
#[folder = "demo"]
struct Files;

/// Name in the home folder of the file with names and passwords.
const SIGN_IN_FILE: &str = "demo-sign-in.txt";

#[derive(Deserialize)]
struct City {
    name: String,
    department: Vec<DepartmentEntry>,
    post: Vec<PostEntry>,
    person: Vec<PersonEntry>,
    collection: Vec<CollectionEntry>,
}

#[derive(Deserialize)]
struct DepartmentEntry {
    key: String,
    name: String,
    parent: Option<String>,
}

#[derive(Deserialize)]
struct PostEntry {
    key: String,
    department: String,
    title: String,
    roles: Vec<Role>,
}

#[derive(Deserialize)]
struct PersonEntry {
    login: String,
    name: String,
    posts: Vec<String>,
}

#[derive(Deserialize)]
struct CollectionEntry {
    name: String,
    #[serde(default)]
    description: String,
    owner_department: Option<String>,
    owner_person: Option<String>,
    grade: Grade,
    /// Keys of departments, or `*` for everyone.
    #[serde(default)]
    readers: Vec<String>,
    files: Vec<String>,
}

/// What has been created so far, by the keys of `city.toml`.
#[derive(Default)]
struct Made {
    departments: HashMap<String, DepartmentId>,
    posts: HashMap<String, (PostId, String)>,
    people: HashMap<String, PersonId>,
}

/// Fills an empty installation with the demo city and returns who can sign in, as lines for the console. On a home
/// that was filled before, only the lines.
///
/// # Errors
/// When the home already holds other people, or cannot be written.
pub async fn fill(app: &App) -> anyhow::Result<String> {
    let path = sign_in_path(app);
    if app.store.has_people().await? {
        return std::fs::read_to_string(&path)
            .context("이 홈 폴더에는 이미 다른 자료가 있습니다. --demo는 새 홈 폴더에서 써 주세요 (--home DIR)");
    }
    let text = Files::get("city.toml").context("demo city is missing from the program")?;
    let city: City = toml::from_str(std::str::from_utf8(&text.data)?)?;
    let mut made = Made::default();
    create_departments(app, &city, &mut made).await?;
    let lines = create_people(app, &city, &mut made).await?;
    app.store.set_meta("body_name", Some(&city.name)).await?;
    write_private(&path, &lines)?;
    for collection in &city.collection {
        create_collection(app, collection, &city, &made).await.with_context(|| collection.name.clone())?;
    }
    Ok(lines)
}

fn sign_in_path(app: &App) -> PathBuf {
    app.settings.home.join(SIGN_IN_FILE)
}

fn write_private(path: &PathBuf, text: &str) -> anyhow::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    Ok(())
}

async fn create_departments(app: &App, city: &City, made: &mut Made) -> anyhow::Result<()> {
    for entry in &city.department {
        let parent = entry.parent.as_ref().and_then(|key| made.departments.get(key)).copied();
        let id = app.store.create_department_locally(&entry.name, parent).await?;
        made.departments.insert(entry.key.clone(), id);
    }
    for entry in &city.post {
        let department = *made.departments.get(&entry.department).with_context(|| entry.department.clone())?;
        let id = app.store.create_post_locally(department, &entry.title, &entry.roles).await?;
        made.posts.insert(entry.key.clone(), (id, entry.title.clone()));
    }
    Ok(())
}

/// Creates the people and returns a table of sign-in names and passwords.
async fn create_people(app: &App, city: &City, made: &mut Made) -> anyhow::Result<String> {
    let mut lines = String::new();
    for entry in &city.person {
        let password = readable_password();
        let password_hash = app.passwords.hash(&password).await.map_err(|f| anyhow!(f.message))?;
        let posts = entry.posts.iter().filter_map(|key| made.posts.get(key)).map(|(id, _)| *id).collect();
        let person = NewPerson { login: entry.login.clone(), name: entry.name.clone(), password_hash, posts };
        made.people.insert(entry.login.clone(), app.store.create_person_locally(person).await?);
        let titles: Vec<_> =
            entry.posts.iter().filter_map(|key| made.posts.get(key)).map(|(_, t)| t.as_str()).collect();
        let roles = roles_of(entry, city).join(", ");
        writeln!(lines, "  {:<10} {password}   {} · {} · {roles}", entry.login, entry.name, titles.join(", "))?;
    }
    Ok(lines)
}

fn roles_of(person: &PersonEntry, city: &City) -> Vec<&'static str> {
    let mut roles: Vec<Role> =
        city.post.iter().filter(|p| person.posts.contains(&p.key)).flat_map(|p| p.roles.iter().copied()).collect();
    roles.sort();
    roles.dedup();
    roles.into_iter().map(Role::korean).collect()
}

/// 15 letters and digits in groups: about 75 random bits that can be typed.
fn readable_password() -> String {
    let letters: Vec<char> = new_secret()
        .as_bytes()
        .chunks(2)
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .map(|byte| char::from(b"abcdefghjkmnpqrstuvwxyz234567892"[usize::from(byte % 32)]))
        .take(15)
        .collect();
    letters.chunks(5).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join("-")
}

async fn create_collection(app: &App, entry: &CollectionEntry, city: &City, made: &Made) -> anyhow::Result<()> {
    let scope = scope_of_owner(app, entry, city, made).await?;
    let department = entry.owner_department.as_ref().and_then(|key| made.departments.get(key)).copied();
    let new = NewCollection {
        name: entry.name.clone(),
        description: entry.description.clone(),
        department,
        grade: entry.grade,
    };
    let id = app.store.create_collection(&scope, new).await?;
    let everyone = entry.readers.iter().any(|r| r == "*");
    let readers: Vec<_> = entry.readers.iter().filter_map(|key| made.departments.get(key)).copied().collect();
    if everyone || !readers.is_empty() {
        app.store.set_collection_readers(&scope, id, everyone, &readers).await?;
    }
    for file in &entry.files {
        let bytes = Files::get(file).with_context(|| format!("{file} is missing from the program"))?.data.into_owned();
        let name = file.rsplit('/').next().unwrap_or(file).to_owned();
        let (title, format) = name.rsplit_once('.').map_or((name.as_str(), ""), |(t, f)| (t, f));
        let (title, format) = (title.to_owned(), format.to_owned());
        let size = i64::try_from(bytes.len())?;
        let originals = app.originals.clone();
        let original = blocking::run(move || originals.put(&bytes)).await??;
        app.store
            .add_document(
                &scope,
                id,
                NewDocument { title, file_name: name, format, original, bytes: size, replaces: None },
            )
            .await?;
    }
    Ok(())
}

/// Rights of somebody who may create the collection: signed in and out again like anybody else.
async fn scope_of_owner(app: &App, entry: &CollectionEntry, city: &City, made: &Made) -> anyhow::Result<Scope> {
    let works_there = |p: &&PersonEntry| {
        p.posts.iter().any(|key| {
            city.post.iter().any(|o| &o.key == key && Some(&o.department) == entry.owner_department.as_ref())
        })
    };
    let login = match &entry.owner_person {
        Some(login) => login.clone(),
        None => city.person.iter().find(works_there).context("no one works in the owning department")?.login.clone(),
    };
    let person = *made.people.get(&login).with_context(|| login.clone())?;
    let secret = app.store.open_session(person, "demo", "madang --demo").await?;
    let identity = app.store.authenticate_session(&secret).await?.context("the session just opened is gone")?;
    if let Some((session, _)) = identity.session {
        app.store.end_session(&identity.scope, session).await?;
    }
    Ok(identity.scope)
}
