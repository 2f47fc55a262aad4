//! The documents about the settings are those that the program describes itself.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{env, fs, path::PathBuf};

use syntrace_bridge::config;

#[test]
fn the_page_of_the_settings_is_up_to_date() {
    assert_document("configuration.md", &config::markdown());
}

#[test]
fn the_schema_of_the_settings_file_is_up_to_date() {
    assert_document("configuration.schema.json", &config::schema());
}

/// Compares with the committed file; `UPDATE=1` rewrites it.
fn assert_document(name: &str, text: &str) {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../docs", name]
        .iter()
        .collect();
    if env::var_os("UPDATE").is_some() {
        fs::write(&path, text).unwrap();
    }
    let committed = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(text, committed, "run the test with UPDATE=1");
}
