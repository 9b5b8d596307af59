//! Whom a vendor's certificate must come from: the authorities that the system trusts, and one of
//! the upstream's own where the config names it.

use std::{io, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::config::Upstream;

/// The client's side of TLS to an upstream.
pub(crate) fn client(upstream: &Upstream) -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    if upstream.url.scheme_str() == Some("https") {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!("a root certificate of the system can't be read: {error}");
        }
        // Some systems keep certificates that no library takes.
        let _ = roots.add_parsable_certificates(found.certs);
    }
    if let Some(pem) = &upstream.authority {
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(io::Error::other)?;
            roots.add(certificate).map_err(io::Error::other)?;
        }
    }
    if roots.is_empty() && upstream.url.scheme_str() == Some("https") {
        let name = &upstream.name;
        let message = format!(
            "upstream {name}: this system trusts no authority; install ca-certificates, or set \
             ca_file"
        );
        return Err(io::Error::other(message));
    }
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
