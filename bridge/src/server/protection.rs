//! What protects the listeners, read from its files before anything listens.

use std::path::PathBuf;

use tokio_rustls::TlsAcceptor;

use super::{
    Tokens, TokensError,
    tls::{self, TlsError},
};
use crate::api::Access;

/// Who may reach the endpoints of one kind, and how fast.
#[derive(Clone, Debug)]
pub struct AccessSettings {
    /// File of the tokens that open them over TCP; none are asked for without one.
    pub token_file: Option<PathBuf>,
    /// Requests a second.
    pub rate: u32,
}

/// What `tls:` addresses need.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// Certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// Certificates of those who sign clients' certificates, PEM; demanded of clients if given.
    pub client_ca: Option<PathBuf>,
}

/// What protects the listeners.
pub struct Protection {
    pub(super) facts: Access,
    pub(super) reads: Access,
    pub(super) tls: Option<TlsAcceptor>,
}

/// A protection that cannot be had: a wrong setting.
#[derive(Debug, thiserror::Error)]
pub enum ProtectionError {
    /// A token file.
    #[error("{}: {source}", .path.display())]
    Tokens {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: TokensError,
    },
    /// The TLS files.
    #[error("TLS")]
    Tls(#[from] TlsError),
}

impl Protection {
    /// Reads all files that the settings name.
    ///
    /// # Errors
    ///
    /// [`ProtectionError`], if one is not what it should be.
    pub fn load(settings: &super::Settings) -> Result<Self, ProtectionError> {
        Ok(Self {
            facts: access(&settings.facts_access)?,
            reads: access(&settings.reads_access)?,
            tls: settings.tls.as_ref().map(tls::acceptor).transpose()?,
        })
    }
}

fn access(settings: &AccessSettings) -> Result<Access, ProtectionError> {
    let read = |path: &PathBuf| {
        Tokens::read(path).map_err(|source| ProtectionError::Tokens {
            path: path.clone(),
            source,
        })
    };
    let tokens = settings.token_file.as_ref().map(read).transpose()?;
    Ok(Access::new(tokens, settings.rate))
}

impl std::fmt::Debug for Protection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Protection")
            .field("facts", &self.facts)
            .field("reads", &self.reads)
            .field("tls", &self.tls.is_some())
            .finish()
    }
}
