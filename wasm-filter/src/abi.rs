//! The host calls of the proxy-wasm ABI 0.2.1 that the filter uses, made safe: each takes slices and
//! returns owned bytes.
//!
//! Declared here rather than taken from an SDK: one that has a context object for each stream needs two
//! more entries into the VM for every request, and its calls panic on statuses that they do not expect.
//! Here every status but "ok" is `None`, or `false`.
#![expect(
    unsafe_code,
    reason = "the ABI's calls are foreign functions that take pointers; nothing else is in this file"
)]

use std::ptr;

/// The status of a call that did what it was asked.
const OK: u32 = 0;

/// `BufferType::PluginConfiguration`.
const PLUGIN_CONFIGURATION: u32 = 7;

/// Which headers a call means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum MapType {
    Request = 0,
    Response = 2,
    CallResponse = 6,
}

/// How loud a line of Envoy's log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum LogLevel {
    Warn = 3,
    Error = 4,
}

/// What a metric does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum MetricType {
    Counter = 0,
    Gauge = 1,
}

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, message: *const u8, size: usize) -> u32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        size: usize,
        data: *mut *mut u8,
        len: *mut usize,
    ) -> u32;
    fn proxy_get_property(path: *const u8, size: usize, data: *mut *mut u8, len: *mut usize)
    -> u32;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, len: *mut usize) -> u32;
    fn proxy_get_header_map_value(
        map: u32,
        name: *const u8,
        size: usize,
        data: *mut *mut u8,
        len: *mut usize,
    ) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_remove_header_map_value(map: u32, name: *const u8, size: usize) -> u32;
    fn proxy_call_foreign_function(
        name: *const u8,
        name_size: usize,
        arguments: *const u8,
        arguments_size: usize,
        data: *mut *mut u8,
        len: *mut usize,
    ) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        size: usize,
        data: *mut *mut u8,
        len: *mut usize,
        version: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
        version: u32,
    ) -> u32;
    fn proxy_http_call(
        cluster: *const u8,
        cluster_size: usize,
        headers: *const u8,
        headers_size: usize,
        body: *const u8,
        body_size: usize,
        trailers: *const u8,
        trailers_size: usize,
        timeout_ms: u32,
        token: *mut u32,
    ) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, size: usize, id: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, by: i64) -> u32;
}

/// Writes one line to Envoy's log, if it can be written.
pub(crate) fn log(level: LogLevel, message: &str) {
    // SAFETY: pointer and length are those of one live slice, which the host only reads.
    unsafe { proxy_log(level as u32, message.as_ptr(), message.len()) };
}

/// Returns the wall clock, nanoseconds since 1970.
pub(crate) fn now_ns() -> Option<u64> {
    let mut time = 0;
    // SAFETY: the host writes 8 bytes to a live, aligned local.
    let status = unsafe { proxy_get_current_time_nanoseconds(&raw mut time) };
    (status == OK).then_some(time)
}

/// Asks for a tick every `period_ms` from now on.
pub(crate) fn set_tick_period(period_ms: u32) -> bool {
    // SAFETY: no pointer is passed.
    unsafe { proxy_set_tick_period_milliseconds(period_ms) == OK }
}

/// Reads the first `size` bytes of the plugin's configuration.
pub(crate) fn plugin_configuration(size: usize) -> Option<Vec<u8>> {
    received(|data, len| {
        // SAFETY: `data` and `len` are live and aligned: `received` passes its own locals.
        unsafe { proxy_get_buffer_bytes(PLUGIN_CONFIGURATION, 0, size, data, len) }
    })
}

/// Reads a property; the levels of `path` are divided by zero bytes.
pub(crate) fn property(path: &str) -> Option<Vec<u8>> {
    received(|data, len| {
        // SAFETY: the host reads one live slice; `data` and `len` are `received`'s own locals.
        unsafe { proxy_get_property(path.as_ptr(), path.len(), data, len) }
    })
}

/// Reads all lines of a header map, in the ABI's form of a list of pairs.
pub(crate) fn header_pairs(map: MapType) -> Option<Vec<u8>> {
    received(|data, len| {
        // SAFETY: `data` and `len` are live and aligned: `received` passes its own locals.
        unsafe { proxy_get_header_map_pairs(map as u32, data, len) }
    })
}

