//! One HTTP stream: its headers on the way in, its report at the end.

use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};
use syntrace_filter_core::Stream;

use crate::{host::Envoy, root::Shared};

/// The context of one HTTP stream.
#[derive(Debug)]
pub(crate) struct HttpStream {
    filter: Shared,
    stream: Option<Stream>,
}

// === impl HttpStream ===

impl HttpStream {
    pub(crate) const fn new(filter: Shared) -> Self {
        Self {
            filter,
            stream: None,
        }
    }
}

impl Context for HttpStream {}

impl HttpContext for HttpStream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        if let Ok(mut filter) = self.filter.try_borrow_mut()
            && let Some(filter) = filter.as_mut()
        {
            self.stream = Some(filter.on_request_headers(&Envoy));
        }
        Action::Continue
    }

    fn on_log(&mut self) {
        if let Ok(mut filter) = self.filter.try_borrow_mut()
            && let Some(filter) = filter.as_mut()
        {
            filter.on_log(&Envoy, self.stream.take());
        }
    }
}
