//! The manifest that is kept beside the source: what the programs take has not grown unseen.

use std::fs;

use serde_json::Value;

use crate::{probe::Start, turn};

#[test]
fn the_kept_manifest_names_every_program_and_map_that_is_loaded() {
    let Some(_turn) = turn() else { return };
    let printed = Start::of(&["manifest"]).output();
    assert!(printed.status.success());
    let loaded: Value = serde_json::from_slice(&printed.stdout).unwrap();
    let kept = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/manifest.json")).unwrap();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    for kind in ["programs", "maps"] {
        let names = |manifest: &Value| {
            let entries = manifest[kind].as_object().unwrap();
            entries.keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(names(&loaded), names(&kept), "{kind}");
    }
    for program in loaded["programs"].as_object().unwrap().values() {
        assert!(program["instructions"].as_u64().unwrap() > 0);
        assert_ne!(program["hook"], "unknown");
    }
}

#[test]
fn a_figure_that_grew_is_an_error_in_one_line() {
    let Some(_turn) = turn() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("manifest.json");
    fs::write(
        &file,
        r#"{"programs":{"connections":{"instructions":1}},"maps":{}}"#,
    )
    .unwrap();
    let output = Start::of(&["manifest", "--compare", file.to_str().unwrap()]).output();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("instructions, 1 before"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}
