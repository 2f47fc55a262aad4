//! Whether a test may run: what it needs and not every machine has, and the variable that demands it.
//!
//! A test that lacks something says so past the test harness, which shows nothing else of a test that passes, and
//! passes. Where the variable of what it lacks is `1`, it fails instead. Depends on nothing: tests of any part may
//! use it.
#![forbid(unsafe_code)]

use std::{
    env,
    io::{self, Write as _},
    thread,
};

/// What some tests need and some machines lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// The real kernel and its tools: root, cgroup v2, BTF, namespaces, `ip`, `nft` and the like.
    Kernel,
    /// Chromium, driven by Playwright.
    Browser,
    /// `prometheus`, and its `promtool`.
    Prometheus,
    /// An OpenTelemetry collector and receiver that are not ours.
    Collector,
    /// What tries the HTTP API by its own description.
    Schemathesis,
    /// What sets manual pages.
    Groff,
}

// === impl Requirement ===

impl Requirement {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Kernel,
        Self::Browser,
        Self::Prometheus,
        Self::Collector,
        Self::Schemathesis,
        Self::Groff,
    ];

    /// Returns the variable that demands it where it is `1`; any other value demands nothing.
    #[must_use]
    pub const fn variable(self) -> &'static str {
        match self {
            Self::Kernel => "REQUIRE_KERNEL",
            Self::Browser => "REQUIRE_BROWSER",
            Self::Prometheus => "REQUIRE_PROMETHEUS",
            Self::Collector => "REQUIRE_COLLECTOR",
            Self::Schemathesis => "REQUIRE_SCHEMATHESIS",
            Self::Groff => "REQUIRE_GROFF",
        }
    }

    /// Returns whether the test may run: if what it needs `is_there`. Otherwise prints `SKIP <test>: needs <what>`, and
    /// the test should return.
    ///
    /// # Panics
    ///
    /// If it is not there, and demanded.
    #[must_use]
    pub fn is_met(self, is_there: bool, what: &str) -> bool {
        if is_there {
            return true;
        }
        let is_demanded = env::var_os(self.variable()).is_some_and(|value| value == "1");
        assert!(!is_demanded, "{}=1, and needs {what}", self.variable());
        let thread = thread::current();
        // The harness names each test's thread for it; of tests that run one after the other, none.
        let test = thread.name().filter(|&name| name != "main");
        let skip = format!("SKIP {}: needs {what}\n", test.unwrap_or("a test"));
        // Standard error itself, which the harness does not capture as it does `eprint!`; in one piece, among others'.
        io::stderr().write_all(skip.as_bytes()).unwrap_or_default();
        false
    }
}
