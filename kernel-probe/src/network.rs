//! Networks in CIDR notation, and as the programs read them.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str,
};

use syntrace_ebpf_common::{MAPPED_BITS, MAX_NETWORKS, Networks, Wide, mapped};

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
    #[error("expected no bits set after the prefix, such as {0}")]
    HostBits(IpAddr),
}

impl Network {
    /// Returns the address and how many of its bits count, with IPv4 v4-mapped.
    fn widened(self) -> ([u8; 16], u32) {
        let prefix_len = self.prefix_len.into();
        match self.address {
            IpAddr::V4(address) => (mapped(address.octets()), MAPPED_BITS + prefix_len),
            IpAddr::V6(address) => (address.octets(), prefix_len),
        }
    }
}

/// Returns `networks` as the programs read them; those beyond [`MAX_NETWORKS`], which the command
/// line refuses, are left out.
pub(crate) fn list(networks: &[Network]) -> Networks {
    let mut list = Networks::NONE;
    for (at, network) in networks.iter().take(MAX_NETWORKS).enumerate() {
        let (address, prefix_len) = network.widened();
        let is_put = list.put(at, Wide::from_bytes(address), prefix_len);
        debug_assert!(is_put, "a place for each");
    }
    list
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

    fn wide(address: [u8; 4]) -> Wide {
        Wide::from_bytes(mapped(address))
    }

    #[test]
    fn an_ipv4_network_is_listed_in_mapped_form() {
        let networks = list(&["10.0.0.0/8".parse().unwrap()]);
        assert!(networks.have(wide([10, 1, 2, 3])));
        assert!(!networks.have(wide([11, 1, 2, 3])));
    }

    #[test]
    fn an_address_alone_is_a_network_of_one() {
        assert_eq!("192.0.2.1".parse::<Network>(), "192.0.2.1/32".parse());
        assert_eq!("2001:db8::1".parse::<Network>(), "2001:db8::1/128".parse());
        let all_ipv4 = list(&["0.0.0.0/0".parse().unwrap()]);
        assert!(all_ipv4.have(wide([192, 0, 2, 1])));
        assert!(!all_ipv4.have(Wide::from_bytes([0xfe; 16])));
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
