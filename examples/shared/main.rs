//! A service of which there are several: what one is refused, the others know. README.md tells the story.

use std::{env, error::Error, time::Duration};

use axum::{Extension, Router, routing::post};
use meter::{Call, Estimate, MeterLayer, Remote, Settings, Tracker, TrackerConfig, Usage};

/// Stands for a call of a model.
async fn summarise(Extension(call): Extension<Call>) -> &'static str {
    call.track(Usage::new(1000, 420));
    "Ten volunteers planted forty trees.\n"
}

fn setting(name: &str, default: &str) -> String {
    env::var(name).unwrap_or_else(|_| default.to_owned())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let bursar = Remote::new(&setting("SHARED_BURSAR", "http://127.0.0.1:3010"))?;
    let spool = env::temp_dir().join("ai-usage-shared.jsonl");
    let spool = env::var_os("SHARED_SPOOL").map_or(spool, Into::into);
    let config = TrackerConfig { spool: Some(spool), ..TrackerConfig::default() };
    let tracker = Tracker::open(bursar.clone(), config)?;
    let largest = Estimate::new("claude-3-5-sonnet-20241022".parse()?, 1000, 500);
    let redis = setting("SHARED_REDIS", "redis://127.0.0.1:6379");
    let settings = Settings::default()
        .with_estimate(move |_| Some(largest.clone()))
        .with_redis(redis.into(), Duration::from_millis(50));
    let layer = MeterLayer::new(bursar, tracker.clone(), settings)?;

    let app = Router::new().route("/summaries", post(summarise)).layer(layer);
    let listener =
        tokio::net::TcpListener::bind(setting("SHARED_LISTEN", "127.0.0.1:8080")).await?;
    let stop = async { tokio::signal::ctrl_c().await.expect("signals can be waited for") };
    axum::serve(listener, app).with_graceful_shutdown(stop).await?;
    tracker.close().await;
    Ok(())
}
