//! Networks that a client's address may lie in, such as `10.0.0.0/8` or `2001:db8::/32`.

use std::net::IpAddr;

use syntrace_model::Endpoint;

/// An address prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    first: u128,
    mask: u128,
}

// === impl Network ===

impl Network {
    /// Reads `address/length`, or one address; `None` for anything else, and for bits below the prefix.
    #[must_use]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        // IPv4 is compared in its mapped form: the last 32 of 128 bits.
        let (width, before) = if address.is_ipv4() {
            (32, 96)
        } else {
            (128, 0)
        };
        let length = match length {
            Some(length) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
                length.parse().ok().filter(|length| *length <= width)?
            }
            Some(_) => return None,
            None => width,
        };
        let mask = u128::MAX.checked_shl(128 - before - length).unwrap_or(0);
        let first = bits(address);
        (first & !mask == 0).then_some(Self { first, mask })
    }

    /// Returns whether an end lies in it.
    #[must_use]
    pub(crate) fn contains(&self, end: Endpoint) -> bool {
        bits(end.address()) & self.mask == self.first
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_lies_in_its_network_only() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1:1", "11.0.0.1:1"),
            ("192.0.2.7", "192.0.2.7:1", "192.0.2.8:1"),
            ("0.0.0.0/0", "203.0.113.9:1", "[2001:db8::1]:1"),
            ("2001:db8::/32", "[2001:db8:1::1]:1", "[2001:db9::1]:1"),
            ("::/0", "[2001:db8::1]:1", ""),
        ] {
            let parsed = Network::parse(network).unwrap();
            assert!(parsed.contains(inside.parse().unwrap()), "{network}");
            assert!(outside.parse().is_ok_and(|end| !parsed.contains(end)) || outside.is_empty());
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "a",
        ] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
