//! Reads the training texts where they lie: petitions, precedents, acts and headlines. Nothing of them is kept but
//! numbers; the sets that retrieval is measured on are never read here.

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// Characters of a passage that are read.
const MOST_CHARACTERS: usize = 1500;
/// Shorter passages say too little to be asked for.
const LEAST_CHARACTERS: usize = 40;

/// Passages and questions that each ask for one of them.
#[derive(Default)]
pub struct Pairs {
    pub passages: Vec<String>,
    /// Question and the number of its passage.
    pub questions: Vec<(String, usize)>,
}

impl Pairs {
    fn add(&mut self, question: Option<String>, passage: &str) {
        if let Some(question) = question {
            self.questions.push((question, self.passages.len()));
        }
        self.passages.push(passage.chars().take(MOST_CHARACTERS).collect());
    }

    /// Long questions: some sentences of each passage ask for the others. What they share is a subject and not a line.
    #[must_use]
    pub fn split_passages(&self) -> Self {
        let mut out = Self::default();
        for (i, passage) in self.passages.iter().enumerate() {
            let sentences: Vec<&str> =
                madang_korean::sentences(passage).into_iter().filter_map(|r| passage.get(r)).collect();
            if sentences.len() < 4 {
                out.add(None, passage);
                continue;
            }
            // Questions and passages of many lengths, always the same ones.
            let (step, keep) = (3 + (i * 7) % 3, 1 + (i * 5) % 4);
            let (asking, rest): (Vec<_>, Vec<_>) = sentences.iter().enumerate().partition(|(k, _)| k % step == 1);
            let question: Vec<&str> = asking.into_iter().map(|(_, s)| *s).collect();
            let kept: Vec<&str> = rest.into_iter().step_by(keep).map(|(_, s)| *s).collect();
            out.add(Some(question.join(" ")), &kept.join(" "));
        }
        out
    }
}

/// Every source of training, in a fixed order, and texts that only co-occurrence learns from.
///
/// # Errors
/// A file that is missing or not as expected.
pub fn read(data: &Path) -> Result<(Vec<Pairs>, Vec<String>)> {
    let mut petitions = Pairs::default();
    for month in ["2019-04", "2019-05"] {
        read_petitions(&data.join("text").join(format!("petitions_{month}")), &mut petitions)?;
    }
    let precedents = read_precedents(&data.join("text/precedents_6000.jsonl"))?;
    let acts = read_acts(&data.join("law/acts/laws"))?;
    let long = [petitions.split_passages(), precedents.split_passages()];
    let mut sources = vec![petitions, precedents, acts];
    sources.extend(long);
    let headlines = read_headlines(&data.join("text/ynat_headlines"))?;
    Ok((sources, headlines))
}

/// Lines of JSON.
///
/// # Errors
/// The file and line at fault.
pub fn json_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let lines = BufReader::new(file).lines().enumerate();
    let parsed = lines.map(|(i, line)| {
        let at = || format!("{}:{}", path.display(), i + 1);
        serde_json::from_str(&line.with_context(at)?).with_context(at)
    });
    parsed.collect()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Title asks for body.
fn read_petitions(path: &Path, out: &mut Pairs) -> Result<()> {
    for value in json_lines::<Value>(path)? {
        let (title, body) = (text(&value, "title"), text(&value, "content").replace("\\n", " "));
        if body.chars().count() >= LEAST_CHARACTERS {
            out.add((title.chars().count() >= 6).then(|| title.to_owned()), &body);
        }
    }
    Ok(())
}

/// The point at issue asks for the holding of the same number.
fn read_precedents(path: &Path) -> Result<Pairs> {
    let mut out = Pairs::default();
    for value in json_lines::<Value>(path)? {
        let mut issues = numbered(text(&value, "판시사항"));
        for (number, holding) in numbered(text(&value, "판결요지")) {
            if holding.chars().count() >= LEAST_CHARACTERS {
                out.add(issues.remove(&number).filter(|i| i.chars().count() >= 10), &holding);
            }
        }
    }
    Ok(out)
}

