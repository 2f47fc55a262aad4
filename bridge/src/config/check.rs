//! Checks across settings: which of them need each other, and what protects which address.

use super::{Config, FactsAddress, Usage};
use crate::otlp;

impl Config {
    /// Demands a protection of each address that others may reach, and the settings that belong together.
    pub(super) fn check(&self) -> Result<(), Usage> {
        let by_certificate = |encrypted: bool| encrypted && self.tls_client_ca.is_some();
        if self.tls_certificate.is_some() != self.tls_key.is_some() {
            return Err(Usage::of("--tls-certificate and --tls-key need each other"));
        }
        if self.otlp_client_certificate.is_some() != self.otlp_client_key.is_some() {
            let both = "--otlp-client-certificate and --otlp-client-key need each other";
            return Err(Usage::of(both));
        }
        if let Err(error) = self.otlp_headers.0.parse::<otlp::Headers>() {
            return Err(Usage::of(format!(
                "invalid value for --otlp-headers: {error}"
            )));
        }
        if self.log_spare_mib.is_some_and(|spare| spare > self.log_mib) {
            return Err(Usage::of(
                "--log-spare-mib is more than --log-mib, of which it is a part",
            ));
        }
        for address in self.facts.iter().filter_map(FactsAddress::tcp) {
            if self.facts_token_file.is_none() && !by_certificate(address.encrypted) {
                return Err(Usage::of(format!(
                    "--facts {address} needs --facts-token-file, or tls: and --tls-client-ca: \
                     anyone could make facts up"
                )));
            }
        }
        let reads = self.listen.0;
        if !reads.address.ip().is_loopback()
            && self.listen_token_file.is_none()
            && !by_certificate(reads.encrypted)
        {
            return Err(Usage::of(format!(
                "--listen {reads} needs --listen-token-file, or tls: and --tls-client-ca: \
                 other hosts may reach it"
            )));
        }
        let mut tcp = self.facts.iter().filter_map(FactsAddress::tcp);
        let encrypted = reads.encrypted || tcp.any(|address| address.encrypted);
        if encrypted && self.tls_certificate.is_none() {
            return Err(Usage::of(
                "a tls: address needs --tls-certificate and --tls-key",
            ));
        }
        Ok(())
    }
}
