//! Where the bridge listens.

use std::{
    path::{Path, PathBuf},
    str,
};

/// The bridge's Unix socket. Text: `unix:/run/syntrace/bridge.sock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeAddress {
    path: PathBuf,
}

/// Text that is not a bridge's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected the path of a Unix socket, such as unix:/run/syntrace/bridge.sock")]
pub struct ParseBridgeAddressError;

impl BridgeAddress {
    /// Returns the socket's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl str::FromStr for BridgeAddress {
    type Err = ParseBridgeAddressError;

    fn from_str(text: &str) -> Result<Self, ParseBridgeAddressError> {
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Ok(Self { path: path.into() }),
            Some(_) | None => Err(ParseBridgeAddressError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_absolute_unix_path_is_an_address() {
        let address: BridgeAddress = "unix:/run/bridge.sock".parse().unwrap();
        assert_eq!(address.path(), Path::new("/run/bridge.sock"));
        for text in [
            "",
            "/run/bridge.sock",
            "unix:",
            "unix:bridge.sock",
            "http://127.0.0.1:80",
        ] {
            assert_eq!(
                text.parse::<BridgeAddress>(),
                Err(ParseBridgeAddressError),
                "{text}"
            );
        }
    }
}
