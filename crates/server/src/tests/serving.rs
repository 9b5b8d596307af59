//! Over a socket: it answers, and it stops.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

use super::*;

#[tokio::test]
async fn it_serves_until_it_is_told_to_stop() {
    let store: Arc<dyn Store> =
        Arc::new(Memory::new(Defaults::default(), Arc::new(Timestamp::now)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async {
        let _ = stopped.await;
    };
    let service = Service::new(store, Config::default());
    let running = tokio::spawn(crate::run(listener, service, shutdown));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = "GET /api/ai-budget/health HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut buffer = [0; 1024];
    let read = stream.read(&mut buffer).await.unwrap();
    let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
    assert!(text.starts_with("HTTP/1.1 200") && text.contains(r#""status":"healthy""#), "{text}");
    stop.send(()).unwrap();
    // The idle connection is closed, and the service ends.
    assert_eq!(stream.read(&mut buffer).await.unwrap(), 0);
    running.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
