//! The shipped Envoy configurations, as Envoy itself reads them, and the module that they load.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use syntrace_integration::paths;

/// Where a configuration is written for Envoy to read; vanishes with the test.
struct Bench(PathBuf);

#[cfg(test)]
impl Bench {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("syn-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }

    /// Lets Envoy load a shipped configuration, with `filter` as the settings of the filter.
    fn validate(&self, file: &str, filter: &str) -> Output {
        let (certificate, key) = (self.0.join("cert.pem"), self.0.join("key.pem"));
        if !certificate.exists() {
            make_certificate(&certificate, &key);
        }
        let module = paths::filter().unwrap();
        let mut text = fs::read_to_string(paths::root().join("envoy").join(file)).unwrap();
        for (name, value) in [
            ("NODE_ID", "gateway-1"),
            ("LISTEN", "127.0.0.1"),
            ("LISTEN_PORT", "10000"),
            ("TLS_PORT", "10443"),
            ("TCP_PORT", "10444"),
            ("WATCHED_PORT", "10080"),
            ("ADMIN_PORT", "9901"),
            ("HTTP_ADDRESS", "127.0.0.1"),
            ("HTTP_PORT", "8080"),
            ("GRPC_ADDRESS", "127.0.0.1"),
            ("GRPC_PORT", "50051"),
            ("TLS_ADDRESS", "127.0.0.1"),
            ("OTLP_ADDRESS", "127.0.0.1"),
            ("OTLP_PORT", "4317"),
            ("DEAD_PORT", "9"),
            ("BRIDGE_SOCKET", "/run/syntrace/bridge.sock"),
            ("FILTER_CONFIG", filter),
            ("MODULE", module.to_str().unwrap()),
            ("CERTIFICATE", certificate.to_str().unwrap()),
            ("PRIVATE_KEY", key.to_str().unwrap()),
        ] {
            text = text.replace(&format!("${{{name}}}"), value);
        }
        let configuration = self.0.join(file);
        fs::write(&configuration, text).unwrap();
        Command::new(paths::envoy().unwrap())
            .args(["--mode", "validate", "--log-level", "warning", "-c"])
            .arg(configuration)
            .output()
            .unwrap()
    }
}

#[expect(
    clippy::print_stderr,
    reason = "whoever runs the tests has to know what is left behind"
)]
impl Drop for Bench {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{} stays behind: {error}", self.0.display());
        }
    }
}

#[test]
fn envoy_loads_every_shipped_bootstrap() {
    let bench = Bench::new("loads");
    for file in ["gateway.yaml", "edge.yaml"] {
        let output = bench.validate(file, "{}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{file}: {said}");
        assert!(!said.contains("[error]"), "{file}: {said}");
    }
}

#[test]
fn envoy_refuses_wrong_settings_and_says_key_value_and_expectation() {
    let bench = Bench::new("refuses");
    for (settings, line) in [
        (
            r#"{"bridge_clutser": "b"}"#,
            "unknown key `bridge_clutser`, expected one of baggage, bridge_cluster,",
        ),
        (
            r#"{"flush_interval_ms": 1}"#,
            "`flush_interval_ms` is 1, expected a whole number from 10 to 60000",
        ),
        (
            r#"{"mode": "observe", "write": ["w3c"]}"#,
            r#"`write` is ["w3c"], expected none where `mode` is "observe": nothing is written"#,
        ),
    ] {
        let output = bench.validate("gateway.yaml", settings);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{settings}");
        assert!(said.contains(line), "{settings}: {said}");
    }
}

#[test]
fn the_allowed_capabilities_are_exactly_what_the_module_calls_and_has_called() {
    let module = fs::read(paths::filter().unwrap()).unwrap();
    let mut used = names(&module);
    // What every module has: its memory, its beginning, and the version of the ABI.
    for name in ["memory", "_initialize", "proxy_abi_version_0_2_1"] {
        assert!(used.remove(name), "{name} is missing from {used:?}");
    }
    for file in ["gateway.yaml", "edge.yaml"] {
        let text = fs::read_to_string(paths::root().join("envoy").join(file)).unwrap();
        for list in text.split("allowed_capabilities:\n").skip(1) {
            let allowed: BTreeSet<String> = list
                .lines()
                .map_while(|line| line.trim().strip_suffix(": {}"))
                .map(str::to_owned)
                .collect();
            assert_eq!(allowed, used, "{file}");
        }
        assert!(text.contains("allowed_capabilities:\n"), "{file}");
    }
}

#[cfg(test)]
/// Returns the names of everything that a wasm module imports and exports.
fn names(module: &[u8]) -> BTreeSet<String> {
    let mut reader = Reader(module.get(8..).unwrap());
    let mut names = BTreeSet::new();
    while let Some(section) = reader.byte() {
        let len = reader.number();
        let mut content = Reader(reader.take(len));
        match section {
            2 => {
                for _ in 0..content.number() {
                    content.text();
                    names.insert(content.text());
                    assert_eq!(content.byte(), Some(0), "only functions are imported");
                    content.number();
                }
            }
            7 => {
                for _ in 0..content.number() {
                    names.insert(content.text());
                    content.byte();
                    content.number();
                }
            }
            _ => {}
        }
    }
    names
}

/// Reads the binary format of WebAssembly, as far as names need it.
struct Reader<'a>(&'a [u8]);

#[cfg(test)]
impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    /// Reads an unsigned LEB128 number.
    fn number(&mut self) -> usize {
        let mut number = 0;
        for shift in (0..).step_by(7) {
            let byte = self.byte().unwrap();
            number |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        number
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        taken
    }

    fn text(&mut self) -> String {
        let len = self.number();
        String::from_utf8(self.take(len).to_vec()).unwrap()
    }
}

#[cfg(test)]
fn make_certificate(certificate: &Path, key: &Path) {
    let output = Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        ])
        .args(["-subj", "/CN=example.test", "-keyout"])
        .arg(key)
        .arg("-out")
        .arg(certificate)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}
