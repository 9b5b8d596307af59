//! TLS to the server: what a URL asks for, and what to do when it fails.
//!
//! `sslmode` and `sslrootcert` mean what libpq lets them mean. Where a URL says nothing, a server on
//! another machine has to prove its name: whoever sits between could read and change every charge.

use std::{net::IpAddr, sync::Arc};

use percent_encoding::percent_decode_str;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};
use tokio_postgres::{
    Config, Error,
    config::{Host, SslMode},
    error::SqlState,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::pool::describe;
use crate::OpenError;

/// How a connection is protected. Each mode asks for more than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mode {
    /// Not at all.
    Disable,
    /// Encrypted when the server can; whoever it is.
    Prefer,
    /// Encrypted; whoever it is.
    Require,
    /// The server's certificate is signed by a CA that we trust.
    VerifyCa,
    /// And it is for the host that the URL names.
    VerifyFull,
}

/// Who may sign the server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Roots {
    /// Whom the system trusts.
    System,
    /// The CAs of a PEM file.
    File(String),
}

/// What a URL says, with nothing left open.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) config: Config,
    pub(super) mode: Mode,
    pub(super) roots: Roots,
}

impl Target {
    /// Reads a URL. An error holds no part of it that may be a password.
    pub(super) fn parse(url: &str) -> Result<Self, OpenError> {
        let (rest, mode, roots) = take_ours(url).map_err(OpenError::Address)?;
        let mut config: Config =
            rest.parse().map_err(|error| OpenError::Address(describe(&error)))?;
        if config
            .get_hosts()
            .iter()
            .any(|host| matches!(host, Host::Tcp(name) if name.contains('@')))
        {
            let message = "an @ in the user or the password has to be written as %40";
            return Err(OpenError::Address(message.to_owned()));
        }
        if config.get_hosts().is_empty() {
            // A certificate may be for an address, too.
            for address in config.get_hostaddrs().to_vec() {
                config.host(address.to_string());
            }
        }
        let mode = decide(&config, mode, roots.as_ref()).map_err(OpenError::Address)?;
        config.ssl_mode(match mode {
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
        });
        Ok(Self { config, mode, roots: roots.unwrap_or(Roots::System) })
    }

    /// What connects as the URL says.
    pub(super) fn connector(&self) -> Result<MakeRustlsConnect, OpenError> {
        let provider = Arc::new(ring::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| OpenError::Tls(error.to_string()))?;
        let lenient = |roots| Arc::new(Lenient { roots, algorithms });
        let mut config = match self.mode {
            Mode::VerifyFull => config.with_root_certificates(self.roots.read()?),
            Mode::VerifyCa => config
                .dangerous()
                .with_custom_certificate_verifier(lenient(Some(self.roots.read()?))),
            Mode::Disable | Mode::Prefer | Mode::Require => {
                config.dangerous().with_custom_certificate_verifier(lenient(None))
            }
        }
        .with_no_client_auth();
        // Servers that are asked for TLS at once (sslnegotiation=direct) want to hear it.
        config.alpn_protocols = vec![b"postgresql".to_vec()];
        Ok(MakeRustlsConnect::new(config))
    }

    /// Why there is no connection, and what to do about it.
    pub(super) fn explain(&self, error: &Error) -> OpenError {
        if let Some(cause) = handshake_fault(error) {
            return OpenError::Tls(self.advise(cause));
        }
        let said = describe(error);
        if said.ends_with("server does not support TLS") {
            return OpenError::Tls(
                "the server offers none: turn it on there, or say sslmode=disable in the \
                 database url to send everything in the clear"
                    .to_owned(),
            );
        }
        let refused = error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION);
        if refused && self.mode == Mode::Disable {
            let advice = "the database url says sslmode=disable; a server that takes encrypted \
                          connections alone needs sslmode=verify-full";
            return OpenError::Connect(format!("{said}; {advice}"));
        }
        OpenError::Connect(said)
    }

    fn advise(&self, cause: &rustls::Error) -> String {
        use CertificateError::{NotValidForName, NotValidForNameContext, Other, UnknownIssuer};
        match (cause, &self.roots) {
            (rustls::Error::InvalidCertificate(UnknownIssuer), Roots::System) => {
                "the server's certificate is signed by a CA that this system does not trust: name \
                 the CA's file with sslrootcert=PATH in the database url"
                    .to_owned()
            }
            (rustls::Error::InvalidCertificate(UnknownIssuer), Roots::File(path)) => format!(
                "the server's certificate is not signed by a CA in {path}: name the file of its CA \
                 with sslrootcert"
            ),
            (
                rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }),
                _,
            ) => format!(
                "{cause}: name the server in the database url as its certificate does, or leave \
                 the name unchecked with sslmode=verify-ca"
            ),
            // A form that the verifier doesn't take, as a self-signed certificate or one of X.509 v1.
            (rustls::Error::InvalidCertificate(Other(_)), _) => format!(
                "{cause}: the server needs an X.509 v3 certificate with a subjectAltName that a CA \
                 has signed and that is no CA's own"
            ),
            _ => cause.to_string(),
        }
    }
}

