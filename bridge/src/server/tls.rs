//! TLS for the addresses that are configured for it; ciphers are not configurable.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    server::{VerifierBuilderError, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use tokio_rustls::TlsAcceptor;

use super::TlsSettings;

/// Files that do not make a TLS server.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No PEM, or not of what is expected.
    #[error("{path}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// The certificates of the signers cannot be used.
    #[error("the client CA")]
    ClientCa(#[from] VerifierBuilderError),
    /// Certificate and key do not fit, or one of them is not understood.
    #[error("certificate and key")]
    Certificate(#[from] rustls::Error),
    /// The certificate file holds none.
    #[error("{0} holds no certificate")]
    Empty(PathBuf),
}

/// Reads the files.
///
/// # Errors
///
/// [`TlsError`]
pub(super) fn acceptor(settings: &TlsSettings) -> Result<TlsAcceptor, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = certificates(&settings.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&settings.key).map_err(|source| TlsError::Pem {
        path: settings.key.clone(),
        source,
    })?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let builder = match &settings.client_ca {
        Some(path) => builder.with_client_cert_verifier(verifier(path, provider)?),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn verifier(
    path: &PathBuf,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut signers = RootCertStore::empty();
    for certificate in certificates(path)? {
        signers.add(certificate)?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(signers), provider);
    Ok(builder.build()?)
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |source| TlsError::Pem {
        path: path.clone(),
        source,
    };
    let read = CertificateDer::pem_file_iter(path).map_err(wrong)?;
    let certificates: Vec<_> = read.collect::<Result<_, _>>().map_err(wrong)?;
    if certificates.is_empty() {
        return Err(TlsError::Empty(path.clone()));
    }
    Ok(certificates)
}
