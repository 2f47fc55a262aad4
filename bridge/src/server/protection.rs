//! What protects the listeners: tokens and certificates, read before anything listens, and again on `SIGHUP`.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

use tokio_rustls::TlsAcceptor;

use super::{
    Tokens, TokensError,
    tls::{self, TlsError},
};
use crate::api::Access;

/// Who may reach the endpoints of one kind, and how fast.
#[derive(Clone, Debug)]
pub struct AccessSettings {
    /// File of the tokens that are accepted over TCP; without it none are required.
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

/// What protects the listeners. Clones have the same tokens and certificates.
#[derive(Clone)]
pub struct Protection {
    pub(super) facts: Access,
    pub(super) reads: Access,
    pub(super) tls: Option<Certificates>,
}

/// The certificates that are presented and required at present.
#[derive(Clone)]
pub(super) struct Certificates(Arc<RwLock<TlsAcceptor>>);

/// A protection that cannot be loaded: a wrong setting.
#[derive(Debug, thiserror::Error)]
pub enum ProtectionError {
    /// A token file.
    #[error("reading the tokens in {}", .path.display())]
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
        let access = |settings: &AccessSettings| {
            Ok::<_, ProtectionError>(Access::new(tokens(settings)?, settings.rate))
        };
        let tls = settings.tls.as_ref().map(tls::acceptor).transpose()?;
        Ok(Self {
            facts: access(&settings.facts_access)?,
            reads: access(&settings.reads_access)?,
            tls: tls.map(|tls| Certificates(Arc::new(RwLock::new(tls)))),
        })
    }

    /// Reads the files again: what they hold protects whatever comes from now on. Connections that are open
    /// stay.
    ///
    /// # Errors
    ///
    /// [`ProtectionError`], if one is not what it should be; then all stays as it was.
    pub fn renew(&self, settings: &super::Settings) -> Result<(), ProtectionError> {
        let facts = tokens(&settings.facts_access)?;
        let reads = tokens(&settings.reads_access)?;
        let tls = settings.tls.as_ref().map(tls::acceptor).transpose()?;
        self.facts.renew(facts);
        self.reads.renew(reads);
        if let Some((Certificates(held), tls)) = self.tls.as_ref().zip(tls) {
            *held.write().unwrap_or_else(PoisonError::into_inner) = tls;
        }
        Ok(())
    }
}

impl Certificates {
    /// Returns what a handshake needs that begins now.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        held.clone()
    }
}

fn tokens(settings: &AccessSettings) -> Result<Option<Tokens>, ProtectionError> {
    let read = |path: &PathBuf| {
        Tokens::read(path).map_err(|source| ProtectionError::Tokens {
            path: path.clone(),
            source,
        })
    };
    settings.token_file.as_ref().map(read).transpose()
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
