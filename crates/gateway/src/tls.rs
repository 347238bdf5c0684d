//! TLS to a provider: the certificate verified as ever, and beside that, where a provider is set up so, a pinned public
//! key, an authority of its own, a client certificate. Opens no connection.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Most keys that one provider may have pinned: the one in use and those that follow it.
const MOST_PINS: usize = 8;

/// What is set up for a provider, as it was typed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings<'a> {
    /// SHA-256 of public keys (SubjectPublicKeyInfo), base64, with or without `sha256/` before them.
    pub pins: &'a [String],
    /// PEM of the only authority that is trusted; empty: the machine's.
    pub authority: &'a str,
    /// PEM of the client's certificate, those between it and its authority, and its key; empty where there is none.
    pub identity: &'a str,
}

/// Why TLS cannot be set up so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    #[error(
        "고정할 공개키 ‘{0}’을(를) 읽을 수 없습니다. 공개키(SPKI)의 SHA-256을 base64로 적어 주세요. 여덟 개까지 적을 수 있습니다."
    )]
    Pin(String),
    #[error("인증기관 인증서를 읽을 수 없습니다. PEM 형식(-----BEGIN CERTIFICATE-----)으로 붙여 주세요.")]
    Authority,
    #[error(
        "클라이언트 인증서와 키를 읽을 수 없습니다. 인증서와 암호가 없는 개인키를 PEM 형식으로 이어서 붙여 주세요."
    )]
    Identity,
    #[error("TLS를 준비하지 못했습니다: {0}")]
    Other(String),
}

/// A pinned key as the screen and the record write it: base64 of the hash.
///
/// # Errors
/// [`TlsError::Pin`].
pub fn pin(text: &str) -> Result<String, TlsError> {
    let typed = text.trim();
    let hash = STANDARD.decode(typed.strip_prefix("sha256/").unwrap_or(typed)).ok();
    match hash {
        Some(hash) if hash.len() == 32 => Ok(STANDARD.encode(hash)),
        _ => Err(TlsError::Pin(typed.chars().take(60).collect())),
    }
}

/// What every connection to a provider is made with.
///
/// # Errors
/// [`TlsError`]; on a machine without certificates too, unless an authority is named.
pub fn config(settings: &Settings<'_>) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let verifier = verifier(settings, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(other)?
        .dangerous() // as a verifier of one's own is called; this one begins with the usual verification
        .with_custom_certificate_verifier(verifier);
    let config = if settings.identity.is_empty() {
        builder.with_no_client_auth()
    } else {
        let (chain, key) = identity(settings.identity)?;
        builder.with_client_auth_cert(chain, key).map_err(|_| TlsError::Identity)?
    };
    Ok(Arc::new(config))
}

fn verifier(settings: &Settings<'_>, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    let usual: Arc<dyn ServerCertVerifier> = if settings.authority.is_empty() {
        Arc::new(rustls_platform_verifier::Verifier::new(Arc::clone(provider)).map_err(other)?)
    } else {
        let roots = Arc::new(authority(settings.authority)?);
        let built = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider)).build();
        built.map_err(|_| TlsError::Authority)?
    };
    let pins = settings.pins.iter().map(|text| pin(text)).collect::<Result<Vec<_>, _>>()?;
    match pins.len() {
        0 => Ok(usual),
        1..=MOST_PINS => Ok(Arc::new(Pinned { usual, pins })),
        n => Err(TlsError::Pin(format!("{n}"))),
    }
}

fn authority(pem: &str) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.map_err(|_| TlsError::Authority)?).map_err(|_| TlsError::Authority)?;
    }
    if roots.is_empty() { Err(TlsError::Authority) } else { Ok(roots) }
}

fn identity(pem: &str) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|_| TlsError::Identity)?;
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| TlsError::Identity)?;
    if chain.is_empty() { Err(TlsError::Identity) } else { Ok((chain, key)) }
}

fn other(e: Error) -> TlsError {
    TlsError::Other(e.to_string())
}

/// The usual verification, and then the server's own key must be one of these. Keys of the authorities between are not
/// asked: a server may send along certificates that nothing verified.
#[derive(Debug)]
struct Pinned {
    usual: Arc<dyn ServerCertVerifier>,
    pins: Vec<String>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.usual.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        let key = ParsedCertificate::try_from(end_entity)?.subject_public_key_info();
        let found = STANDARD.encode(Sha256::digest(key.as_ref()));
        if self.pins.contains(&found) {
            Ok(verified)
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pin_is_written_one_way() {
        let hash = STANDARD.encode([7u8; 32]);
        assert_eq!(pin(&format!(" sha256/{hash} ")).as_deref(), Ok(hash.as_str()));
        for bad in ["", "sha256/", "AAAA", &STANDARD.encode([7u8; 31]), &hex::encode([7u8; 32]), &hash[..43]] {
            assert!(pin(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_typed_is_read_or_refused(text in "\\PC{0,80}", pem in "(-----BEGIN (CERTIFICATE|PRIVATE KEY)-----\n)?[A-Za-z0-9+/=\n]{0,80}(-----END CERTIFICATE-----)?") {
            let pins = [text];
            let _pinned = config(&Settings { pins: &pins, authority: &pem, ..Settings::default() });
            // Nothing that is made of these letters is a certificate.
            let trusted = config(&Settings { authority: &pem, ..Settings::default() });
            prop_assert!(pem.is_empty() || trusted.is_err());
            prop_assert!(identity(&pem).is_err());
        }
    }
}
