//! What the benchmarks found, put together: the summary, the documents and their pictures; and held against another run.
//!
//! Pure: JSON in, JSON, Markdown and SVG out. Measures nothing; what measures is in `benches/`, here and in the
//! other parts, and writes its figures below `target/bench`.

mod agreement;
mod details;
mod document;
mod evidence;
mod figures;
mod picture;
mod tables;
mod two_runs;

pub use self::{
    agreement::Run,
    details::{all_figures, printed_about_faults},
    document::{Machine, overview},
    evidence::{Evidence, Sighting, Tool},
    figures::{Benchmark, Figure, Summary, Verdict},
    picture::{latency_picture, processor_picture},
};
