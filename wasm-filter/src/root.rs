//! The root context: one for each worker. Configures the filter and drives its sending.

use std::{cell::RefCell, rc::Rc, time::Duration};

use proxy_wasm::{
    hostcalls,
    traits::{Context, HttpContext, RootContext},
    types::{BufferType, ContextType, LogLevel, MapType},
};
use syntrace_filter_core::{Config, Filter};

use crate::{
    host::{Envoy, log},
    stream::HttpStream,
};

/// The worker's filter, shared with its streams; `None` until it is configured.
///
/// A VM runs on one thread and no callback runs within another: the cell is never found borrowed.
pub(crate) type Shared = Rc<RefCell<Option<Filter>>>;

/// The root context.
#[derive(Debug, Default)]
pub(crate) struct Root(Shared);

// === impl Root ===

impl Root {
    /// Builds the filter; the error is one line for Envoy's log.
    fn configure(&self, size: usize) -> Result<(), String> {
        let text = match size {
            0 => None,
            _ => hostcalls::get_buffer(BufferType::PluginConfiguration, 0, size)
                .map_err(|status| format!("configuration cannot be read: {status:?}"))?,
        };
        let config = Config::parse(&text.unwrap_or_default()).map_err(|error| error.to_string())?;
        let mut seed = [0; 16];
        getrandom::fill(&mut seed)
            .map_err(|error| format!("Envoy gave no random bytes: {error}"))?;
        hostcalls::set_tick_period(Duration::from_millis(config.flush_interval_ms))
            .map_err(|status| format!("Envoy refused the tick: {status:?}"))?;
        self.0.replace(Some(Filter::new(config, seed)));
        Ok(())
    }

    fn with_filter(&self, act: impl FnOnce(&mut Filter)) {
        if let Ok(mut filter) = self.0.try_borrow_mut()
            && let Some(filter) = filter.as_mut()
        {
            act(filter);
        }
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, _: u32, n_headers: usize, _: usize, _: usize) {
        let status = match n_headers {
            0 => None,
            _ => hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, ":status")
                .ok()
                .flatten(),
        };
        let status = status.and_then(|status| str::from_utf8(&status).ok()?.parse().ok());
        self.with_filter(|filter| filter.on_call_response(&Envoy, status));
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        match self.configure(size) {
            Ok(()) => true,
            Err(message) => {
                log(LogLevel::Error, &message);
                false
            }
        }
    }

    fn on_tick(&mut self) {
        self.with_filter(|filter| filter.on_tick(&Envoy));
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(HttpStream::new(Rc::clone(&self.0))))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
