//! Connections to the collector: plain for `http://`, TLS for `https://`.

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;

use super::Settings;
pub use crate::tls_client::TlsError;
use crate::tls_client::{self, Files};

/// Makes connections that may be of either kind.
///
/// # Errors
///
/// [`TlsError`], if a file that the settings name is not what it should be.
pub(super) fn connector(
    settings: &Settings,
    http2: bool,
) -> Result<HttpsConnector<HttpConnector>, TlsError> {
    let files = Files {
        signers: settings.certificate.as_deref(),
        client: settings
            .client
            .as_ref()
            .map(|(chain, key)| (chain.as_path(), key.as_path())),
    };
    let tls = tls_client::config(files, settings.endpoint.starts_with("https:"))?;
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let builder = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http();
    Ok(if http2 {
        builder.enable_http2().wrap_connector(tcp)
    } else {
        builder.enable_http1().wrap_connector(tcp)
    })
}
