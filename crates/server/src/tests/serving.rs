//! Over a socket: it answers, and it stops.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

use super::*;

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    end: JoinHandle<Result<(), crate::RunError>>,
}

async fn start(store: Arc<dyn Store>, config: Config) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async {
        let _ = stopped.await;
    };
    let end = tokio::spawn(crate::run(listener, Service::new(store, config), shutdown));
    Running { address, stop, end }
}

fn memory() -> Memory {
    Memory::new(Defaults::default(), Arc::new(Timestamp::now))
}

/// Sends, and reads what comes first.
async fn ask(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut buffer = [0; 2048];
    let read = stream.read(&mut buffer).await.unwrap();
    String::from_utf8_lossy(&buffer[..read]).into_owned()
}

const HEALTH: &str = "GET /api/ai-budget/health HTTP/1.1\r\nhost: localhost\r\n\r\n";
const TENANT: &str = "GET /api/ai-budget/tenant/acme HTTP/1.1\r\nhost: localhost\r\n\r\n";

#[tokio::test]
async fn it_serves_until_it_is_told_to_stop() {
    let service = start(Arc::new(memory()), Config::default()).await;
    let mut stream = TcpStream::connect(service.address).await.unwrap();
    let text = ask(&mut stream, HEALTH).await;
    assert!(text.starts_with("HTTP/1.1 200") && text.contains(r#""status":"healthy""#), "{text}");
    service.stop.send(()).unwrap();
    // The idle connection is closed, and the service ends.
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    service.end.await.unwrap().unwrap();
    assert!(TcpStream::connect(service.address).await.is_err());
}

#[tokio::test]
async fn a_panic_costs_neither_the_connection_nor_the_service() {
    let store = Arc::new(Troubled::new(memory()));
    let service = start(store.clone(), Config::default()).await;
    let mut stream = TcpStream::connect(service.address).await.unwrap();
    // Once it answers, its prices are loaded.
    ask(&mut stream, HEALTH).await;
    store.panic(true);
    let text = ask(&mut stream, TENANT).await;
    assert!(text.starts_with("HTTP/1.1 500") && text.contains(r#""code":"internal""#), "{text}");
    store.panic(false);
    let text = ask(&mut stream, TENANT).await;
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
}

#[tokio::test]
async fn a_body_that_stops_halfway_is_a_408_and_ends_the_connection() {
    let config = Config { body_timeout: Duration::from_millis(50), ..Config::default() };
    let service = start(Arc::new(memory()), config).await;
    let mut stream = TcpStream::connect(service.address).await.unwrap();
    let half = "POST /api/ai-budget/track HTTP/1.1\r\nhost: localhost\r\n\
        content-type: application/json\r\ncontent-length: 200\r\n\r\n{\"tenant_id\":";
    let text = ask(&mut stream, half).await;
    assert!(text.starts_with("HTTP/1.1 408") && text.contains("body_timeout"), "{text}");
    // What is still to come of the body must not be taken for a request.
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    let mut stream = TcpStream::connect(service.address).await.unwrap();
    assert!(ask(&mut stream, HEALTH).await.starts_with("HTTP/1.1 200"));
}
