//! A filter that traps when it is told to: what `make test` shows the consequences of a trap with.
//!
//! Its configuration names the callback of the root context that traps: `configure`, `tick` or `answer` (of an
//! HTTP call); a request's header `x-trap` names that of a stream: `headers` or `log`. Never part of the shipped
//! module.
#![forbid(unsafe_code)]
#![expect(
    missing_docs,
    reason = "the SDK's macro exports an undocumented function"
)]

use std::{process, time::Duration};

use proxy_wasm::{
    hostcalls,
    traits::{Context, HttpContext, RootContext},
    types::{Action, ContextType, LogLevel, MapType},
};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Warn);
    proxy_wasm::set_root_context(|_| Box::new(Trap::default()));
}}

/// One context; a stream's has no configuration.
#[derive(Default)]
struct Trap {
    callback: Vec<u8>,
}

impl Trap {
    fn trap_in(&self, callback: &[u8]) {
        if self.callback == callback {
            process::abort();
        }
    }
}

impl Context for Trap {
    fn on_http_call_response(&mut self, _: u32, _: usize, _: usize, _: usize) {
        self.trap_in(b"answer");
    }
}

impl RootContext for Trap {
    fn on_configure(&mut self, _: usize) -> bool {
        self.callback = self.get_plugin_configuration().unwrap_or_default();
        self.trap_in(b"configure");
        self.set_tick_period(Duration::from_millis(50));
        true
    }

    fn on_tick(&mut self) {
        self.trap_in(b"tick");
        if self.callback == b"answer" {
            let headers = vec![(":method", "GET"), (":path", "/"), (":authority", "a")];
            let timeout = Duration::from_secs(1);
            let call = self.dispatch_http_call("service", headers, None, vec![], timeout);
            // One that is not even tried has no answer to trap in.
            debug_assert!(call.is_ok());
        }
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Self::default()))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl HttpContext for Trap {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        self.callback = wanted();
        self.trap_in(b"headers");
        Action::Continue
    }

    fn on_log(&mut self) {
        self.trap_in(b"log");
    }
}

/// Returns what the request at hand asks for.
fn wanted() -> Vec<u8> {
    let value = hostcalls::get_map_value_bytes(MapType::HttpRequestHeaders, "x-trap");
    value.ok().flatten().unwrap_or_default()
}
