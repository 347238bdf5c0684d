//! `xtask bench-search`: the embedded index at scale. Passages are put together from sentences of real Korean text (or of
//! invented words where there is none), searched by words, by meaning and by both, by readers of everything, of a half,
//! of a hundredth and of a thousandth of it. Prints build time, disk, memory, latencies and recall against an exact scan.
//! Vectors are hashed words: they cluster as the texts do, and say nothing about the quality of a model.

use anyhow::{Context, Result};
use half::f16;
use madang_domain::{CollectionId, DocumentId, PassageId, ReadableCollections};
use madang_search::{Coverage, Index, IndexedPassage, PassageVector, QueryVector, SearchOptions, VectorModel, Waiting};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Passages of a document.
const PASSAGES: usize = 8;
/// Hits wanted.
const TOP: usize = 10;
const FINGERPRINT: &str = "hashed-words";
/// Shares of the passages that readers may read, in thousandths.
const SHARES: [usize; 4] = [1, 10, 500, 1000];

#[derive(clap::Args)]
pub struct Args {
    #[arg(long, default_value_t = 1_000_000)]
    passages: usize,
    /// Length of a vector; 0 leaves vectors out.
    #[arg(long, default_value_t = 256)]
    dimension: usize,
    /// Passages per write: a document has some, the filling of an index takes many at once.
    #[arg(long, default_value_t = 2048)]
    write: usize,
    /// Queries of each kind and share.
    #[arg(long, default_value_t = 300)]
    queries: usize,
    /// Folder of text files whose sentences are used.
    #[arg(long, default_value = "../shared/data/text")]
    texts: PathBuf,
    /// Folder for the index, kept; what an earlier run left there is completed and asked. A temporary one without it.
    #[arg(long)]
    dir: Option<PathBuf>,
}

struct World {
    index: Index,
    sentences: Vec<String>,
    passages: usize,
    dimension: usize,
    write: usize,
    /// One collection for each share but the last, then one for what is left.
    collections: Vec<CollectionId>,
    /// All vectors in a row, for the exact scan.
    vectors: Vec<f16>,
}

/// Builds, measures and prints the tables.
///
/// # Errors
/// When the index fails.
pub fn run(args: &Args) -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let dir = args.dir.clone().unwrap_or_else(|| temporary.path().join("index"));
    let mut world = World {
        index: Index::open(&dir)?,
        sentences: sentences(&args.texts),
        passages: args.passages,
        dimension: args.dimension,
        write: args.write.max(1),
        // The same in every run, for an index that is asked again.
        collections: SHARES.iter().map(|share| CollectionId(uuid::Uuid::from_u128(*share as u128))).collect(),
        vectors: Vec::with_capacity(args.passages * args.dimension),
    };
    println!(
        "{} passages, {} sentences to draw from, vectors of {}",
        args.passages,
        world.sentences.len(),
        args.dimension
    );
    world.build()?;
    world.remember_vectors();
    let own = (world.vectors.len() * 2) as f64 / f64::from(1 << 30);
    let (disk, [resident, peak]) = (size(&dir)?, memory()?.map(|all| all - own));
    println!("\ndisk {disk:.2} GiB, memory {resident:.2} GiB, at most {peak:.2} GiB");
    world.ask(args.queries)
}

impl World {
    /// What is not there yet: a run that was cut off goes on where it ended.
    fn build(&self) -> Result<()> {
        let lost: Vec<_> = self.index.interrupted().iter().flat_map(|d| numbers(*d)).collect();
        let from = if lost.is_empty() { self.index.count()? } else { self.index.count()? + lost.len() };
        let words = lost.into_iter().chain(from..self.passages).collect::<Vec<_>>();
        let added = timed(|| self.add(&words))?;
        let vectors = timed(|| self.add_vectors())?;
        let optimised = timed(|| Ok(self.index.optimise()?))?;
        println!("\n| step | time | |\n| --- | ---: | ---: |");
        let rate = |count: usize, took: Duration| format!("{:.0}/s", count as f64 / took.as_secs_f64());
        println!("| words of {} | {:.0} s | {} |", words.len(), added.as_secs_f64(), rate(words.len(), added));
        println!("| vectors | {:.0} s | |", vectors.as_secs_f64());
        println!("| optimise | {:.0} s | |", optimised.as_secs_f64());
        Ok(())
    }

    fn add(&self, words: &[usize]) -> Result<()> {
        for (at, some) in words.chunks(self.write).enumerate() {
            let batch: Vec<_> = some.iter().map(|number| self.passage(*number)).collect();
            self.index.upsert(&batch)?;
            if at * self.write % 100_000 < self.write {
                eprintln!("words {}", at * self.write);
            }
        }
        Ok(())
    }

