//! The design sheet as a JSON Schema for a model, and reading what a model wrote into a sound sheet.
//!
//! Every string and list is bounded, so that any way of decoding ends. When an app runs by itself and whether it may
//! ask outside are never a model's to say: these are not in the schema.

use super::CollectionSummary;
use madang_domain::{DesignSheet, FieldKind, OutputForm, OutsideCalls, Sentence, SheetFault, Source, TaskKind};
use serde_json::{Value, json};
use std::collections::HashSet;

/// Characters of running text; no quotes or control characters, so that nothing needs escaping.
const TEXT: &str = r"[가-힣A-Za-z0-9 ,.:;/~%+()·?!‘’“”「」-]";
/// Text begins with a letter, a figure or a bracket.
const FIRST: &str = "[가-힣A-Za-z0-9「‘]";

/// The schema of a sheet without collections: sources are everything readable, or none.
pub fn sheet_schema() -> Value {
    sheet_schema_over(&[])
}

/// The schema of a sheet whose sources may be these collections.
pub fn sheet_schema_over(catalogue: &[CollectionSummary]) -> Value {
    let tasks: Vec<&str> = TaskKind::ALL.iter().map(|t| t.as_str()).collect();
    let mut schema = object(&[
        ("title", text(40)),
        ("purpose", text(160)),
        ("task", json!({ "type": "string", "enum": tasks })),
        ("sentences", list(1, 12, object(&[("text", text(160))]))),
        ("inputs", list(0, 6, input())),
        ("sources", list(0, 3, source(catalogue))),
        ("output", output()),
    ]);
    if let Some(map) = schema.as_object_mut() {
        // Without it white space may go on for ever.
        map.insert("x-guidance".into(), json!({ "whitespace_flexible": false }));
    }
    schema
}

