//! One form for both address families: 16 bytes, IPv4 mapped into IPv6.

/// Bits that the mapping puts before an IPv4 address: a /8 there is a /104 here.
pub const MAPPED_BITS: u32 = 96;

/// Returns the IPv4-mapped IPv6 address (RFC 4291, section 2.5.5.2) of `address`.
#[inline]
#[must_use]
pub const fn mapped(address: [u8; 4]) -> [u8; 16] {
    let [a, b, c, d] = address;
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn mapping_agrees_with_the_standard_library() {
        let address = Ipv4Addr::new(192, 0, 2, 1);
        assert_eq!(mapped(address.octets()), address.to_ipv6_mapped().octets());
    }
}
