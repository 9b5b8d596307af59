//! The baseline of proxies: hyper in, hyper out, pooled connections, nothing read and nothing decided.

use std::net::SocketAddr;

use anyhow::Result;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

/// Where to listen, and where to pass to.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long)]
    upstream: SocketAddr,
}

type Outgoing = Client<HttpConnector, Incoming>;
type Reply = Response<UnsyncBoxBody<Bytes, hyper::Error>>;

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(arguments.listen, arguments.upstream))
}

async fn serve(listen: SocketAddr, upstream: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(listen).await?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Outgoing = Client::builder(TokioExecutor::new()).build(connector);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let client = client.clone();
        let pass = service_fn(move |request| pass(client.clone(), upstream, request));
        tokio::spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new();
            // Whoever hangs up ends the connection, no more.
            drop(connection.serve_connection(TokioIo::new(stream), pass).await);
        });
    }
}

async fn pass(
    client: Outgoing,
    upstream: SocketAddr,
    mut request: Request<Incoming>,
) -> Result<Reply, hyper::http::Error> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let target = Uri::builder().scheme("http").authority(upstream.to_string());
    *request.uri_mut() = target.path_and_query(path).build()?;
    match client.request(request).await {
        Ok(response) => Ok(response.map(|body| body.boxed_unsync())),
        Err(error) => {
            let body = Full::new(Bytes::from(error.to_string())).map_err(|never| match never {});
            Response::builder().status(StatusCode::BAD_GATEWAY).body(body.boxed_unsync())
        }
    }
}
