//! The apps that come with the program: `apps/*/app.toml`, each with a design sheet, examples and exam questions.

use crate::exam::Question;
use madang_domain::DesignSheet;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A bundled app as its file says.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundledApp {
    /// Lower-case letters and hyphens; same as its folder.
    pub slug: String,
    pub category: String,
    pub icon: String,
    pub sheet: DesignSheet,
    #[serde(rename = "example", default)]
    pub examples: Vec<Example>,
    #[serde(rename = "exam", default)]
    pub exam: Vec<Question>,
}

/// A filled form to try the app with.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    pub name: String,
    pub inputs: BTreeMap<String, String>,
}

/// The file does not describe a sound app.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct BundledError(String);

/// Reads an `app.toml`.
///
/// # Errors
/// When it is not TOML of this shape, its sheet has faults, or an example or exam question does not fit its form.
pub fn parse(text: &str) -> Result<BundledApp, BundledError> {
    let app: BundledApp = toml::from_str(text).map_err(|e| BundledError(e.to_string()))?;
    let fits = |what: &str, inputs: &BTreeMap<String, String>| {
        crate::runner::read_inputs(&app.sheet, inputs)
            .map(|_| ())
            .map_err(|faults| BundledError(format!("{}: {what}: {faults:?}", app.slug)))
    };
    if let Some(fault) = app.sheet.faults().first() {
        return Err(BundledError(format!("{}: {}: {}", app.slug, fault.field, fault.message)));
    }
    for example in &app.examples {
        fits(&example.name, &example.inputs)?;
    }
    for question in &app.exam {
        fits("exam", &question.inputs)?;
    }
    Ok(app)
}
