//! TLS as a client: which certificate authorities are trusted, the system's or the operator's, and which certificate
//! the bridge presents. Peer and protocol are up to the caller.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
};

/// Whom to believe, and who we are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Files<'a> {
    /// Certificates of those who sign the other end's, PEM; the system's if absent.
    pub(crate) signers: Option<&'a Path>,
    /// Our certificate and key, PEM.
    pub(crate) client: Option<(&'a Path, &'a Path)>,
}

/// Files that make no TLS client.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No PEM, or not of what is expected.
    #[error("{}", .path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// The certificates or the key are not understood.
    #[error("certificates")]
    Certificate(#[from] rustls::Error),
}

/// Reads the files; without `https` the system's are left alone.
///
/// # Errors
///
/// [`TlsError`], if a file is not what it should be.
pub(crate) fn config(files: Files<'_>, https: bool) -> Result<ClientConfig, TlsError> {
    let mut signers = RootCertStore::empty();
    if let Some(path) = files.signers {
        for certificate in certificates(path)? {
            signers.add(certificate)?;
        }
    } else if https {
        // What the system holds and cannot be read is as if it were not there.
        signers.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(signers);
    match files.client {
        Some((chain, key)) => {
            let private = PrivateKeyDer::from_pem_file(key).map_err(|source| wrong(key, source))?;
            Ok(builder.with_client_auth_cert(certificates(chain)?, private)?)
        }
        None => Ok(builder.with_no_client_auth()),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |source| wrong(path, source);
    let read = CertificateDer::pem_file_iter(path).map_err(wrong)?;
    read.collect::<Result<_, _>>().map_err(wrong)
}

fn wrong(path: &Path, source: pem::Error) -> TlsError {
    TlsError::Pem {
        path: path.to_owned(),
        source,
    }
}
