//! The bundled apps, compiled into the binary from `apps/`, and their way into the database at start.

use anyhow::Context;
use madang_registry::bundled::{self, BundledApp};
use madang_store::Store;
use madang_store::apps::BundledSheet;
use rust_embed::RustEmbed;
use std::sync::LazyLock;

#[derive(RustEmbed)]
#[folder = "../../apps"]
struct Files;

static APPS: LazyLock<Result<Vec<BundledApp>, String>> = LazyLock::new(|| {
    let mut apps = Files::iter()
        .filter(|path| path.ends_with("/app.toml"))
        .filter_map(|path| Files::get(&path).map(|file| (path, file)))
        .map(|(path, file)| {
            let text = std::str::from_utf8(&file.data).map_err(|e| format!("{path}: {e}"))?;
            bundled::parse(text).map_err(|e| format!("{path}: {e}"))
        })
        .collect::<Result<Vec<_>, _>>()?;
    apps.sort_by(|a, b| a.slug.cmp(&b.slug));
    Ok(apps)
});

/// All bundled apps, by slug.
///
/// # Errors
/// For a file that does not describe a sound app: a defect of the build.
pub fn apps() -> anyhow::Result<&'static [BundledApp]> {
    APPS.as_deref().map_err(|e| anyhow::anyhow!("{e}"))
}

/// The bundled app of this slug.
pub fn find(slug: &str) -> Option<&'static BundledApp> {
    APPS.as_ref().ok()?.iter().find(|a| a.slug == slug)
}

/// Brings the database up to date with the bundled apps; quick when nothing changed.
pub async fn load(store: &Store) -> anyhow::Result<()> {
    let sheets: Vec<_> = apps()?
        .iter()
        .map(|a| BundledSheet { slug: a.slug.clone(), icon: a.icon.clone(), sheet: a.sheet.clone() })
        .collect();
    let changed = store.sync_bundled(&sheets).await.context("기본 제공 앱을 넣지 못했습니다")?;
    if changed > 0 {
        tracing::info!(changed, "bundled apps brought up to date");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_bundled_app_is_sound_and_has_questions() {
        let apps = super::apps().expect("sound apps");
        assert!(apps.len() >= 8);
        for app in apps {
            assert!(!app.examples.is_empty() && app.exam.len() >= 2, "{}", app.slug);
        }
    }
}
