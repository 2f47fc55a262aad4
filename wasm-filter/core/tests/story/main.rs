//! Stories of a worker's filter, told to a proxy that is a map of attributes and counts what it is asked.

mod budget;
mod context;
mod dye;
#[cfg(test)]
mod fake_host;
mod fuzz;
mod report;
mod sending;
