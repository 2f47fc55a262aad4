//! Networks in CIDR notation, as the kernel's longest-prefix maps want them.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str,
};

use aya::maps::lpm_trie::Key;
use syntrace_ebpf_common::{MAPPED_BITS, mapped};

/// An address and how many of its leading bits count.
///
/// Text: `10.0.0.0/8`, `2001:db8::/32`; an address alone is a network of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix_len: u8,
}

/// Text that is not a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseNetworkError {
    /// The part before `/` is not an address.
    #[error("expected a network such as 10.0.0.0/8 or 2001:db8::/32")]
    Address,
    /// The part behind `/` is not a length that the address has.
    #[error("expected a prefix length of 0 to {max}")]
    PrefixLen {
        /// Bits of the address.
        max: u8,
    },
    /// Bits behind the prefix are set, so that one of both is a mistake.
    #[error("expected no bits behind the prefix, such as {0}")]
    HostBits(IpAddr),
}

impl Network {
    /// Returns the key of the kernel's longest-prefix maps: IPv4 is v4-mapped.
    pub(crate) fn key(self) -> Key<[u8; 16]> {
        match self.address {
            IpAddr::V4(address) => Key::new(
                MAPPED_BITS + u32::from(self.prefix_len),
                mapped(address.octets()),
            ),
            IpAddr::V6(address) => Key::new(self.prefix_len.into(), address.octets()),
        }
    }

    /// Returns whether `key` is this network's.
    pub(crate) fn has(self, key: &Key<[u8; 16]>) -> bool {
        let own = self.key();
        (own.prefix_len(), own.data()) == (key.prefix_len(), key.data())
    }
}

impl str::FromStr for Network {
    type Err = ParseNetworkError;

    fn from_str(text: &str) -> Result<Self, ParseNetworkError> {
        let (address, prefix_len) = match text.split_once('/') {
            Some((address, prefix_len)) => (address, Some(prefix_len)),
            None => (text, None),
        };
        let Ok(address) = address.parse::<IpAddr>() else {
            return Err(ParseNetworkError::Address);
        };
        let max = if address.is_ipv4() { 32 } else { 128 };
        let prefix_len = match prefix_len.map(str::parse) {
            None => max,
            Some(Ok(prefix_len)) if prefix_len <= max => prefix_len,
            Some(_) => return Err(ParseNetworkError::PrefixLen { max }),
        };
        let network = masked(address, prefix_len);
        if network != address {
            return Err(ParseNetworkError::HostBits(network));
        }
        Ok(Self {
            address,
            prefix_len,
        })
    }
}

/// Returns `address` with only its first `prefix_len` bits.
fn masked(address: IpAddr, prefix_len: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX
                .checked_shl(32 - u32::from(prefix_len))
                .unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX
                .checked_shl(128 - u32::from(prefix_len))
                .unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_network_is_looked_up_in_mapped_form() {
        let key = "10.0.0.0/8".parse::<Network>().unwrap().key();
        assert_eq!(key.prefix_len(), 104);
        assert_eq!(key.data(), mapped([10, 0, 0, 0]));
    }

    #[test]
    fn an_address_alone_is_a_network_of_one() {
        assert_eq!("192.0.2.1".parse::<Network>(), "192.0.2.1/32".parse());
        assert_eq!("2001:db8::1".parse::<Network>(), "2001:db8::1/128".parse());
        assert_eq!(
            "0.0.0.0/0".parse::<Network>().unwrap().key().prefix_len(),
            96
        );
    }

    #[test]
    fn each_mistake_is_named() {
        use ParseNetworkError as E;
        let parse = |text: &str| text.parse::<Network>();
        assert_eq!(parse("ten/8"), Err(E::Address));
        assert_eq!(parse("10.0.0.0/33"), Err(E::PrefixLen { max: 32 }));
        assert_eq!(parse("::/129"), Err(E::PrefixLen { max: 128 }));
        assert_eq!(
            parse("10.0.0.1/8"),
            Err(E::HostBits("10.0.0.0".parse().unwrap()))
        );
    }
}
