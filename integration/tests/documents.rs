//! The documents name only files that are there.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The root of the project.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What stands between `open` and `close` in a text.
fn between(text: &str, open: &str, close: &str) -> Vec<String> {
    let inside = |part: &str| part.split_once(close).map(|(inside, _)| inside.to_owned());
    text.split(open).skip(1).filter_map(inside).collect()
}

#[test]
fn every_path_that_the_architecture_names_exists() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let prose = text.split("```").step_by(2);
    let words = prose.flat_map(|prose| prose.split('`').skip(1).step_by(2));
    let paths: Vec<_> = words
        .filter(|word| word.contains('/') && !word.starts_with('/'))
        .collect();
    assert!(
        paths.len() >= 10,
        "the architecture names its files: {paths:?}"
    );
    let missing: Vec<_> = paths
        .iter()
        .filter(|path| !root().join(path).exists())
        .collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md names {missing:?}");
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let documents = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "envoy/README.md",
        "docs/operating.md",
    ];
    for name in documents {
        let path = root().join(name);
        let text = fs::read_to_string(&path).unwrap();
        for link in between(&text, "](", ")") {
            let target = link.split('#').next().unwrap_or_default();
            let outside = target.contains("://") || target.is_empty();
            assert!(
                outside || path.with_file_name(target).exists(),
                "{name} links to {link}"
            );
        }
    }
}
