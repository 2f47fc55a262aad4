//! The committed code is what the `.proto` file generates; `UPDATE=1` rewrites it.

use std::{env, fs, path::Path};

#[test]
fn the_committed_code_is_what_the_proto_file_generates() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = tempfile::tempdir().unwrap();
    let descriptors =
        protox::compile([root.join("proto/syntrace.proto")], [root.join("proto")]).unwrap();
    prost_build::Config::new()
        .btree_map(["."])
        .out_dir(out.path())
        .compile_fds(descriptors)
        .unwrap();
    let generated = fs::read_to_string(out.path().join("syntrace.v1.rs")).unwrap();
    let committed = root.join("src/gen/syntrace.v1.rs");
    if env::var_os("UPDATE").is_some() {
        fs::write(&committed, &generated).unwrap();
    }
    assert_eq!(
        fs::read_to_string(committed).unwrap(),
        generated,
        "run the test with UPDATE=1"
    );
}
