//! Typed access to a GGUF file's metadata, one for all who read some of it: dimensions (`config`), the vocabulary
//! (`tokenizer`), what a file calls itself (`catalogue`). Writers differ in the integer types they choose, so every one
//! of them is a number here.

use crate::error::ModelError;
use candle_core::quantized::gguf_file::{Content, Value};
use std::collections::HashMap;

/// The metadata of one file.
#[derive(Clone, Copy)]
pub struct Metadata<'a>(&'a HashMap<String, Value>);

impl<'a> Metadata<'a> {
    pub fn new(content: &'a Content) -> Self {
        Self(&content.metadata)
    }

    /// All keys, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.0.keys().map(String::as_str)
    }

    /// `None` where the key is missing, as in all that follow.
    ///
    /// # Errors
    /// The value is no text.
    pub fn text(&self, key: &str) -> Result<Option<&'a str>, ModelError> {
        match self.0.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong(key)),
        }
    }

    /// # Errors
    /// The value is no list.
    pub fn array(&self, key: &str) -> Result<Option<&'a [Value]>, ModelError> {
        match self.0.get(key) {
            None => Ok(None),
            Some(Value::Array(values)) => Ok(Some(values)),
            Some(_) => Err(wrong(key)),
        }
    }

    /// # Errors
    /// The value is neither true nor false.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, ModelError> {
        match self.0.get(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(wrong(key)),
        }
    }

    /// A whole number that is not negative. Some converters write one for each layer; only a model whose layers are
    /// alike is known here.
    ///
    /// # Errors
    /// The value is no such number, or the layers differ.
    pub fn size(&self, key: &str) -> Result<Option<usize>, ModelError> {
        let Some(value) = self.0.get(key) else { return Ok(None) };
        let number = match value {
            Value::Array(all) => {
                let first = all.first().and_then(whole).ok_or_else(|| wrong(key))?;
                if !all.iter().all(|v| whole(v) == Some(first)) {
                    return Err(ModelError::unsupported(format!("층마다 다른 {key}")));
                }
                first
            }
            one => whole(one).ok_or_else(|| wrong(key))?,
        };
        usize::try_from(number).map(Some).map_err(|_| wrong(key))
    }

    /// The number of a token; some writers keep −1 for "none".
    ///
    /// # Errors
    /// The value is no whole number.
    pub fn id(&self, key: &str) -> Result<Option<u32>, ModelError> {
        let Some(value) = self.0.get(key) else { return Ok(None) };
        whole(value).map(|id| u32::try_from(id).ok()).ok_or_else(|| wrong(key))
    }

    /// # Errors
    /// The value is no number with a point.
    pub fn float(&self, key: &str) -> Result<Option<f64>, ModelError> {
        match self.0.get(key) {
            None => Ok(None),
            Some(Value::F32(v)) => Ok(Some(f64::from(*v))),
            Some(Value::F64(v)) => Ok(Some(*v)),
            Some(_) => Err(wrong(key)),
        }
    }
}

/// A whole number of any type.
pub fn whole(value: &Value) -> Option<i128> {
    Some(match value {
        Value::U8(v) => i128::from(*v),
        Value::I8(v) => i128::from(*v),
        Value::U16(v) => i128::from(*v),
        Value::I16(v) => i128::from(*v),
        Value::U32(v) => i128::from(*v),
        Value::I32(v) => i128::from(*v),
        Value::U64(v) => i128::from(*v),
        Value::I64(v) => i128::from(*v),
        _ => return None,
    })
}

fn wrong(key: &str) -> ModelError {
    ModelError::damaged(format!("{key} 값의 종류"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: Value) -> HashMap<String, Value> {
        HashMap::from([("k".to_owned(), value)])
    }

    #[test]
    fn whole_numbers_of_every_type_are_sizes() {
        let all = [Value::U8(7), Value::I8(7), Value::U16(7), Value::I16(7), Value::U32(7), Value::I32(7)];
        for value in all.into_iter().chain([Value::U64(7), Value::I64(7)]) {
            for value in [value.clone(), Value::Array(vec![value; 3])] {
                assert_eq!(Metadata(&of(value)).size("k").unwrap(), Some(7));
            }
        }
        for value in [Value::I32(-1), Value::F32(7.0), Value::Array(Vec::new()), Value::Bool(true)] {
            assert!(matches!(Metadata(&of(value)).size("k"), Err(ModelError::Damaged { .. })));
        }
        let mixed = of(Value::Array(vec![Value::I32(8), Value::I32(4)]));
        assert!(matches!(Metadata(&mixed).size("k"), Err(ModelError::Unsupported { what }) if what.contains("층마다")));
        assert_eq!(Metadata(&of(Value::I32(-1))).id("k").unwrap(), None);
        assert_eq!(Metadata(&of(Value::U64(5))).id("k").unwrap(), Some(5));
        assert_eq!(Metadata(&of(Value::U64(5))).id("other").unwrap(), None);
    }
}
