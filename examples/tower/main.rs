//! An axum service whose callers have a budget. README.md tells the story.

use std::error::Error;

use axum::{Extension, Router, routing::post};
use meter::{Call, Estimate, MeterLayer, Remote, Settings, Tracker, TrackerConfig, Usage};
use tokio::signal::unix::{SignalKind, signal};

/// Stands for a call of a model: the answer, and the tokens that its vendor reports.
async fn call_model() -> (&'static str, Usage) {
    ("Ten volunteers planted forty trees.\n", Usage::new(1000, 420))
}

async fn summarise(Extension(call): Extension<Call>) -> &'static str {
    // In a task of its own: a handler is dropped when its caller goes away.
    let work = async move {
        let (summary, usage) = call_model().await;
        call.track(usage);
        summary
    };
    tokio::spawn(work).await.expect("the model answers")
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let bursar = Remote::new("http://127.0.0.1:3010")?;
    let spool = Some(std::env::temp_dir().join("ai-usage.jsonl"));
    let config = TrackerConfig { spool, ..TrackerConfig::default() };
    let tracker = Tracker::open(bursar.clone(), config)?;
    let largest = Estimate::new("claude-3-5-sonnet-20241022".parse()?, 1000, 500);
    let settings = Settings::default().with_estimate(move |_| Some(largest.clone()));
    let layer = MeterLayer::new(bursar, tracker.clone(), settings)?;

    let app = Router::new().route("/summaries", post(summarise)).layer(layer);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    // Ctrl-C, or what Kubernetes and systemd send.
    let mut told = signal(SignalKind::terminate())?;
    let stop = async move {
        tokio::select! { _ = tokio::signal::ctrl_c() => {} _ = told.recv() => {} }
    };
    axum::serve(listener, app).with_graceful_shutdown(stop).await?;
    tracker.close().await;
    Ok(())
}
