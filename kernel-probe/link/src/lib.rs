//! What the kernel offers and aya does not: links that are pinned and given another program, a ring
//! buffer that is read through a window, and the name of a socket's network namespace.
//!
//! A package of its own, so that all others need no `unsafe`. What programs and maps mean is for
//! others.

mod call;
mod link;
mod mapping;
mod ring;
mod socket;

pub use link::{Hook, Link};
pub use ring::Ring;
pub use socket::netns_cookie;
