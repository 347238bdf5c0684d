//! Reads a folder in BEIR layout: `corpus.jsonl`, `queries.jsonl`, `qrels/<split>.tsv`. What is measured on it lives
//! beside this file.

use super::EvalError;
use serde::{Deserialize, de::DeserializeOwned};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// Passages, and the judged questions about them.
#[derive(Debug, Clone, Default)]
pub struct TestSet {
    pub corpus: Vec<Entry>,
    pub questions: Vec<Question>,
}

/// A passage of the corpus.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Entry {
    #[serde(rename = "_id")]
    pub id: String,
    #[serde(default, deserialize_with = "text_or_nothing")]
    pub title: String,
    pub text: String,
}

/// A question with its judgements.
#[derive(Debug, Clone, Default)]
pub struct Question {
    pub text: String,
    /// Spans that answer it, where the set has them.
    pub answers: Vec<String>,
    /// Numbers in the corpus of the passages judged relevant.
    pub relevant: HashSet<usize>,
}

#[derive(Deserialize)]
struct Query {
    #[serde(rename = "_id")]
    id: String,
    text: String,
    #[serde(default)]
    answers: Vec<String>,
}

fn text_or_nothing<'de, D: serde::Deserializer<'de>>(reader: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(reader)?.unwrap_or_default())
}

impl TestSet {
    /// Reads the folder; questions without a judgement in `split` (the name of a file in `qrels/`) are left out.
    ///
    /// # Errors
    /// [`EvalError::Folder`] names the file and line at fault; a split without a positive judgement is one.
    pub fn read(dir: &Path, split: &str) -> Result<Self, EvalError> {
        let corpus: Vec<Entry> = read_lines(&dir.join("corpus.jsonl"))?;
        let queries: Vec<Query> = read_lines(&dir.join("queries.jsonl"))?;
        let judgements = read_judgements(&dir.join("qrels"), split)?;
        let numbers: HashMap<&str, usize> = corpus.iter().enumerate().map(|(i, e)| (e.id.as_str(), i)).collect();
        let mut questions = Vec::new();
        for query in queries {
            let Some(relevant) = judgements.get(&query.id) else { continue };
            // Passed over, they would lower what can be found at best, and raise every figure.
            let unknown = |id: &String| folder_error(dir, format!("정답 {id}이(가) corpus.jsonl에 없습니다."));
            let number = |id: &String| numbers.get(id.as_str()).copied().ok_or_else(|| unknown(id));
            let relevant = relevant.iter().map(number).collect::<Result<_, _>>()?;
            questions.push(Question { text: query.text, answers: query.answers, relevant });
        }
        if questions.is_empty() {
            let reason = format!("qrels/{split}.tsv에 queries.jsonl의 질문과 이어지는 정답이 없습니다.");
            return Err(folder_error(dir, reason));
        }
        Ok(Self { corpus, questions })
    }
}

fn folder_error(path: &Path, reason: impl std::fmt::Display) -> EvalError {
    EvalError::Folder { path: path.to_owned(), reason: reason.to_string() }
}

/// Lines with their 1-based numbers, empty ones left out.
fn lines(path: &Path) -> Result<impl Iterator<Item = Result<(usize, String), EvalError>>, EvalError> {
    let file = File::open(path).map_err(|e| folder_error(path, e))?;
    let path = path.to_owned();
    Ok(BufReader::new(file).lines().enumerate().filter_map(move |(i, line)| match line {
        Ok(line) if line.trim().is_empty() => None,
        Ok(line) => Some(Ok((i + 1, line))),
        Err(e) => Some(Err(folder_error(&path, format!("{}째 줄: {e}", i + 1)))),
    }))
}

fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, EvalError> {
    lines(path)?
        .map(|line| {
            let (number, line) = line?;
            serde_json::from_str(&line).map_err(|e| folder_error(path, format!("{number}째 줄: {e}")))
        })
        .collect()
}

/// Query id → ids of the passages judged relevant.
fn read_judgements(folder: &Path, split: &str) -> Result<HashMap<String, Vec<String>>, EvalError> {
    // The split is a file's name, never a way to another folder.
    if split.is_empty() || !split.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_')) {
        return Err(folder_error(folder, format!("'{split}'은 쓸 수 없는 분할 이름입니다.")));
    }
    let path = folder.join(format!("{split}.tsv"));
    let mut out: HashMap<String, Vec<String>> = HashMap::new();
    for line in lines(&path)? {
        let (number, line) = line?;
        let mut fields = line.split('\t').map(str::trim);
        let (Some(query), Some(passage), Some(score)) = (fields.next(), fields.next(), fields.next()) else {
            return Err(folder_error(&path, format!("{number}째 줄: 칸이 세 개가 아닙니다.")));
        };
        match score.parse::<f64>() {
            Ok(score) if score > 0.0 => out.entry(query.to_owned()).or_default().push(passage.to_owned()),
            Ok(_) => {}
            // The heading.
            Err(_) if number == 1 => {}
            Err(e) => return Err(folder_error(&path, format!("{number}째 줄: {e}"))),
        }
    }
    Ok(out)
}