    /// For the exact scan.
    fn remember_vectors(&mut self) {
        let numbers = if self.dimension == 0 { 0..0 } else { 0..self.passages };
        for number in numbers {
            let vector = hashed(&self.text(number), self.dimension);
            self.vectors.extend(vector.into_iter().map(f16::from_f32));
        }
    }

    fn add_vectors(&self) -> Result<()> {
        if self.dimension == 0 {
            return Ok(());
        }
        self.index.choose_vectors(Some(self.model()))?;
        let make = |waiting: &[Waiting]| -> Result<Vec<PassageVector>> {
            let vector = |w: &Waiting| PassageVector {
                passage: w.passage,
                document: w.document,
                vector: hashed(&self.text(number(w.passage)), self.dimension),
            };
            Ok(waiting.iter().map(vector).collect())
        };
        let told = |coverage: Coverage| {
            if coverage.done % 100_000 < self.write {
                eprintln!("vectors {}", coverage.done);
            }
        };
        self.index.fill_vectors(FINGERPRINT, self.write, make, told, || false)?;
        Ok(())
    }

    fn model(&self) -> VectorModel {
        VectorModel { fingerprint: FINGERPRINT.to_owned(), dimension: self.dimension }
    }

    fn passage(&self, number: usize) -> IndexedPassage {
        IndexedPassage {
            id: id(number),
            collection: self.collection(number),
            document: document(number),
            title: format!("문서 {}", number / PASSAGES),
            heading_path: Vec::new(),
            text: self.text(number),
        }
    }

    /// The collection of the least share that the passage falls into.
    fn collection(&self, number: usize) -> CollectionId {
        let place = number.wrapping_mul(0x9e37_79b1) % 1000;
        let mut bound = 0;
        let at = SHARES.iter().position(|share| {
            bound += share;
            place < bound
        });
        self.collections[at.unwrap_or(SHARES.len() - 1)]
    }

    /// Three to six sentences, the same ones for the same number.
    fn text(&self, number: usize) -> String {
        let mut random = StdRng::seed_from_u64(number as u64);
        let count = random.random_range(3..=6);
        let some = (0..count).map(|_| self.sentences[random.random_range(0..self.sentences.len())].as_str());
        some.collect::<Vec<_>>().join(" ")
    }

    /// Half the words of a sentence that stands in some passage.
    fn question(&self, random: &mut StdRng) -> String {
        let text = self.text(random.random_range(0..self.passages));
        let words: Vec<&str> = text.split_whitespace().take(24).collect();
        let kept: Vec<&str> = words.into_iter().filter(|_| random.random_range(0..100) < 40).collect();
        if kept.is_empty() { text.chars().take(20).collect() } else { kept.join(" ") }
    }

    fn ask(&self, queries: usize) -> Result<()> {
        println!("\n| readable | by | p50 ms | p99 ms | recall@{TOP} |\n| ---: | --- | ---: | ---: | ---: |");
        for (at, share) in SHARES.iter().enumerate() {
            let readable = if *share == 1000 { self.collections.clone() } else { vec![self.collections[at]] };
            // A measurement's own collections: no reader's rights are involved.
            #[allow(clippy::disallowed_methods)]
            let readable = ReadableCollections::resolved(readable);
            for (by, words, meaning) in [("words", true, false), ("meaning", false, true), ("both", true, true)] {
                if meaning && self.dimension == 0 {
                    continue;
                }
                let mut random = StdRng::seed_from_u64(7);
                let mut times = Vec::new();
                let mut recalls = Vec::new();
                for asked in 0..queries + 10 {
                    let question = self.question(&mut random);
                    let vector = meaning.then(|| QueryVector {
                        fingerprint: FINGERPRINT.to_owned(),
                        vector: hashed(&question, self.dimension),
                        least_similarity: -1.0,
                    });
                    let text = if words { question.as_str() } else { "" };
                    let options = SearchOptions { limit: TOP, ..SearchOptions::default() };
                    let start = Instant::now();
                    let hits = self.index.search_with(text, vector.as_ref(), &readable, &options)?;
                    // The first ones warm what is read from the disk.
                    if asked >= 10 {
                        times.push(start.elapsed().as_secs_f64() * 1000.0);
                    }
                    if let (Some(vector), false, true) = (&vector, words, asked < 40) {
                        let found: Vec<_> = hits.iter().map(|h| h.passage).collect();
                        recalls.push(self.recall(&vector.vector, &readable, &found));
                    }
                }
                times.sort_by(f64::total_cmp);
                let percentile = |p: f64| times[((times.len() as f64 * p) as usize).min(times.len() - 1)];
                let recall = if recalls.is_empty() {
                    String::new()
                } else {
                    format!("{:.3}", recalls.iter().sum::<f64>() / recalls.len() as f64)
                };
                let share = *share as f64 / 10.0;
                println!("| {share} % | {by} | {:.1} | {:.1} | {recall} |", percentile(0.5), percentile(0.99));
            }
        }
        Ok(())
    }

