//! The wasm module that Envoy loads: glue between the proxy-wasm ABI and [`syntrace_filter_core`].
//!
//! Nothing is decided here. Every callback on the request path ends in [`Action::Continue`].
#![forbid(unsafe_code)]
#![expect(
    missing_docs,
    reason = "the only public item is the entry point that the SDK's macro makes"
)]

mod host;
mod root;
mod stream;

use proxy_wasm::types::LogLevel;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Warn);
    proxy_wasm::set_root_context(|_| Box::new(root::Root::default()));
}}
