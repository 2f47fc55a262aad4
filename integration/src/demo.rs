//! The demo: real traffic through a watched gateway, a timeline of every TCP connection it made, and a
//! verdict by the word of others.

pub mod gray;
pub mod inquiry;
mod story;
mod timeline;
pub mod traffic;
pub mod verdict;
pub mod wire;

pub use story::run;
