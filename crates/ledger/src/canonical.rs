//! Canonical JSON: one text for one value, so that a hash of it means the value.
//!
//! Object keys in the order of their UTF-8 bytes, no blanks, strings and numbers as `serde_json` writes them. Not RFC
//! 8785: integers keep all 64 bits, which ECMAScript numbers do not.

use crate::finite;
use serde::Serialize;
use serde_json::Value;

/// The value has no canonical JSON.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    /// NaN or an infinity, which JSON would silently turn into `null`.
    #[error("a number of the record is not finite")]
    NotFinite,
    /// The value is not JSON: a map with keys that are no strings, for instance.
    #[error("the record is not JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// The value as canonical JSON.
///
/// # Errors
/// [`CanonicalError::NotFinite`] for NaN and infinities; [`CanonicalError::Json`] for what JSON cannot say.
pub fn canonical<T: Serialize + ?Sized>(value: &T) -> Result<String, CanonicalError> {
    if !finite::is_finite(value) {
        return Err(CanonicalError::NotFinite);
    }
    let mut out = String::new();
    write(&serde_json::to_value(value)?, &mut out)?;
    Ok(out)
}

/// The text is canonical JSON.
pub fn is_canonical(text: &str) -> bool {
    let written = serde_json::from_str::<Value>(text).ok().and_then(|value| {
        let mut out = String::with_capacity(text.len());
        write(&value, &mut out).ok().map(|()| out)
    });
    written.as_deref() == Some(text)
}

fn write(value: &Value, out: &mut String) -> Result<(), serde_json::Error> {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(item, out)?;
            }
            out.push(']');
        }
        Value::Object(map) => {
            // Sorted here: the map keeps insertion order when a feature elsewhere in the build asks for it.
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_bytes());
            out.push('{');
            for (i, (key, item)) in entries.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&serde_json::to_string(key)?);
                out.push(':');
                write(item, out)?;
            }
            out.push('}');
        }
        scalar => out.push_str(&serde_json::to_string(scalar)?),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_sorted_at_every_depth() {
        let value = json!({"b": [{"z": 1, "가": "\n", "a": null}], "a": 1.5});
        assert_eq!(canonical(&value).unwrap(), r#"{"a":1.5,"b":[{"a":null,"z":1,"가":"\n"}]}"#);
    }

    #[test]
    fn refuses_what_is_not_finite_at_any_depth() {
        #[derive(Serialize)]
        struct Record {
            rates: Vec<Option<f64>>,
        }
        assert!(canonical(&Record { rates: vec![Some(1.0), None] }).is_ok());
        for bad in [f64::NAN, f64::INFINITY] {
            assert!(matches!(canonical(&Record { rates: vec![Some(bad)] }), Err(CanonicalError::NotFinite)));
        }
    }

    #[test]
    fn other_spellings_of_a_value_are_not_canonical() {
        assert!(is_canonical(r#"{"a":1,"b":"가"}"#));
        for text in [r#"{"b":1,"a":1}"#, r#"{"a": 1}"#, r#"{"a":"\u0041"}"#, r#"{"a":1,"a":1}"#, "1.50", "NaN", ""] {
            assert!(!is_canonical(text), "{text}");
        }
    }
}
