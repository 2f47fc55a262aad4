//! What makes ids of this host unlike all others: this boot, and a key that lasts as long.

use std::{fmt, fs, io};

use syntrace_ebpf_common::{Wide, siphash24};

use crate::{clock, view::random};

/// Random, written when the system was installed, and not to be known on the network (machine-id(5)).
const MACHINE_ID: &str = "/etc/machine-id";

/// This boot, and the key under which ids of its connections are minted.
#[derive(Clone, Copy)]
pub(crate) struct Host {
    /// /proc/sys/kernel/random/boot_id.
    pub(crate) boot_id: [u8; 16],
    /// Keys the hash of a socket's number; stays out of logs.
    pub(crate) key: [u8; 16],
}

// === impl Host ===

impl Host {
    /// Reads this boot's id, and derives the key from it and from the machine's: a probe that is
    /// started again mints the same ids. Without the machine's id the key is random.
    ///
    /// # Errors
    ///
    /// Fails if the kernel tells no boot id, or gives no random bytes.
    pub(crate) fn new() -> io::Result<Self> {
        let boot_id = clock::boot_id()?;
        let machine_id = fs::read_to_string(MACHINE_ID).ok();
        let machine_id = machine_id.and_then(|id| u128::from_str_radix(id.trim(), 16).ok());
        let key = match machine_id {
            Some(machine_id) if machine_id != 0 => derive(machine_id, boot_id),
            Some(_) | None => random()?,
        };
        Ok(Self { boot_id, key })
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").finish_non_exhaustive()
    }
}

fn derive(machine_id: u128, boot_id: [u8; 16]) -> [u8; 16] {
    let boot = u128::from_be_bytes(boot_id);
    let half = |which: u64| {
        let message = [boot as u64, (boot >> 64) as u64, which];
        siphash24(Wide::from_bytes(machine_id.to_be_bytes()), message)
    };
    (u128::from(half(0)) | u128::from(half(1)) << 64).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_that_is_started_again_has_the_same_key() {
        assert_eq!(derive(7, [1; 16]), derive(7, [1; 16]));
        assert_ne!(derive(7, [1; 16]), derive(7, [2; 16]));
        assert_ne!(derive(7, [1; 16]), derive(8, [1; 16]));
    }
}
