use super::*;
use crate::{fault::Faults, manifest::Operation};

fn log(folder: &std::path::Path) -> Log {
    Log::new(Storage::open(&folder.display().to_string(), &[], Faults::default()).unwrap())
}

fn empty() -> Commit {
    Commit {
        format: FORMAT,
        version: 0,
        at: Timestamp::MIN,
        operation: Operation::Ingest,
        removed: Vec::new(),
        added: Vec::new(),
        released: Vec::new(),
        quarantined: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_number_their_commits_without_gaps() {
    let folder = tempfile::tempdir().unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let log = log(folder.path());
            tokio::spawn(async move {
                for _ in 0..10 {
                    let decide = |_: &State| Ok::<_, LogError>(Some(empty()));
                    log.append(State::default(), decide).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let log = log(folder.path());
    let history = log.history().await.unwrap();
    let versions: Vec<u64> = history.iter().map(|commit| commit.version).collect();
    assert_eq!(versions, (1..=80).collect::<Vec<_>>());
    assert!(history.is_sorted_by_key(|commit| commit.at));
    assert_eq!(log.checkpoints().await.unwrap(), [32, 64]);
    assert_eq!(log.latest().await.unwrap().version, 80);
    for version in [1, 31, 32, 33, 79] {
        assert_eq!(log.at(AsOf::Version(version)).await.unwrap().version, version);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_entry_is_told_and_not_passed_over() {
    for (content, want) in [
        ("{", "is broken"),
        ("", "is broken"),
        (r#"{"format":2}"#, "format 2, this Bursar knows 1"),
        (
            r#"{"format":1,"version":7,"at":"2026-10-01T00:00:00Z","operation":"ingest"}"#,
            "version 7",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path());
        std::fs::write(folder.path().join("log/00000000000000000001.json"), content).unwrap();
        let error = log.latest().await.unwrap_err().to_string();
        assert!(error.contains(want), "{content}: {error}");
    }
}