/// Takes the parameters that we read ourselves out of a URL.
fn take_ours(url: &str) -> Result<(String, Option<Mode>, Option<Roots>), String> {
    // A password may hold a question mark.
    let host = url.find('@').map_or(0, |at| at + 1);
    let Some(start) = url[host..].find('?').map(|at| host + at) else {
        return Ok((url.to_owned(), None, None));
    };
    let (mut mode, mut roots) = (None, None);
    let mut theirs = Vec::new();
    for pair in url[start + 1..].split('&') {
        match pair.split_once('=') {
            Some(("sslmode", text)) => mode = Some(parse_mode(text)?),
            Some(("sslrootcert", "system")) => roots = Some(Roots::System),
            Some(("sslrootcert", path)) => {
                let path = percent_decode_str(path).decode_utf8();
                let path = path.map_err(|_| "sslrootcert is not valid UTF-8".to_owned())?;
                roots = Some(Roots::File(path.into_owned()));
            }
            _ => theirs.push(pair),
        }
    }
    let mark = if theirs.is_empty() { "" } else { "?" };
    Ok((format!("{}{mark}{}", &url[..start], theirs.join("&")), mode, roots))
}

fn parse_mode(text: &str) -> Result<Mode, String> {
    match text {
        "disable" => Ok(Mode::Disable),
        "prefer" => Ok(Mode::Prefer),
        "require" => Ok(Mode::Require),
        "verify-ca" => Ok(Mode::VerifyCa),
        "verify-full" => Ok(Mode::VerifyFull),
        _ => Err("sslmode is disable, prefer, require, verify-ca or verify-full".to_owned()),
    }
}

/// What holds for what was said, or was not.
fn decide(config: &Config, mode: Option<Mode>, roots: Option<&Roots>) -> Result<Mode, String> {
    let hosts = config.get_hosts();
    if !hosts.is_empty() && hosts.iter().all(|host| matches!(host, Host::Unix(_))) {
        // Nobody is between the two ends of a socket in the file system.
        return Ok(Mode::Disable);
    }
    let addresses = config.get_hostaddrs();
    let is_near = match addresses.is_empty() {
        true => hosts.iter().all(is_loopback),
        false => addresses.iter().all(IpAddr::is_loopback),
    };
    match (mode, roots) {
        (None, None) if is_near => Ok(Mode::Prefer),
        (None, _) => Ok(Mode::VerifyFull),
        (Some(mode), Some(Roots::System)) if mode < Mode::VerifyFull => {
            Err("sslrootcert=system needs sslmode=verify-full".to_owned())
        }
        (Some(mode), Some(_)) if mode < Mode::Require => {
            Err("sslrootcert verifies nothing with this sslmode: say verify-full".to_owned())
        }
        // As in libpq: who names a CA wants it checked.
        (Some(Mode::Require), Some(_)) => Ok(Mode::VerifyCa),
        (Some(mode), _) => Ok(mode),
    }
}

fn is_loopback(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
        }
        Host::Unix(_) => true,
    }
}

impl Roots {
    fn read(&self) -> Result<RootCertStore, OpenError> {
        let mut store = RootCertStore::empty();
        match self {
            Self::System => {
                let found = rustls_native_certs::load_native_certs();
                store.add_parsable_certificates(found.certs);
                if store.is_empty() {
                    let message = "no CA that this system trusts can be read: install \
                                   ca-certificates, or name the server's CA with sslrootcert=PATH \
                                   in the database url";
                    return Err(OpenError::Tls(message.to_owned()));
                }
            }
            Self::File(path) => {
                let fault = |error: &dyn std::fmt::Display| {
                    OpenError::Tls(format!("sslrootcert {path} can't be read: {error}"))
                };
                for found in CertificateDer::pem_file_iter(path).map_err(|error| fault(&error))? {
                    let found = found.map_err(|error| fault(&error))?;
                    store.add(found).map_err(|error| fault(&error))?;
                }
                if store.is_empty() {
                    return Err(fault(&"it holds no certificate in PEM form"));
                }
            }
        }
        Ok(store)
    }
}

/// What TLS itself has found wrong.
fn handshake_fault(error: &Error) -> Option<&rustls::Error> {
    let cause = std::error::Error::source(error)?.downcast_ref::<std::io::Error>()?;
    cause.get_ref()?.downcast_ref()
}

/// Verifies that a CA has signed the server's certificate, if any are given; never its name.
#[derive(Debug)]
struct Lenient {
    roots: Option<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            let end = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&end, roots, intermediates, now, algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match &self.roots {
            Some(_) => verify_tls12_signature(message, certificate, signed, &self.algorithms),
            // It would prove that an unknown holds an unknown's key.
            None => Ok(HandshakeSignatureValid::assertion()),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match &self.roots {
            Some(_) => verify_tls13_signature(message, certificate, signed, &self.algorithms),
            None => Ok(HandshakeSignatureValid::assertion()),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
