//! A vendor behind TLS proves its name; where it speaks HTTP/2, that is spoken.

use std::convert::Infallible;

use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio_rustls::TlsAcceptor;

use super::*;

pub(super) fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A server at `localhost` that speaks HTTP/2 alone.
pub(super) fn acceptor(authority: &CertifiedIssuer<'static, KeyPair>) -> TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// A vendor; its port.
async fn vendor(authority: &CertifiedIssuer<'static, KeyPair>) -> u16 {
    let acceptor = acceptor(authority);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust us goes away.
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let say = service_fn(|request: Request<hyper::body::Incoming>| async move {
                    assert_eq!(request.version(), http::Version::HTTP_2);
                    let body = message_answer(1000, 500).to_string();
                    Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from(body))))
                });
                let connection = http2::Builder::new(TokioExecutor::new());
                let _ = connection.serve_connection(TokioIo::new(stream), say).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn only_a_vendor_that_proves_its_name_is_sent_anything() {
    let (ours, other) = (authority("Test CA"), authority("Another CA"));
    let port = vendor(&ours).await;
    for (host, authority, status) in
        [("localhost", &ours, 200), ("localhost", &other, 502), ("127.0.0.1", &ours, 502)]
    {
        let bench = Bench::with(
            |_| Act::Say(Vec::new()),
            |config| {
                let upstream = &mut config.upstreams[0];
                upstream.url = format!("https://{host}:{port}").parse().unwrap();
                upstream.authority = Some(authority.pem().into_bytes());
                upstream.attempts = 1;
            },
        );
        let bench = bench.await;
        let answer = bench.send("/v1/messages", &message()).await;
        assert_eq!(answer.status.as_u16(), status, "{host}");
        let expected = if status == 200 { State::Settled } else { State::Released };
        assert_eq!(bench.calls().await[0].state, expected);
    }
}

#[tokio::test]
async fn a_call_that_no_connection_was_made_for_costs_nothing() {
    // Somebody listens, and does not greet.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let change = |config: &mut Config| {
        let upstream = &mut config.upstreams[0];
        upstream.url = format!("https://localhost:{port}").parse().unwrap();
        upstream.timeout = Duration::from_millis(100);
        upstream.attempts = 1;
    };
    let bench = Bench::with(|_| Act::Say(Vec::new()), change).await;
    let answer = bench.send("/v1/messages", &message()).await;
    assert_eq!(answer.status.as_u16(), 502);
    assert_eq!(bench.calls().await[0].state, State::Released);
}
