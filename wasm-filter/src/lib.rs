//! The wasm module that Envoy loads: glue between the proxy-wasm ABI and [`syntrace_filter_core`].
//!
//! Nothing is decided here. What is not exported here is a callback that Envoy never enters the VM for:
//! one request costs two entries, `proxy_on_request_headers` and `proxy_on_log`.
#![deny(unsafe_code)]

mod abi;
mod envoy;
mod exports;
