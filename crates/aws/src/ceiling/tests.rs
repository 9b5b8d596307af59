use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn ceiling(folder: &tempfile::TempDir, most: u32) -> Ceiling {
    Ceiling::new(&folder.path().join("new/aws-calls"), most)
}

#[test]
fn the_ceiling_is_kept_by_all_who_share_the_file_and_ends_with_the_day() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (ceiling(&folder, 3), ceiling(&folder, 3));
    let today = at("2026-11-26T23:59:59Z");
    assert_eq!(one.take(today).unwrap(), 1);
    assert_eq!(other.take(today).unwrap(), 2);
    assert_eq!(one.take(today).unwrap(), 3);
    let refused = other.take(today).unwrap_err().to_string();
    assert!(refused.starts_with("3 paid calls were made on 2026-11-26 (UTC)"), "{refused}");
    assert_eq!(one.take(at("2026-11-27T00:00:00Z")).unwrap(), 1);
    // The clock steps back: the day that was begun goes on.
    assert_eq!(one.take(today).unwrap(), 2);
    assert_eq!(one.made(at("2026-11-27T10:00:00Z")).unwrap(), 2);
}

#[test]
fn threads_at_once_never_pass_it() {
    let folder = tempfile::tempdir().unwrap();
    let now = at("2026-11-26T12:00:00Z");
    let made: usize = std::thread::scope(|scope| {
        let take = || (0..10).filter(|_| ceiling(&folder, 25).take(now).is_ok()).count();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(made, 25);
}

#[test]
fn a_file_that_holds_something_else_stops_paid_calls_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let ceiling = ceiling(&folder, 3);
    let now = at("2026-11-26T12:00:00Z");
    for text in ["tomorrow 3\n", "2026-11-26\n", "2026-11-26 -1\n", "2026-11-26 99999999999\n"] {
        std::fs::create_dir_all(folder.path().join("new")).unwrap();
        std::fs::write(folder.path().join("new/aws-calls"), text).unwrap();
        let error = ceiling.take(now).unwrap_err().to_string();
        assert!(error.contains("aws-calls") && error.contains("delete it"), "{error}");
    }
}
