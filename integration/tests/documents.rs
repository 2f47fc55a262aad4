//! The documents name only files and headings that are there.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The root of the project.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every document of the project: not what is built, and not what tools keep.
fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                folders.push(path);
            } else if path.extension().is_some_and(|is| is == "md") {
                found.push(path);
            }
        }
    }
    found
}

/// A document without its blocks of code.
fn prose(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.split("```").step_by(2).collect()
}

/// What links lead to: `[text](target)`.
fn targets(prose: &str) -> impl Iterator<Item = &str> {
    let links = prose.split("](").skip(1);
    links.filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
}

/// The names by which a document's headings are linked to: lower case, dashes for blanks, no other punctuation.
fn anchors(path: &Path) -> Vec<String> {
    let text = prose(path);
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_of_every_document_leads_to_a_file_and_heading_that_is_there() {
    let (mut inside, mut broken) = (0, Vec::new());
    for document in documents() {
        let text = prose(&document);
        for link in targets(&text).filter(|target| !target.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => document.clone(),
                file => document.with_file_name(file),
            };
            let is_there = target.exists()
                && (anchor.is_empty() || anchors(&target).iter().any(|known| known == anchor));
            inside += 1;
            if !is_there {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
    assert!(inside >= 50, "only {inside} links were found");
}

#[test]
fn every_path_that_the_architecture_names_is_there() {
    let text = prose(&root().join("ARCHITECTURE.md"));
    let words = text.split('`').skip(1).step_by(2);
    let paths: Vec<_> = words
        .filter(|word| word.contains('/') && !word.starts_with('/'))
        .collect();
    assert!(paths.len() >= 10, "{paths:?}");
    let missing: Vec<_> = paths
        .iter()
        .filter(|path| !root().join(path).exists())
        .collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md names {missing:?}");
}
