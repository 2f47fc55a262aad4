//! Connections to the collector: plain for `http://`, TLS for `https://`.

use std::{path::PathBuf, sync::Arc};

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
};

use super::Settings;

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

/// Makes connections that may be of either kind.
///
/// # Errors
///
/// [`TlsError`], if a file that the settings name is not what it should be.
pub(super) fn connector(
    settings: &Settings,
    http2: bool,
) -> Result<HttpsConnector<HttpConnector>, TlsError> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let builder = HttpsConnectorBuilder::new()
        .with_tls_config(tls(settings)?)
        .https_or_http();
    Ok(if http2 {
        builder.enable_http2().wrap_connector(tcp)
    } else {
        builder.enable_http1().wrap_connector(tcp)
    })
}

fn tls(settings: &Settings) -> Result<ClientConfig, TlsError> {
    let mut signers = RootCertStore::empty();
    if let Some(path) = &settings.certificate {
        for certificate in certificates(path)? {
            signers.add(certificate)?;
        }
    } else if settings.endpoint.starts_with("https:") {
        // What the system holds and cannot be read is as if it were not there.
        signers.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(signers);
    match &settings.client {
        Some((chain, key)) => {
            let wrong = |source| TlsError::Pem {
                path: key.clone(),
                source,
            };
            let private = PrivateKeyDer::from_pem_file(key).map_err(wrong)?;
            Ok(builder.with_client_auth_cert(certificates(chain)?, private)?)
        }
        None => Ok(builder.with_no_client_auth()),
    }
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |source| TlsError::Pem {
        path: path.clone(),
        source,
    };
    let read = CertificateDer::pem_file_iter(path).map_err(wrong)?;
    read.collect::<Result<_, _>>().map_err(wrong)
}
