//! Flags, variables and the file, and which of them takes precedence.

use super::*;

#[test]
fn an_address_that_other_hosts_reach_needs_a_token_or_certificates() {
    assert_eq!(
        refused(&["--listen", "0.0.0.0:4390"]),
        "error: --listen 0.0.0.0:4390 needs --listen-token-file, or tls: and --tls-client-ca: \
         other hosts may reach it"
    );
    let certificate = ["--tls-certificate", "/c", "--tls-key", "/k"];
    let encrypted = [&["--listen", "tls:0.0.0.0:4390"], &certificate[..]].concat();
    assert!(refused(&encrypted).contains("--tls-client-ca"));
    taken(&[&encrypted[..], &["--tls-client-ca", "/a"]].concat());
    taken(&["--listen", "0.0.0.0:4390", "--listen-token-file", "/t"]);
}

#[test]
fn facts_over_tcp_need_a_token_or_certificates_on_loopback_too() {
    let line = refused(&["--facts", "tcp:127.0.0.1:4391"]);
    assert!(line.contains("needs --facts-token-file"), "{line}");
    taken(&["--facts", "tcp:127.0.0.1:4391", "--facts-token-file", "/t"]);
}

#[test]
fn tls_needs_a_certificate_and_a_certificate_its_key() {
    let line = refused(&["--listen", "tls:127.0.0.1:4390"]);
    assert!(line.contains("--tls-certificate"), "{line}");
    let line = refused(&["--tls-certificate", "/c"]);
    assert!(line.contains("--tls-key"), "{line}");
}

#[test]
fn each_wrong_value_is_one_line_with_its_key() {
    let wrong = [
        ["--facts", "/run/bridge.sock"],
        ["--facts", "unix:bridge.sock"],
        ["--facts", "tcp:bridge"],
        ["--facts-mode", "888"],
        ["--listen", "localhost"],
        ["--listen-rate", "0"],
        ["--grace-ms", "0"],
        ["--settled-records", "many"],
        ["--otlp-endpoint", "collector:4318"],
    ];
    for [key, value] in wrong {
        let line = refused(&[key, value]);
        assert!(
            line.contains(key) && line.contains(value) && !line.contains('\n'),
            "{line}"
        );
    }
}

#[test]
fn a_secret_is_shown_neither_in_errors_nor_among_the_settings_in_force() {
    let line = refused(&["--otlp-headers", "hush"]);
    assert!(
        line.contains("--otlp-headers") && !line.contains("hush"),
        "{line}"
    );
    let printed = parse(&["--otlp-headers", "key=hush", "--print-config"]);
    assert!(matches!(printed, Err(Usage::Asked(text)) if !text.contains("hush")));
    let config = taken(&["--otlp-headers", "key=hush"]);
    assert!(!format!("{config:?}").contains("hush"));
}

#[test]
fn a_part_of_the_log_is_not_larger_than_the_log() {
    let line = refused(&["--log-mib", "100", "--log-spare-mib", "101"]);
    assert!(line.contains("--log-spare-mib"), "{line}");
    taken(&["--log-mib", "100", "--log-spare-mib", "100"]);
    let spare = |arguments| taken(arguments).pipeline().log.bounds.spare_bytes >> 20;
    assert_eq!((spare(&["--log-mib", "100"]), spare(&[])), (100, 256));
}

#[test]
fn help_is_no_error() {
    let asked = parse(&["--help"]);
    assert!(matches!(asked, Err(Usage::Asked(text)) if text.contains("SYNTRACE_LISTEN")));
}

#[test]
fn a_flag_goes_before_the_file_and_the_file_before_the_default() {
    let file = file("grace-ms = 7\nlisten = \"127.0.0.1:1\"\nfacts = [\"unix:/a\", \"unix:/b\"]\n");
    let path = file.path().to_str().unwrap();
    let config = taken(&["--config", path, "--listen", "127.0.0.1:2"]);
    assert_eq!(config.grace_ms, 7);
    assert_eq!(config.listen.0.address.port(), 2);
    assert_eq!(config.facts.len(), 2);
    assert_eq!(config.settled_records, 100_000);
}

#[test]
fn what_is_wrong_in_the_file_is_one_line_that_names_it() {
    let wrong = [
        ("grace = 7", "unknown setting 'grace'"),
        ("print-config = \"yes\"", "unknown setting 'print-config'"),
        ("grace-ms = 0", "--grace-ms"),
        ("grace-ms = 0.5", "invalid value for 'grace-ms'"),
        ("grace-ms 7", "expected"),
    ];
    for (text, expected) in wrong {
        let file = file(text);
        let path = file.path().to_str().unwrap();
        let line = refused(&["--config", path]);
        assert!(
            line.contains(expected) && line.contains(path) && !line.contains('\n'),
            "{line}"
        );
    }
    assert!(refused(&["--config", "/nowhere"]).contains("/nowhere"));
}

#[test]
fn the_printed_settings_bring_themselves_about() {
    let line = ["--grace-ms", "9", "--facts-uids", "0,5", "--print-config"];
    let Err(Usage::Asked(printed)) = parse(&line) else {
        panic!("nothing was printed");
    };
    let file = file(&printed);
    let again = ["--config", file.path().to_str().unwrap(), "--print-config"];
    assert_eq!(parse(&again).unwrap_err(), Usage::Asked(printed));
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn taken(arguments: &[&str]) -> Config {
    parse(arguments).unwrap()
}

fn refused(arguments: &[&str]) -> String {
    match parse(arguments) {
        Err(Usage::Wrong(line)) => line,
        Err(Usage::Asked(_)) | Ok(_) => panic!("the command line was taken"),
    }
}

fn parse(arguments: &[&str]) -> Result<Config, Usage> {
    let line = std::iter::once(&"syntrace-bridge").chain(arguments);
    Config::parse_line(line.map(Into::into))
}