/// "[1] … [2] …" taken apart; a text without numbers is number 1.
fn numbered(text: &str) -> BTreeMap<usize, String> {
    let text = without_tags(text);
    let mut rest = text.trim_start();
    let mut out = BTreeMap::new();
    if !rest.starts_with("[1]") {
        out.insert(1, rest.to_owned());
        return out;
    }
    for number in 1.. {
        let Some((_, body)) = rest.split_once(&format!("[{number}]")) else { break };
        let end = body.find(&format!("[{}]", number + 1)).unwrap_or(body.len());
        let (item, tail) = body.split_at(end);
        out.insert(number, item.trim().to_owned());
        rest = tail;
    }
    out
}

fn without_tags(text: &str) -> String {
    let mut inside = false;
    let keep = text.chars().map(|c| {
        let tag = inside || c == '<';
        inside = tag && c != '>';
        if tag { ' ' } else { c }
    });
    keep.collect()
}

/// An article's title asks for it where no other article has the same.
fn read_acts(folder: &Path) -> Result<Pairs> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut files = entries.map(|e| Ok(e?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    let mut articles: Vec<(String, String)> = Vec::new();
    for file in files {
        let at = || file.display().to_string();
        let act: Value = serde_json::from_slice(&std::fs::read(&file).with_context(at)?).with_context(at)?;
        let units = act.pointer("/법령/조문/조문단위").and_then(Value::as_array);
        for unit in units.into_iter().flatten().filter(|u| text(u, "조문여부") == "조문") {
            let mut body = String::new();
            gather(unit, &mut body);
            let body = without_tags(&body);
            // "제1조(목적) …": the title would give itself away.
            let body = match body.split_once(')') {
                Some((heading, rest)) if heading.trim_start().starts_with('제') && heading.len() < 200 => rest,
                _ => body.as_str(),
            };
            if body.chars().count() >= LEAST_CHARACTERS {
                articles.push((text(unit, "조문제목").trim().to_owned(), body.to_owned()));
            }
        }
    }
    let mut times: HashMap<&str, usize> = HashMap::new();
    articles.iter().for_each(|(title, _)| *times.entry(title).or_default() += 1);
    let mut out = Pairs::default();
    for (title, body) in &articles {
        let alone = times.get(title.as_str()) == Some(&1) && title.chars().count() >= 4;
        out.add(alone.then(|| title.clone()), body);
    }
    Ok(out)
}

/// The texts of an article and of what stands below it.
fn gather(value: &Value, out: &mut String) {
    match value {
        Value::Array(values) => values.iter().for_each(|v| gather(v, out)),
        Value::Object(fields) => {
            let parts = ["조문내용", "항", "항내용", "호", "호내용", "목", "목내용"];
            parts.iter().filter_map(|p| fields.get(*p)).for_each(|v| gather(v, out));
        }
        Value::String(text) => {
            out.push(' ');
            out.push_str(text);
        }
        _ => {}
    }
}

fn read_headlines(folder: &Path) -> Result<Vec<String>> {
    let mut out = Vec::new();
    for name in ["train_data.csv", "test_data.csv"] {
        let path = folder.join(name);
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        // Number, headline, and in one file the topic.
        let headlines = text.lines().skip(1).filter_map(|line| line.split_once(',').map(|(_, rest)| rest.to_owned()));
        out.extend(headlines);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_items_are_taken_apart() {
        let items = numbered("[1] 첫째 쟁점<br/>[2] 둘째 쟁점");
        assert_eq!(items.into_iter().collect::<Vec<_>>(), [(1, "첫째 쟁점".into()), (2, "둘째 쟁점".into())]);
        assert_eq!(numbered("하나뿐").len(), 1);
    }

    #[test]
    fn no_sentence_asks_for_itself() {
        let mut pairs = Pairs::default();
        pairs.add(None, "가로등이 꺼졌다. 골목이 어둡다. 아이들이 무서워한다. 어서 고쳐 달라. 사흘이 지났다.");
        let split = pairs.split_passages();
        let (question, passage) = &split.questions[0];
        assert!(!question.is_empty() && !split.passages[*passage].contains(question.as_str()));
    }
}
