//! What there is that a policy may name: apps with the digests of their versions, providers, people. No word of what is
//! in an app is read.

use crate::policies::require_policy_reader;
use crate::row::RowExt;
use crate::{Result, Store};
use madang_domain::{AppId, PersonId, ProviderId, Scope};
use std::collections::BTreeMap;

/// An app by its title.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedApp {
    pub id: AppId,
    /// Of its last version.
    pub title: String,
    /// Digests of its versions.
    pub versions: Vec<String>,
}

/// A provider that is registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedProvider {
    pub id: ProviderId,
    pub name: String,
    pub base_url: String,
    pub model: String,
}

/// Everything that a policy may name but departments, which everybody may list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyNames {
    pub apps: Vec<NamedApp>,
    pub providers: Vec<NamedProvider>,
    /// Identifier and login of those who may sign in.
    pub people: Vec<(PersonId, String)>,
}

impl Store {
    /// What a policy may name, for whoever may read it.
    pub async fn policy_names(&self, scope: &Scope) -> Result<PolicyNames> {
        require_policy_reader(scope)?;
        let versions = sqlx::query(
            "SELECT v.app_id, v.title, v.digest FROM app_versions v JOIN apps a ON a.id = v.app_id \
             WHERE a.deleted_at IS NULL ORDER BY v.app_id, v.number",
        )
        .fetch_all(&self.pool)
        .await?;
        let mut apps: BTreeMap<AppId, NamedApp> = BTreeMap::new();
        for row in &versions {
            let id = row.parsed("app_id")?;
            let app = apps.entry(id).or_insert_with(|| NamedApp { id, title: String::new(), versions: Vec::new() });
            app.title = row.text("title")?;
            app.versions.push(row.text("digest")?);
        }
        let providers =
            sqlx::query("SELECT id, name, base_url, model FROM providers WHERE deleted_at IS NULL ORDER BY name, id")
                .fetch_all(&self.pool)
                .await?;
        let providers = providers.iter().map(|r| {
            Ok(NamedProvider {
                id: r.parsed("id")?,
                name: r.text("name")?,
                base_url: r.text("base_url")?,
                model: r.text("model")?,
            })
        });
        let people =
            sqlx::query("SELECT id, login FROM people WHERE active = 1 ORDER BY login").fetch_all(&self.pool).await?;
        Ok(PolicyNames {
            apps: apps.into_values().collect(),
            providers: providers.collect::<Result<_>>()?,
            people: people.iter().map(|r| Ok((r.parsed("id")?, r.text("login")?))).collect::<Result<_>>()?,
        })
    }
}
