//! The [`Host`] that Envoy is, by the calls of the SDK that do not panic on unusual input: bytes
//! instead of text, `hostcalls` instead of the traits' default methods.

use std::time::Duration;

use proxy_wasm::{
    hostcalls,
    types::{LogLevel, MapType},
};
use syntrace_filter_core::{Attribute, Host};

/// Key of the counter that all VMs of the process share.
const WORKERS_KEY: &str = "syntrace.workers";

/// How often the counter is tried when other workers count at the same time.
const WORKER_ATTEMPTS: usize = 64;

/// How long the bridge may take to answer.
const CALL_TIMEOUT: Duration = Duration::from_millis(1_500);

/// The Envoy that runs this module.
#[derive(Debug)]
pub(crate) struct Envoy;

// === impl Envoy ===

impl Host for Envoy {
    fn attribute(&self, attribute: Attribute) -> Option<Vec<u8>> {
        hostcalls::get_property(attribute.path().to_vec())
            .ok()
            .flatten()
    }

    fn request_headers(&self) -> Vec<(String, Vec<u8>)> {
        hostcalls::get_map_bytes(MapType::HttpRequestHeaders).unwrap_or_default()
    }

    // A header that Envoy does not let us write is nothing that a request may suffer from.
    fn set_request_header(&self, name: &str, value: &str) {
        hostcalls::set_map_value(MapType::HttpRequestHeaders, name, Some(value))
            .unwrap_or_default();
    }

    fn remove_request_header(&self, name: &str) {
        hostcalls::remove_map_value(MapType::HttpRequestHeaders, name).unwrap_or_default();
    }

    fn next_worker_number(&self) -> u32 {
        for _ in 0..WORKER_ATTEMPTS {
            let Ok((stored, version)) = hostcalls::get_shared_data(WORKERS_KEY) else {
                break;
            };
            let number = stored
                .and_then(|bytes| bytes.try_into().ok())
                .map_or(0, u32::from_le_bytes);
            let next = number.wrapping_add(1).to_le_bytes();
            if hostcalls::set_shared_data(WORKERS_KEY, Some(&next), version).is_ok() {
                return number;
            }
        }
        0
    }

    fn post_facts(&self, cluster: &str, body: &[u8]) -> bool {
        let headers = vec![
            (":method", "POST"),
            (":path", "/v1/facts"),
            (":authority", "syntrace-bridge"),
            ("content-type", "application/x-protobuf"),
        ];
        hostcalls::dispatch_http_call(cluster, headers, Some(body), vec![], CALL_TIMEOUT).is_ok()
    }
}

/// Writes one line to Envoy's log, if it can be written.
pub(crate) fn log(level: LogLevel, message: &str) {
    hostcalls::log(level, message).unwrap_or_default();
}
