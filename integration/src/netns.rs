//! Network namespaces of our own, joined by pairs of virtual Ethernet devices.
//!
//! Devices are made inside the namespaces: the host's own namespace never sees one.

use std::{net::Ipv4Addr, path::PathBuf};

use crate::process;

/// A named network namespace with its loopback up; deleted on drop.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

/// One end of a link.
#[derive(Clone, Copy, Debug)]
pub struct LinkEnd<'a> {
    /// Where the device lives.
    pub namespace: &'a Namespace,
    /// The device's name, at most 15 characters.
    pub device: &'a str,
    /// Its address, in a /24.
    pub address: Ipv4Addr,
}

impl Namespace {
    /// Creates the namespace `name`.
    ///
    /// # Errors
    ///
    /// Fails without the right to, or if it exists.
    pub fn create(name: &str) -> anyhow::Result<Self> {
        process::run("ip", ["netns", "add", name])?;
        let namespace = Self {
            name: name.to_owned(),
        };
        process::run("ip", ["-n", name, "link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// Returns the name by which `ip netns exec` knows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Replaces the namespace's packet filter by `rules`, in nftables' language.
    ///
    /// # Errors
    ///
    /// Fails if nftables does not take the rules.
    pub fn filter_packets(&self, rules: &str) -> anyhow::Result<()> {
        process::run(
            "ip",
            [
                "netns",
                "exec",
                &self.name,
                "nft",
                &format!("flush ruleset; {rules}"),
            ],
        )
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // What cannot be deleted now is found by the next start's sweep.
        delete(&self.name).unwrap_or_default();
    }
}

/// Joins two namespaces by a cable.
///
/// # Errors
///
/// Fails if the kernel refuses a device or an address.
pub fn link(one: LinkEnd<'_>, other: LinkEnd<'_>) -> anyhow::Result<()> {
    let (one_ns, other_ns) = (one.namespace.name(), other.namespace.name());
    process::run(
        "ip",
        [
            "-n",
            one_ns,
            "link",
            "add",
            one.device,
            "type",
            "veth",
            "peer",
            "name",
            other.device,
            "netns",
            other_ns,
        ],
    )?;
    for end in [one, other] {
        let address = format!("{}/24", end.address);
        process::run(
            "ip",
            [
                "-n",
                end.namespace.name(),
                "address",
                "add",
                &address,
                "dev",
                end.device,
            ],
        )?;
        process::run(
            "ip",
            ["-n", end.namespace.name(), "link", "set", end.device, "up"],
        )?;
    }
    Ok(())
}

/// Returns the directory in which `ip netns` names its namespaces.
#[must_use]
pub fn directory() -> PathBuf {
    PathBuf::from("/run/netns")
}

/// Deletes a namespace by name; one that is gone is fine.
///
/// # Errors
///
/// Fails if it exists and cannot be deleted.
pub fn delete(name: &str) -> anyhow::Result<()> {
    if directory().join(name).exists() {
        process::run("ip", ["netns", "delete", name])
    } else {
        Ok(())
    }
}
