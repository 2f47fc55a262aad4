//! Fuzz target: any bytes are a configuration, or refused by one line that can be read.

use syntrace_filter_core::Config;

/// Reads `input` as the filter's settings.
pub(crate) fn run(input: &[u8]) {
    if let Err(error) = Config::parse(input) {
        let line = error.to_string();
        assert!(
            !line.is_empty() && line.len() < 2_048 && !line.contains('\n'),
            "{line}"
        );
    }
}
