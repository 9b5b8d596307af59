use std::{
    fs::{self, File},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use metrics_exporter_prometheus::PrometheusBuilder;

use super::*;
use crate::{Remote, Tracker, TrackerConfig, names};

/// Fills the spool's queue, of one place, while its thread waits for the files.
async fn fill(spool: &Spool) {
    let claiming = spool.clone();
    tokio::spawn(async move { claiming.claim().await });
    tokio::task::yield_now().await;
    let mut ticks = tokio::time::interval(Duration::from_millis(2));
    let filling = async {
        loop {
            let is_refused = Arc::new(AtomicBool::new(false));
            let refused = is_refused.clone();
            let release = Record::Release { request_id: uuid::Uuid::nil(), until: None };
            spool.append(release, move |is_kept| refused.store(!is_kept, Ordering::Relaxed));
            // What is in the queue now is behind the claim, which the thread has taken.
            if !is_refused.load(Ordering::Relaxed) {
                break;
            }
            ticks.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), filling).await.expect("it happens in time");
}

#[tokio::test]
async fn a_file_that_is_done_with_while_the_disk_is_busy_is_finished_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usage.jsonl");
    fs::write(&path, "no record\n").unwrap();
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let remote = Remote::new("http://127.0.0.1:9").unwrap();
    let open = || Tracker::open(remote, TrackerConfig::default()).unwrap();
    let inner = metrics::with_local_recorder(&recorder, open).0;
    let spool = Spool::open(path.clone(), 10_000, 1).unwrap();
    let mut claims = VecDeque::from(spool.claim().await);
    let replay = claims.len();
    let busy = File::open(path.with_extension("jsonl.lock")).unwrap();
    busy.lock().unwrap();
    fill(&spool).await;
    assert!(!round(&inner, &spool, &mut claims).await);
    assert_eq!((replay, claims.len()), (1, 1));
    drop(busy);
    // It is claimed no more once the disk has caught up.
    let mut ticks = tokio::time::interval(Duration::from_millis(2));
    while !claims.is_empty() {
        round(&inner, &spool, &mut claims).await;
        ticks.tick().await;
    }
    let undelivered = format!("{} 1\n", names::UNDELIVERED);
    assert!(handle.render().contains(&undelivered), "its line is not tried again");
    let files = fs::read_dir(folder.path()).unwrap();
    let left = files.filter(|file| {
        fs::read_to_string(file.as_ref().unwrap().path()).is_ok_and(|text| text == "no record\n")
    });
    assert_eq!(left.count(), 0);
}