fn object(properties: &[(&str, Value)]) -> Value {
    let required: Vec<&str> = properties.iter().map(|(name, _)| *name).collect();
    let properties: serde_json::Map<String, Value> =
        properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn text(longest: usize) -> Value {
    json!({ "type": "string", "pattern": format!("^{FIRST}{TEXT}{{0,{}}}$", longest - 1) })
}

fn list(least: usize, most: usize, items: Value) -> Value {
    json!({ "type": "array", "minItems": least, "maxItems": most, "items": items })
}

fn one_of(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

fn input() -> Value {
    let plain = object(&[("type", one_of(&["text", "long_text", "date", "number"]))]);
    let choice = object(&[("type", one_of(&["choice"])), ("options", list(1, 8, text(30)))]);
    object(&[
        ("key", json!({ "type": "string", "pattern": "^[a-z][a-z0-9_]{0,19}$" })),
        ("label", text(30)),
        ("kind", json!({ "anyOf": [plain, choice] })),
        ("required", json!({ "type": "boolean" })),
    ])
}

fn source(catalogue: &[CollectionSummary]) -> Value {
    let mut all = vec![object(&[("type", one_of(&["readable"]))])];
    all.extend(catalogue.iter().map(|c| {
        let id = c.id.to_string();
        object(&[("type", one_of(&["collection"])), ("id", one_of(&[&id])), ("name", one_of(&[&c.name]))])
    }));
    json!({ "anyOf": all })
}

fn output() -> Value {
    json!({ "anyOf": [
        object(&[("type", one_of(&["answer", "bullets", "checklist"]))]),
        object(&[("type", one_of(&["table"])), ("columns", list(1, 8, text(30)))]),
        object(&[("type", one_of(&["draft"])), ("sections", list(1, 12, text(30)))]),
        object(&[("type", one_of(&["label"])), ("classes", list(2, 10, text(30)))]),
    ] })
}

/// Reads a sheet that a model wrote: spaces are trimmed, repeated keys told apart, repeated sentences, options and
/// sources dropped; collections bear the catalogue's names.
///
/// # Errors
/// What keeps the sheet from being saved, as for every other sheet; a collection that is not in the catalogue.
pub fn read_sheet(written: &str, catalogue: &[CollectionSummary]) -> Result<DesignSheet, Vec<SheetFault>> {
    let fault = |field: &str, message: String| vec![SheetFault { field: field.into(), message }];
    let from = written.find('{').unwrap_or_default();
    let to = written.rfind('}').map_or(written.len(), |at| at + 1);
    let mut sheet: DesignSheet = serde_json::from_str(written.get(from..to).unwrap_or_default())
        .map_err(|e| fault("sheet", format!("모델이 쓴 설계서를 읽을 수 없습니다: {e}")))?;
    sheet.title = sheet.title.trim().to_owned();
    sheet.purpose = sheet.purpose.trim().to_owned();
    let mut seen = HashSet::new();
    sheet.sentences = sheet
        .sentences
        .into_iter()
        .map(|s| Sentence { text: s.text.trim().to_owned(), guessed: false })
        .filter(|s| !s.text.is_empty() && seen.insert(s.text.clone()))
        .collect();
    tidy_inputs(&mut sheet);
    sheet.sources = known(&sheet.sources, catalogue)
        .ok_or_else(|| fault("sources", "모델이 목록에 없는 자료 모음을 골랐습니다.".into()))?;
    match &mut sheet.output {
        OutputForm::Table { columns: names }
        | OutputForm::Draft { sections: names }
        | OutputForm::Label { classes: names } => {
            tidy(names);
        }
        OutputForm::Answer | OutputForm::Bullets | OutputForm::Checklist => {}
    }
    sheet.schedule = None;
    sheet.outside = OutsideCalls::Never;
    let faults = sheet.faults();
    if faults.is_empty() { Ok(sheet) } else { Err(faults) }
}

fn tidy(names: &mut Vec<String>) {
    let mut seen = HashSet::new();
    names.iter_mut().for_each(|n| *n = n.trim().to_owned());
    names.retain(|n| !n.is_empty() && seen.insert(n.clone()));
}

fn tidy_inputs(sheet: &mut DesignSheet) {
    let mut keys: HashSet<String> = HashSet::new();
    for input in &mut sheet.inputs {
        input.label = input.label.trim().to_owned();
        let base = input.key.clone();
        let mut n = 2;
        while !keys.insert(input.key.clone()) {
            input.key = format!("{base}_{n}");
            n += 1;
        }
        if let FieldKind::Choice { options } = &mut input.kind {
            tidy(options);
        }
    }
}

/// The sources once each, with the catalogue's names; everything readable stands alone. `None` for a collection that
/// the author may not read.
fn known(sources: &[Source], catalogue: &[CollectionSummary]) -> Option<Vec<Source>> {
    if sources.contains(&Source::Readable) {
        return Some(vec![Source::Readable]);
    }
    let mut seen = HashSet::new();
    sources
        .iter()
        .filter_map(|source| match source {
            Source::Readable => None,
            Source::Collection { id, .. } => seen.insert(*id).then(|| {
                let found = catalogue.iter().find(|c| c.id == *id)?;
                Some(Source::Collection { id: *id, name: found.name.clone(), guessed: true })
            }),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use llguidance::api::TopLevelGrammar;
    use llguidance::toktrie::ApproximateTokEnv;
    use llguidance::{Matcher, ParserFactory};
    use madang_domain::{CollectionId, Grade};

    fn collection(name: &str) -> CollectionSummary {
        CollectionSummary {
            id: CollectionId::new(),
            name: name.into(),
            grade: Grade::Open,
            documents: 3,
            sample_titles: vec![],
            keywords: vec![],
        }
    }

    /// A text of the schema, each byte chosen blindly among those allowed.
    fn blind(schema: &Value, mut seed: u64) -> String {
        let factory = ParserFactory::new_simple(&ApproximateTokEnv::single_byte_env()).unwrap();
        let grammar = TopLevelGrammar::from_json_schema(schema.clone());
        let mut matcher = Matcher::new(factory.create_parser(grammar));
        let mut out = Vec::new();
        while !matcher.is_stopped() {
            let mask = matcher.compute_mask().unwrap();
            let allowed: Vec<u32> = (0..256).filter(|b| mask.is_allowed(*b)).collect();
            // Nothing but the end may follow.
            if allowed.is_empty() {
                break;
            }
            // Xorshift (Marsaglia, 2003).
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let byte = allowed[(seed % allowed.len() as u64) as usize];
            matcher.consume_token(byte).unwrap();
            out.push(byte as u8);
            assert!(out.len() < 40_000, "does not end");
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn whatever_the_schema_allows_is_a_sound_sheet() {
        let catalogue = [collection("자치법규"), collection("업무 \"계획\"")];
        for seed in 1..=24 {
            let schema = if seed % 2 == 0 { sheet_schema() } else { sheet_schema_over(&catalogue) };
            let text = blind(&schema, seed * 0x9e37_79b9_7f4a_7c15);
            if let Err(faults) = read_sheet(&text, &catalogue) {
                panic!("{faults:?} in {text}");
            }
        }
    }

    #[test]
    fn sheets_are_put_right_or_refused() {
        let c = collection("자치법규");
        let sheet = |sources: Value, title: &str| {
            json!({
                "title": title, "purpose": "찾는다.", "task": "summary",
                "sentences": [{ "text": " 줄인다. " }, { "text": "줄인다." }],
                "inputs": [
                    { "key": "a", "label": "가", "kind": { "type": "text" }, "required": true },
                    { "key": "a", "label": "나", "kind": { "type": "choice", "options": ["x", "x"] }, "required": false },
                ],
                "sources": sources, "output": { "type": "bullets" },
                "schedule": { "type": "daily", "hour": 3, "minute": 0, "weekdays_only": false }, "outside": "ask",
            })
            .to_string()
        };
        let named = json!([{ "type": "collection", "id": c.id, "name": "다른 이름" }]);
        let read =
            read_sheet(&format!("```json\n{}\n```", sheet(named.clone(), "이름")), std::slice::from_ref(&c)).unwrap();
        assert_eq!(read.inputs.iter().map(|i| i.key.as_str()).collect::<Vec<_>>(), ["a", "a_2"]);
        assert_eq!((read.sentences.len(), read.schedule, read.outside), (1, None, OutsideCalls::Never));
        assert!(matches!(&read.sources[0], Source::Collection { name, .. } if name == "자치법규"));
        assert_eq!(read_sheet(&sheet(named, "이름"), &[]).unwrap_err()[0].field, "sources");
        assert_eq!(read_sheet(&sheet(json!([]), " "), &[]).unwrap_err()[0].field, "title");
        assert!(read_sheet("모르겠습니다", &[]).is_err());
    }
}
