//! `madang user`: adds people and sets passwords from the machine itself. Passwords come from standard input, never
//! from an argument that others could see.

use super::Home;
use crate::app::open_store;
use crate::auth::Passwords;
use crate::settings::Settings;
use anyhow::{Context, bail};
use madang_store::Clock;
use madang_store::people::NewPerson;
use std::io::{BufRead, Write};
use std::process::ExitCode;

#[derive(clap::Subcommand)]
pub enum User {
    /// Add a person; the password is read from standard input.
    Add(Add),
}

#[derive(clap::Args)]
pub struct Add {
    #[command(flatten)]
    home: Home,
    /// Sign-in name: lower-case letters, digits, . - _
    login: String,
    /// Name as people read it.
    #[arg(long)]
    name: String,
    /// Department; created if it does not exist.
    #[arg(long)]
    department: String,
    /// Title of the post; created if it does not exist.
    #[arg(long, default_value = "주무관")]
    post: String,
    /// Roles of a newly created post: official, manager, security, admin.
    #[arg(long, value_delimiter = ',', default_value = "official")]
    roles: Vec<String>,
}

impl User {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            User::Add(add) => add.run().await,
        }
    }
}

impl Add {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let settings =
            Settings { database_url: self.home.database_url.clone(), ..Settings::for_home(self.home.home.clone()) };
        let store = open_store(&settings, Clock::System).await?;
        let passwords = Passwords::new()?;
        let password = read_password()?;
        let password_hash = passwords.hash(&password).await.map_err(|f| anyhow::anyhow!(f.message))?;
        let roles =
            self.roles.iter().map(|r| r.parse()).collect::<Result<Vec<_>, String>>().map_err(anyhow::Error::msg)?;
        let found = store.departments().await?.into_iter().find(|d| d.name == self.department);
        let department = match found {
            Some(d) => d.id,
            None => store.create_department_locally(&self.department, None).await?,
        };
        let found = store.posts().await?.into_iter().find(|p| p.department == department && p.title == self.post);
        let post = match found {
            Some(p) => p.id,
            None => store.create_post_locally(department, &self.post, &roles).await?,
        };
        let person = NewPerson { login: self.login.clone(), name: self.name, password_hash, posts: vec![post] };
        let id = store.create_person_locally(person).await?;
        writeln!(std::io::stdout(), "{id}")?;
        Ok(ExitCode::SUCCESS)
    }
}

fn read_password() -> anyhow::Result<String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("표준 입력에서 비밀번호를 읽을 수 없습니다")?;
    let password = line.trim_end_matches(['\r', '\n']).to_owned();
    if password.is_empty() {
        bail!("비밀번호를 표준 입력으로 넣어 주세요: echo '…' | madang user add …");
    }
    Ok(password)
}