    /// Share of the truly nearest that were found; ties count as found.
    fn recall(&self, query: &[f32], readable: &ReadableCollections, found: &[PassageId]) -> f64 {
        let cosine = |number: usize| -> f32 {
            let stored = &self.vectors[number * self.dimension..(number + 1) * self.dimension];
            stored.iter().zip(query).map(|(a, b)| a.to_f32() * b).sum()
        };
        let mut all: Vec<f32> =
            (0..self.passages).filter(|n| readable.contains(self.collection(*n))).map(cosine).collect();
        all.sort_by(|a, b| b.total_cmp(a));
        let wanted = all.len().min(TOP);
        let Some(last) = wanted.checked_sub(1).and_then(|l| all.get(l)) else { return 1.0 };
        // Stored halved in precision, hence the slack.
        let near = |id: &&PassageId| cosine(number(**id)) >= last - 1e-3;
        found.iter().filter(near).count() as f64 / wanted as f64
    }
}

fn id(number: usize) -> PassageId {
    PassageId(uuid::Uuid::from_u128(number as u128 + 1))
}

fn number(id: PassageId) -> usize {
    id.0.as_u128() as usize - 1
}

fn document(number: usize) -> DocumentId {
    DocumentId(uuid::Uuid::from_u128((number / PASSAGES) as u128 + 1))
}

/// Numbers of a document's passages.
fn numbers(document: DocumentId) -> std::ops::Range<usize> {
    let first = (document.0.as_u128() as usize - 1) * PASSAGES;
    first..first + PASSAGES
}

/// Signed hashes of the text's terms, at length 1.
fn hashed(text: &str, dimension: usize) -> Vec<f32> {
    let mut vector = vec![0.0_f32; dimension];
    for token in madang_korean::analyse(text) {
        let term = token.term() as usize;
        vector[term % dimension] += if (term / dimension).is_multiple_of(2) { 1.0 } else { -1.0 };
    }
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::EPSILON);
    vector.iter_mut().for_each(|x| *x /= length);
    vector
}

/// Sentences of 15 to 200 characters of the folder's files; invented ones where there are too few.
fn sentences(folder: &Path) -> Vec<String> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(text) = std::fs::read_to_string(entry.path()) else { continue };
        let text = text.replace("\\n", "\n").replace(['"', '{', '}'], " ");
        let found = madang_korean::sentences(&text).into_iter().filter_map(|range| text.get(range));
        out.extend(found.filter(|s| (15..=200).contains(&s.chars().count())).map(str::to_owned));
    }
    out.sort();
    out.dedup();
    if out.len() < 1000 {
        eprintln!("{}: no texts there, words are invented", folder.display());
        out = invented();
    }
    out
}

/// Words of two to four syllables, common ones far more often than rare ones.
fn invented() -> Vec<String> {
    let mut random = StdRng::seed_from_u64(1);
    let mut syllable = move || char::from_u32(0xac00 + random.random_range(0..2000u32) * 5).unwrap_or('가');
    let words: Vec<String> = (0..60_000).map(|n| (0..2 + n % 3).map(|_| syllable()).collect()).collect();
    let mut random = StdRng::seed_from_u64(2);
    let mut word = || words[(words.len() as f64).powf(random.random_range(0.0..1.0)) as usize % words.len()].as_str();
    (0..100_000).map(|_| (0..9).map(|_| word()).collect::<Vec<_>>().join(" ") + "다.").collect()
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let start = Instant::now();
    work().map(|()| start.elapsed())
}

/// GiB of all files below the folder.
fn size(dir: &Path) -> Result<f64> {
    let mut bytes = 0;
    let mut open = vec![dir.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => open.push(entry.path()),
                // Segments are sparse files: what they take counts, not how long they are.
                false => bytes += std::os::unix::fs::MetadataExt::blocks(&entry.metadata()?) * 512,
            }
        }
    }
    Ok(bytes as f64 / f64::from(1 << 30))
}

/// GiB resident now and at most, mapped files included.
fn memory() -> Result<[f64; 2]> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let kib = |name: &str| -> Result<f64> {
        let line = status.lines().find(|l| l.starts_with(name)).context("no such line in /proc/self/status")?;
        Ok(line.split_whitespace().nth(1).context("no number")?.parse()?)
    };
    Ok([kib("VmRSS:")? / f64::from(1 << 20), kib("VmHWM:")? / f64::from(1 << 20)])
}
