//! `madang models allow-host`: the hosts that models may be fetched from. None at first; each change is a record.

use super::super::Home;
use crate::app::open_store;
use madang_gateway::download::host_name;
use madang_store::Clock;
use madang_store::downloads::LocalUser;
use std::io::Write;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct AllowHost {
    #[command(flatten)]
    home: Home,
    /// Such as huggingface.co or mirror.city.local:8443; without it the list is shown.
    host: Option<String>,
    /// Take it off the list.
    #[arg(long, requires = "host")]
    remove: bool,
}

impl AllowHost {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let host = self.host.as_deref().map(host_name).transpose()?;
        let store = open_store(&self.home.settings(), Clock::System).await?;
        let mut out = std::io::stdout().lock();
        match host {
            None => {
                let hosts = store.download_hosts().await?;
                if hosts.is_empty() {
                    writeln!(out, "내려받기가 허용된 곳이 없습니다.")?;
                }
                hosts.iter().try_for_each(|host| writeln!(out, "{host}"))?;
            }
            Some(host) if self.remove => match store.forbid_download_host(&host, &local_user()).await? {
                true => writeln!(out, "{host}에서는 이제 내려받을 수 없습니다. 원장에 적었습니다.")?,
                false => writeln!(out, "{host}은(는) 목록에 없었습니다.")?,
            },
            Some(host) => match store.allow_download_host(&host, &local_user()).await? {
                true => writeln!(out, "{host}에서 모델을 내려받을 수 있게 했습니다. 원장에 적었습니다.")?,
                false => writeln!(out, "{host}은(는) 이미 허용되어 있습니다.")?,
            },
        }
        store.close().await;
        Ok(ExitCode::SUCCESS)
    }
}

/// Who runs this command, by the process's own user and not by what the environment claims.
pub fn local_user() -> LocalUser {
    let id = rustix::process::getuid().as_raw();
    let list = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = list.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    });
    LocalUser { name: named.unwrap_or_default(), id }
}
