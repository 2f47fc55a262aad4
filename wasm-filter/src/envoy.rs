//! The [`Host`] that Envoy is.

use syntrace_filter_core::{Attribute, Expression, HeaderMap, Host, Metric, MetricKind};

use crate::abi::{self, LogLevel, MapType, MetricType};

/// Key of the counter that all VMs of the process share.
const WORKERS_KEY: &str = "syntrace.workers";

/// How often the counter is tried when other workers count at the same time.
const WORKER_ATTEMPTS: usize = 64;

/// How long the bridge may take to answer, milliseconds.
const CALL_TIMEOUT_MS: u32 = 1_500;

/// The Envoy that runs this module.
#[derive(Debug)]
pub(crate) struct Envoy;

// === impl Envoy ===

/// A call that Envoy does not carry out is nothing that a request may suffer from: it is left at that.
impl Host for Envoy {
    fn attribute(&self, attribute: Attribute) -> Option<Vec<u8>> {
        abi::property(attribute.path())
    }

    fn compile(&self, expression: &str) -> Option<Expression> {
        let token = abi::call("expr_create", expression.as_bytes())?;
        Some(Expression(u32::from_le_bytes(token.try_into().ok()?)))
    }

    fn evaluate(&self, expression: Expression) -> Option<Vec<u8>> {
        abi::call("expr_evaluate", &expression.0.to_le_bytes())
    }

    fn headers(&self, map: HeaderMap) -> Option<Vec<u8>> {
        abi::header_pairs(match map {
            HeaderMap::Request => MapType::Request,
            HeaderMap::Response => MapType::Response,
        })
    }

    fn set_request_header(&self, name: &str, value: &[u8]) {
        abi::set_header(MapType::Request, name, value);
    }

    fn remove_request_header(&self, name: &str) {
        abi::remove_header(MapType::Request, name);
    }

    fn clear_route_cache(&self) {
        abi::call("clear_route_cache", &[]);
    }

    fn now_unix_ns(&self) -> Option<u64> {
        abi::now_ns()
    }

    fn next_worker_number(&self) -> u32 {
        for _ in 0..WORKER_ATTEMPTS {
            let (stored, version) = abi::shared_data(WORKERS_KEY).unwrap_or_default();
            let number = stored.try_into().map_or(0, u32::from_le_bytes);
            let next = number.wrapping_add(1).to_le_bytes();
            if abi::set_shared_data(WORKERS_KEY, &next, version) {
                return number;
            }
        }
        0
    }

    fn post_facts(&self, cluster: &str, headers: &[u8], body: &[u8]) -> bool {
        abi::http_call(cluster, headers, body, CALL_TIMEOUT_MS)
    }

    fn warn(&self, message: &str) {
        abi::log(LogLevel::Warn, message);
    }

    fn memory_pages(&self) -> u64 {
        u64::try_from(core::arch::wasm32::memory_size::<0>()).unwrap_or(u64::MAX)
    }

    fn define_metric(&self, kind: MetricKind, name: &str) -> Option<Metric> {
        let kind = match kind {
            MetricKind::Counter => MetricType::Counter,
            MetricKind::Gauge => MetricType::Gauge,
        };
        abi::define_metric(kind, name).map(Metric)
    }

    fn add(&self, metric: Metric, by: i64) {
        abi::increment_metric(metric.0, by);
    }
}
