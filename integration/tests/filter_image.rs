//! The module as an OCI image layout: whole, readable by the image specification, and the same each time.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use syntrace_integration::paths;

/// Where images are written; vanishes with the test.
struct Place(PathBuf);

#[test]
fn the_image_holds_the_module_and_every_digest_in_it_is_true() {
    let module = paths::filter().unwrap();
    let place = Place::new().unwrap();
    let (one, other) = (place.0.join("one"), place.0.join("other"));
    let digest = write_image(&module, &one).unwrap();
    assert_eq!(write_image(&module, &other).unwrap(), digest);

    let index: Value = read_json(&one.join("index.json")).unwrap();
    assert_eq!(index["manifests"][0]["digest"], digest.as_str());
    let manifest = serde_json::from_slice(&blob(&one, &index["manifests"][0]).unwrap());
    let manifest: Value = manifest.unwrap();
    assert_eq!(
        manifest["annotations"]["module.wasm.image/variant"],
        "compat"
    );
    let config: Value = serde_json::from_slice(&blob(&one, &manifest["config"]).unwrap()).unwrap();
    blob(&one, &manifest["layers"][0]).unwrap();

    let layer = path_of(&one, &manifest["layers"][0]).unwrap();
    let tar = place.0.join("layer.tar");
    fs::write(&tar, output("gzip", &["-dc", &layer]).unwrap()).unwrap();
    let tar = tar.display().to_string();
    assert_eq!(
        config["rootfs"]["diff_ids"][0],
        format!("sha256:{}", sha256(&tar).unwrap())
    );
    assert_eq!(output("tar", &["-tf", &tar]).unwrap(), b"plugin.wasm\n");
    let plugin = output("tar", &["-xOf", &tar, "plugin.wasm"]).unwrap();
    assert!(plugin == fs::read(&module).unwrap());
    let version: Value = read_json(&one.join("oci-layout")).unwrap();
    assert_eq!(version["imageLayoutVersion"], "1.0.0");
}

// === impl Place ===

impl Place {
    fn new() -> anyhow::Result<Self> {
        let directory = std::env::temp_dir().join(format!("syn-image-{}", std::process::id()));
        fs::create_dir_all(&directory)?;
        Ok(Self(directory))
    }
}

#[expect(
    clippy::print_stderr,
    reason = "whoever runs the tests has to know what is left behind"
)]
impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{} stays behind: {error}", self.0.display());
        }
    }
}

/// Runs the script; returns the digest that it prints.
fn write_image(module: &Path, out: &Path) -> anyhow::Result<String> {
    let script = paths::root().join("scripts/wasm-image");
    let [script, module, out] = [&script, module, out].map(|path| path.display().to_string());
    let printed = String::from_utf8(output(&script, &[&module, &out])?)?;
    Ok(printed.trim().to_owned())
}

/// Returns what a descriptor points to, if it is as long and has the digest that it says.
fn blob(image: &Path, descriptor: &Value) -> anyhow::Result<Vec<u8>> {
    let path = path_of(image, descriptor)?;
    let bytes = fs::read(&path)?;
    let digest = format!("sha256:{}", sha256(&path)?);
    ensure!(descriptor["digest"] == digest.as_str(), "{descriptor}");
    ensure!(descriptor["size"] == bytes.len(), "{descriptor}");
    Ok(bytes)
}

fn path_of(image: &Path, descriptor: &Value) -> anyhow::Result<String> {
    let digest = descriptor["digest"].as_str().context("no digest")?;
    let digest = digest.strip_prefix("sha256:").context("another digest")?;
    let path = image.join("blobs/sha256").join(digest);
    Ok(path.display().to_string())
}

fn sha256(path: &str) -> anyhow::Result<String> {
    let printed = String::from_utf8(output("sha256sum", &[path])?)?;
    let digest = printed.split(' ').next();
    Ok(digest.context("sha256sum prints nothing")?.to_owned())
}

fn read_json(path: &Path) -> anyhow::Result<Value> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

fn output(program: &str, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
    let output = Command::new(program).args(arguments).output()?;
    ensure!(output.status.success(), "{program}: {output:?}");
    Ok(output.stdout)
}
