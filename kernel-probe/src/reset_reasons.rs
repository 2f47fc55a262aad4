//! What the running kernel calls its reasons for an RST (`enum sk_rst_reason`), by number.
//!
//! Read from the kernel's types (BTF), because the numbers differ from version to version: new reasons are put before
//! those of MPTCP, so that 11 is `MPTCP_RST_EUNSPEC` on Linux 6.10, and `TCP_ABORT_ON_CLOSE` on 6.18.

use std::collections::BTreeMap;

use btf_rs::{Btf, Type};

/// The kernel's name for all of them, and how each of theirs begins.
const ENUM: &str = "sk_rst_reason";
const PREFIX: &str = "SK_RST_REASON_";

/// Names without [`PREFIX`], in small letters, by number; empty where the kernel has no such type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResetReasons(BTreeMap<u32, String>);

// === impl ResetReasons ===

impl ResetReasons {
    /// Reads the names in `btf`.
    pub(crate) fn of(btf: &Btf) -> Self {
        let types = btf.resolve_types_by_name(ENUM).unwrap_or_default();
        let members = types.into_iter().find_map(|found| {
            if let Type::Enum(found) = found {
                Some(found.members)
            } else {
                None
            }
        });
        let named = members.iter().flatten().filter_map(|member| {
            let name = btf.resolve_name(member).ok()?;
            let name = name.strip_prefix(PREFIX)?;
            Some((member.val(), name.to_ascii_lowercase()))
        });
        Self(named.collect())
    }

    /// Returns the name of a record's reason, which is its number plus one; empty for 0, which is none, and the
    /// number where the kernel's types do not name it.
    pub(crate) fn name(&self, plus_one: u8) -> String {
        let Some(number) = plus_one.checked_sub(1) else {
            return String::new();
        };
        let name = self.0.get(&number.into());
        name.map_or_else(|| number.to_string(), String::clone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `BTF_KIND_ENUM`.
    const KIND_ENUM: u32 = 6;

    #[test]
    fn a_reason_has_the_name_that_the_running_kernel_gives_its_number() {
        let of_6_10 = [
            ("SK_RST_REASON_NOT_SPECIFIED", 0),
            ("SK_RST_REASON_INVALID_SYN", 10),
            ("SK_RST_REASON_MPTCP_RST_EUNSPEC", 11),
        ];
        let of_6_18 = [
            ("SK_RST_REASON_TCP_ABORT_ON_CLOSE", 11),
            ("SK_RST_REASON_MPTCP_RST_EUNSPEC", 17),
        ];
        let reasons = ResetReasons::of(&btf("sk_rst_reason", &of_6_10));
        assert_eq!(reasons.name(1), "not_specified");
        assert_eq!(reasons.name(12), "mptcp_rst_eunspec");
        let reasons = ResetReasons::of(&btf("sk_rst_reason", &of_6_18));
        assert_eq!(reasons.name(12), "tcp_abort_on_close");
        assert_eq!(reasons.name(18), "mptcp_rst_eunspec");
    }

    #[test]
    fn a_reason_without_a_name_is_its_number_and_no_reason_is_empty() {
        let other = btf("skb_drop_reason", &[("SK_RST_REASON_TCP_STATE", 14)]);
        for reasons in [ResetReasons::of(&other), ResetReasons::default()] {
            assert_eq!(reasons.name(15), "14");
            assert_eq!(reasons.name(0), "");
        }
    }

    /// Makes types of which one is an enum, as the kernel's file has them
    /// (<https://docs.kernel.org/bpf/btf.html>).
    fn btf(name: &str, members: &[(&str, u32)]) -> Btf {
        let mut strings = vec![0];
        let mut put = |text: &str| {
            let at = strings.len() as u32;
            strings.extend(text.bytes());
            strings.push(0);
            at
        };
        let kind = KIND_ENUM << 24 | members.len() as u32;
        let mut types = vec![put(name), kind, size_of::<u32>() as u32];
        for (name, number) in members {
            types.extend([put(name), *number]);
        }
        let types_len = (types.len() * size_of::<u32>()) as u32;
        let (magic_and_version, header_len) = (0x0001_eb9f, 24);
        let (types_at, strings_len) = (0, strings.len() as u32);
        let header = [
            magic_and_version,
            header_len,
            types_at,
            types_len,
            types_len,
            strings_len,
        ];
        let words = header.into_iter().chain(types);
        let mut bytes: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
        bytes.extend(strings);
        Btf::from_bytes(&bytes).unwrap()
    }
}