/// Reads the first line of a header.
pub(crate) fn header(map: MapType, name: &str) -> Option<Vec<u8>> {
    received(|data, len| {
        // SAFETY: the host reads one live slice; `data` and `len` are `received`'s own locals.
        unsafe { proxy_get_header_map_value(map as u32, name.as_ptr(), name.len(), data, len) }
    })
}

/// Replaces a header by one line.
pub(crate) fn set_header(map: MapType, name: &str, value: &[u8]) -> bool {
    // SAFETY: both pointers come with the lengths of their live slices, which the host only reads.
    let status = unsafe {
        proxy_replace_header_map_value(
            map as u32,
            name.as_ptr(),
            name.len(),
            value.as_ptr(),
            value.len(),
        )
    };
    status == OK
}

/// Removes every line of a header.
pub(crate) fn remove_header(map: MapType, name: &str) -> bool {
    // SAFETY: pointer and length are those of one live slice, which the host only reads.
    unsafe { proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) == OK }
}

/// Calls one of Envoy's own functions.
pub(crate) fn call(function: &str, arguments: &[u8]) -> Option<Vec<u8>> {
    received(|data, len| {
        // SAFETY: the host reads two live slices; `data` and `len` are `received`'s own locals.
        unsafe {
            proxy_call_foreign_function(
                function.as_ptr(),
                function.len(),
                arguments.as_ptr(),
                arguments.len(),
                data,
                len,
            )
        }
    })
}

/// Reads what the VMs of one id share, and its version; `None` if there is nothing yet.
pub(crate) fn shared_data(key: &str) -> Option<(Vec<u8>, u32)> {
    let mut version = 0;
    let value = received(|data, len| {
        // SAFETY: the host reads one live slice and writes to live, aligned locals.
        unsafe { proxy_get_shared_data(key.as_ptr(), key.len(), data, len, &raw mut version) }
    })?;
    Some((value, version))
}

/// Replaces what the VMs of one id share; `version` 0 means whatever is there, another one only that.
pub(crate) fn set_shared_data(key: &str, value: &[u8], version: u32) -> bool {
    // SAFETY: both pointers come with the lengths of their live slices, which the host only reads.
    let status = unsafe {
        proxy_set_shared_data(
            key.as_ptr(),
            key.len(),
            value.as_ptr(),
            value.len(),
            version,
        )
    };
    status == OK
}

/// Starts an HTTP call; `headers` in the ABI's form of a list of pairs.
pub(crate) fn http_call(cluster: &str, headers: &[u8], body: &[u8], timeout_ms: u32) -> bool {
    let mut token = 0;
    // SAFETY: every pointer comes with the length of its live slice, which the host only reads; no
    // trailers are none of length 0; `token` is a live, aligned local.
    let status = unsafe {
        proxy_http_call(
            cluster.as_ptr(),
            cluster.len(),
            headers.as_ptr(),
            headers.len(),
            body.as_ptr(),
            body.len(),
            ptr::null(),
            0,
            timeout_ms,
            &raw mut token,
        )
    };
    status == OK
}

/// Names a metric and returns its number.
pub(crate) fn define_metric(kind: MetricType, name: &str) -> Option<u32> {
    let mut id = 0;
    // SAFETY: the host reads one live slice and writes 4 bytes to a live, aligned local.
    let status =
        unsafe { proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &raw mut id) };
    (status == OK).then_some(id)
}

/// Adds to a metric.
pub(crate) fn increment_metric(id: u32, by: i64) -> bool {
    // SAFETY: no pointer is passed.
    unsafe { proxy_increment_metric(id, by) == OK }
}

/// Gives the host memory to write to; [`received`] takes it back.
///
/// Part of the ABI: the host calls it for each value that it returns.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    Box::into_raw(Box::<[u8]>::new_uninit_slice(size)).cast()
}

/// Lets a call return bytes through two pointers.
fn received(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Option<Vec<u8>> {
    let mut data = ptr::null_mut();
    let mut len = 0;
    if call(&raw mut data, &raw mut len) != OK {
        return None;
    }
    if data.is_null() {
        return Some(Vec::new());
    }
    // SAFETY: a host that returns data got it from `proxy_on_memory_allocate` for exactly `len` bytes,
    // all of them initialised, during this call, and keeps no pointer to it.
    Some(unsafe { Vec::from_raw_parts(data, len, len) })
}
