//! The callbacks that Envoy calls.
//!
//! None of them holds a request up: the one on the request path always answers "continue".
#![expect(
    unsafe_code,
    reason = "a callback is found by its name, and to give a function a name is to promise that no other has it"
)]

use std::cell::RefCell;

use syntrace_filter_core::Filter;

use crate::{
    abi::{self, LogLevel, MapType},
    envoy::Envoy,
};

thread_local! {
    /// The worker's filter, once it is configured.
    ///
    /// A VM runs on one thread and no callback runs within another: the cell is never found borrowed.
    static FILTER: RefCell<Option<Filter>> = const { RefCell::new(None) };
}

/// `Action::Continue`.
const CONTINUE: u32 = 0;

unsafe extern "C" {
    /// Runs what the C library and the standard library have to run before anything else.
    safe fn __wasm_call_ctors();
}

#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    __wasm_call_ctors();
}

/// Tells Envoy which version of the ABI this is; never called.
#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

/// A configuration for the plugin of root context `root` has come; 0 refuses it.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(root: u32, size: usize) -> u32 {
    match configure(root, size) {
        Ok(()) => 1,
        Err(message) => {
            abi::log(LogLevel::Error, &message);
            0
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(_root: u32) {
    with_filter(|filter| filter.on_tick(&Envoy));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(stream: u32, _n_headers: u32, _is_end: u32) -> u32 {
    with_filter(|filter| filter.on_request_headers(&Envoy, stream));
    CONTINUE
}

/// The end of a stream, of a TCP session, or, where `context` is a root context, of what an access logger
/// is told of.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_log(context: u32) {
    with_filter(|filter| filter.on_log(&Envoy, context));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_http_call_response(
    _root: u32,
    _token: u32,
    n_headers: u32,
    _body_size: u32,
    _n_trailers: u32,
) {
    let status = match n_headers {
        0 => None,
        _ => abi::header(MapType::CallResponse, ":status"),
    };
    let status = status.and_then(|status| str::from_utf8(&status).ok()?.parse().ok());
    with_filter(|filter| filter.on_call_response(&Envoy, status));
}

/// Configures the worker's filter, or a further plugin of it; the error is one line for Envoy's log.
fn configure(root: u32, size: usize) -> Result<(), String> {
    let text = match size {
        0 => Vec::new(),
        _ => abi::plugin_configuration(size)
            .ok_or("the configuration cannot be read: is proxy_get_buffer_bytes allowed?")?,
    };
    FILTER.with(|cell| {
        let mut cell = cell
            .try_borrow_mut()
            .map_err(|_busy| "configuration came within another callback")?;
        let filter = match &mut *cell {
            Some(filter) => filter,
            none => none.insert(Filter::new(seed()?)),
        };
        let period_ms = filter
            .configure(&Envoy, root, &text)
            .map_err(|error| error.to_string())?;
        if abi::set_tick_period(period_ms) {
            Ok(())
        } else {
            Err("no tick: is proxy_set_tick_period_milliseconds allowed?".to_owned())
        }
    })
}

fn seed() -> Result<[u8; 16], String> {
    let mut seed = [0; 16];
    match getrandom::fill(&mut seed) {
        Ok(()) => Ok(seed),
        Err(error) => Err(format!("no random bytes: is random_get allowed? ({error})")),
    }
}

fn with_filter(act: impl FnOnce(&mut Filter)) {
    FILTER.with(|cell| {
        if let Ok(mut cell) = cell.try_borrow_mut()
            && let Some(filter) = &mut *cell
        {
            act(filter);
        }
    });
}
