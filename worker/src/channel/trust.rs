//! Whose certificates are trusted: the authorities that browsers trust, and those that the operator names.

use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use reqwest::Url;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// The authorities that are trusted.
#[derive(Clone, Debug, Default)]
pub(super) struct Trust {
    /// Those beside Mozilla's.
    named: Vec<CertificateDer<'static>>,
}

impl Trust {
    /// Reads the certificates of further authorities.
    pub(super) fn read(pem: Option<&[u8]>) -> Result<Self, String> {
        let Some(pem) = pem else { return Ok(Self::default()) };
        let named: Vec<_> = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|error| format!("the trusted certificates are no PEM: {error}"))?;
        if named.is_empty() {
            return Err("there is no certificate among those that are to be trusted: they begin with \
                        -----BEGIN CERTIFICATE-----"
                .to_owned());
        }
        let trust = Self { named };
        trust.roots()?;
        Ok(trust)
    }

    /// For TLS as web hooks use it.
    pub(super) fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() };
        for certificate in &self.named {
            roots
                .add(certificate.clone())
                .map_err(|error| format!("a certificate that is to be trusted cannot be used: {error}"))?;
        }
        Ok(roots)
    }

    /// For a mail server, as its URL says: from the start, or asked for and then needed. `None`: it says neither.
    pub(super) fn of_mail(&self, smtp_url: &Url) -> Result<Option<Tls>, String> {
        let asked =
            |wanted: &str| smtp_url.query_pairs().any(|(name, value)| name == "tls" && value == wanted);
        let tls: fn(TlsParameters) -> Tls = match smtp_url.scheme() {
            "smtps" => Tls::Wrapper,
            _ if asked("required") => Tls::Required,
            _ if asked("opportunistic") => Tls::Opportunistic,
            _ => return Ok(None),
        };
        let mut parameters = TlsParameters::builder(smtp_url.host_str().unwrap_or_default().to_owned());
        for certificate in &self.named {
            let certificate = Certificate::from_der(certificate.to_vec())
                .map_err(|error| format!("a certificate that is to be trusted cannot be used: {error}"))?;
            parameters = parameters.add_root_certificate(certificate);
        }
        let parameters =
            parameters.build().map_err(|error| format!("TLS cannot be used for mail: {error}"))?;
        Ok(Some(tls(parameters)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_refused_at_the_start() {
        assert!(Trust::read(None).is_ok());
        for pem in ["", "certificates", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            assert!(Trust::read(Some(pem.as_bytes())).unwrap_err().contains("BEGIN CERTIFICATE"), "{pem}");
        }
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(Trust::read(Some(broken.as_bytes())).unwrap_err().contains("cannot be used"));
        let unended = "-----BEGIN CERTIFICATE-----\nAAAA\n";
        assert!(Trust::read(Some(unended.as_bytes())).unwrap_err().contains("no PEM"));
    }
}
