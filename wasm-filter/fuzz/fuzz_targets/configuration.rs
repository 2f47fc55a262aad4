//! libFuzzer's entry into the target of the same name.
#![no_main]

#[path = "../../core/tests/fuzz/configuration.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|input: &[u8]| target::run(input));
