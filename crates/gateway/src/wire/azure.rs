//! Azure OpenAI: the bodies of OpenAI's form, the deployment in the path, the version of the API in the query, the key
//! in `api-key`. Without a version the address is that of the dated API which is in service longest.

use super::{Adapter, Ask, Said, openai::OpenAi, segment};
use serde_json::Value;

pub(super) struct Azure;

/// The oldest stable version that is still served and knows everything asked here.
const USUAL_VERSION: &str = "2024-10-21";

impl Adapter for Azure {
    fn path(&self, model: &str, api_version: &str) -> String {
        let version = if api_version.is_empty() { USUAL_VERSION } else { api_version };
        format!("/openai/deployments/{}/chat/completions?api-version={}", segment(model), segment(version))
    }

    fn headers(&self, key: &str, _: &str) -> Vec<(&'static str, String)> {
        vec![("api-key", key.to_owned())]
    }

    fn body(&self, ask: &Ask<'_>) -> Vec<u8> {
        OpenAi.body(ask)
    }

    fn whole(&self, json: &Value) -> Said {
        OpenAi.whole(json)
    }

    fn event(&self, name: &str, json: &Value, said: &mut Said) -> bool {
        OpenAi.event(name, json, said)
    }

    fn error_name<'a>(&self, json: &'a Value) -> Option<&'a str> {
        OpenAi.error_name(json)
    }
}
