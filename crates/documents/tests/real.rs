//! Real documents beside the project, where they are: laws cut at their articles, plans under their headings, sealed
//! documents opened, guessed pages in order. Each check says so when its folder is absent.

use madang_documents::{DistributionPolicy, Extracted, Format, Limits, read};
use std::path::{Path, PathBuf};

fn data(folder: &str) -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")).join(folder);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("skipped: {} is absent", path.display());
    None
}

fn files(folder: &Path, extension: &str, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, extension, out);
        } else if path.extension().is_some_and(|e| e.eq_ignore_ascii_case(extension)) {
            out.push(path);
        }
    }
    out.sort();
}

fn read_all(folder: &str, extension: &str, limits: &Limits) -> Vec<(String, Extracted)> {
    let mut paths = Vec::new();
    if let Some(folder) = data(folder) {
        files(&folder, extension, &mut paths);
    }
    let name = |path: &Path| path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let of = |path: PathBuf| {
        let bytes = std::fs::read(&path).expect("readable");
        Some((name(&path), read(&bytes, &name(&path), limits).ok()?))
    };
    paths.into_iter().filter_map(of).collect()
}

#[test]
fn ordinances_are_cut_at_their_articles() {
    for (name, ordinance) in read_all("law/paju_ordinances", "md", &Limits::default()) {
        let articles: Vec<_> = ordinance.headings.iter().filter(|h| h.text.starts_with('제')).collect();
        assert!(articles.len() > 3, "{name}");
        for article in &articles {
            let own: Vec<_> =
                ordinance.passages.iter().filter(|p| p.heading_path.last() == Some(&article.text)).collect();
            assert!(!own.is_empty(), "{name}: {} has no passage of its own", article.text);
            let others = articles.iter().filter(|a| a.offset != article.offset);
            for other in others {
                let torn = own.iter().any(|p| (p.span.start..p.span.end).contains(&other.offset));
                assert!(!torn, "{name}: {} holds {}", article.text, other.text);
            }
        }
    }
}

#[test]
fn no_heading_of_a_plan_is_cut_from_its_text() {
    for (name, plan) in read_all("seeds", "txt", &Limits::default()) {
        let letters: Vec<char> = plan.text.chars().collect();
        for heading in &plan.headings {
            let own =
                plan.passages.iter().find(|p| (p.span.start..p.span.end).contains(&heading.offset)).expect("a passage");
            let behind: String = letters[heading.offset..own.span.end].iter().collect();
            let more = behind.lines().count() > 1 || own.span.end == letters.len() || behind.chars().count() > 70;
            let page_ends = plan.pages.iter().any(|p| p.offset >= own.span.end);
            assert!(more || page_ends, "{name}: {} stands alone at the end of its passage", heading.text);
        }
    }
}

#[test]
fn guessed_pages_run_in_order() {
    let open = Limits { distribution: DistributionPolicy::Decrypt, ..Limits::default() };
    let (mut with, mut all) = (0, 0);
    for extension in ["hwp", "hwpx"] {
        for (name, document) in read_all("documents", extension, &open) {
            all += 1;
            with += usize::from(!document.pages.is_empty());
            assert!(document.pages.iter().all(|p| p.estimated) || document.format == Format::Txt, "{name}");
            assert!(document.pages.windows(2).all(|w| w[0].page < w[1].page && w[0].offset <= w[1].offset), "{name}");
        }
    }
    eprintln!("{with} of {all} documents tell their pages");
}

#[test]
fn sealed_documents_open_to_korean_text() {
    let open = Limits { distribution: DistributionPolicy::Decrypt, ..Limits::default() };
    let sealed: Vec<_> = read_all("documents", "hwp", &open)
        .into_iter()
        .filter(|(_, d)| d.warnings.iter().any(|w| w.contains("배포용")))
        .collect();
    for (name, document) in &sealed {
        let hangul = document.text.chars().filter(|c| ('가'..='힣').contains(c)).count();
        assert!(hangul * 5 > document.text.chars().count(), "{name}: {hangul} syllables");
        assert!(!document.text.contains("상위 버전의 배포용 문서"), "{name}");
    }
    eprintln!("{} sealed documents opened", sealed.len());
}
