//! Records out of a model as JSON: the schema that bounds them, and rows read as soon as each is whole.

use serde_json::{Map, Value, json};

/// Longest cell, characters.
const MAX_CELL: usize = 200;
/// Key of the passage's number in a row; the sheet's own columns of this name are filled by the engine.
const SOURCE: &str = "근거";

/// Schema of at most `most` rows with these fields, each of a passage among `numbers` where there are any.
pub(super) fn schema(fields: &[String], numbers: &[usize], most: usize) -> Value {
    let mut properties = Map::new();
    for field in fields {
        properties.insert(field.clone(), json!({ "type": "string", "maxLength": MAX_CELL }));
    }
    let mut required: Vec<&str> = fields.iter().map(String::as_str).collect();
    if !numbers.is_empty() {
        properties.insert(SOURCE.into(), json!({ "type": "integer", "enum": numbers }));
        required.push(SOURCE);
    }
    let row =
        json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false });
    json!({
        "type": "object",
        "properties": { "rows": { "type": "array", "items": row, "maxItems": most } },
        "required": ["rows"],
        "additionalProperties": false,
        // Without it white space may go on for ever; servers that do not know it pass over it.
        "x-guidance": { "whitespace_flexible": false },
    })
}

/// One row as the model wrote it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// A value for each field; `None` where the model found nothing.
    pub cells: Vec<Option<String>>,
    /// Number of the passage it names.
    pub source: Option<usize>,
}

impl Row {
    /// Reads one object; values that are no strings are taken as they are written.
    pub fn read(value: &Value, fields: &[String]) -> Self {
        let cell = |field: &String| {
            let text = match value.get(field)? {
                Value::String(text) => text.clone(),
                Value::Null => return None,
                other => other.to_string(),
            };
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            (!is_empty(&text)).then(|| text.chars().take(MAX_CELL).collect())
        };
        let source = value.get(SOURCE).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
        Self { cells: fields.iter().map(cell).collect(), source }
    }
}

/// Words with which models fill what they did not find.
fn is_empty(text: &str) -> bool {
    matches!(
        text.trim_matches(['-', '.', ' ', '"']),
        "" | "없음" | "자료에 없음" | "해당 없음" | "N/A" | "null" | "미상"
    )
}

/// Finds the objects of the outermost array of objects in JSON that comes bit by bit, inside a fence or not.
#[derive(Debug, Default)]
pub(super) struct RowReader {
    open: Vec<char>,
    in_string: bool,
    escaped: bool,
    row: Option<String>,
}

impl RowReader {
    /// The rows that this piece completes. Rows that are no JSON are dropped.
    pub fn feed(&mut self, piece: &str) -> Vec<Value> {
        let mut out = Vec::new();
        for c in piece.chars() {
            if let Some(row) = &mut self.row {
                row.push(c);
            }
            if self.in_string {
                self.in_string = self.escaped || c != '"';
                self.escaped = !self.escaped && c == '\\';
                continue;
            }
            match c {
                '"' if !self.open.is_empty() => self.in_string = true,
                '{' | '[' => {
                    if c == '{' && self.row.is_none() && self.open.last() == Some(&'[') {
                        self.row = Some(c.to_string());
                    }
                    self.open.push(c);
                }
                '}' | ']' => {
                    self.open.pop();
                    // The row's own brace: what is open now is its array.
                    if c == '}'
                        && self.open.last() == Some(&'[')
                        && self.open.iter().filter(|o| **o == '[').count() == 1
                    {
                        out.extend(self.row.take().and_then(|row| serde_json::from_str(&row).ok()));
                    }
                }
                _ => {}
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str, size: usize) -> Vec<Value> {
        let chars: Vec<char> = text.chars().collect();
        let mut reader = RowReader::default();
        chars.chunks(size).flat_map(|c| reader.feed(&c.iter().collect::<String>())).collect()
    }

    #[test]
    fn rows_come_as_they_are_whole() {
        let text =
            "```json\n{\"rows\": [{\"가\": \"}]{\\\"\", \"나\": [{\"x\": 1}]}, {\"가\": \"\\\\\"}, {\"가\": \"cut";
        for size in [1, 7, 500] {
            assert_eq!(read(text, size), [json!({ "가": "}]{\"", "나": [{ "x": 1 }] }), json!({ "가": "\\" })]);
        }
    }

    #[test]
    fn nothing_found_is_an_empty_cell() {
        let fields = ["예산".to_owned(), "기간".to_owned(), "담당".to_owned()];
        let row = Row::read(&json!({ "예산": " 21백만\n원 ", "기간": "자료에 없음", "근거": 3 }), &fields);
        assert_eq!(row, Row { cells: vec![Some("21백만 원".into()), None, None], source: Some(3) });
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "[{}\\[\\]\",:가a\\\\0-9 ]{0,80}", size in 1usize..9) {
            let _ = read(&text, size);
        }

        #[test]
        fn any_strings_come_through(cells in proptest::collection::vec("\\PC{0,20}", 0..5), size in 1usize..9) {
            let rows: Vec<Value> = cells.iter().map(|c| json!({ "가": c })).collect();
            prop_assert_eq!(read(&json!({ "rows": rows }).to_string(), size), rows);
        }
    }
}
