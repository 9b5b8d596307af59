//! A service behind TLS proves its name, or nothing is sent.

use budget::{Escrow, EscrowError, Release, StoreError};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio_rustls::TlsAcceptor;

use super::*;

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Takes TLS off what comes to `localhost` at the port that is returned, and passes it on.
async fn terminate(authority: &CertifiedIssuer<'static, KeyPair>, service: SocketAddr) -> u16 {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (near, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust us goes away.
                let Ok(mut near) = acceptor.accept(near).await else { return };
                let mut far = tokio::net::TcpStream::connect(service).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn only_a_service_that_proves_its_name_is_asked() {
    let bursar = Bursar::start(memory());
    let (ours, other) = (authority("Test CA"), authority("Another CA"));
    let port = terminate(&ours, bursar.address).await;
    let release = || Release { key: uuid::Uuid::from_u128(7) };
    let ask = |host: &str, authority: &CertifiedIssuer<'static, KeyPair>| {
        let url = format!("https://{host}:{port}");
        let remote = Remote::trusting(&url, authority.pem().as_bytes()).unwrap();
        async move { remote.with_attempts(1).release(release()).await.unwrap_err() }
    };
    let answered = ask("localhost", &ours).await;
    assert!(matches!(answered, EscrowError::NotFound(_)), "{answered:?}");
    for (host, authority) in [("localhost", &other), ("127.0.0.1", &ours)] {
        let error = ask(host, authority).await;
        let EscrowError::Store(StoreError::Unavailable(cause)) = error else { panic!("{error:?}") };
        assert!(cause.to_string().contains("certificate"), "{host}: {cause}");
    }
}
