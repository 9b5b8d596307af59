use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use super::*;

fn open(path: &Path) -> Files {
    Files::open(path.to_owned(), 10_000, Arc::new(AtomicU64::new(0))).unwrap()
}

fn lines(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// All that is claimed, in no order.
fn read(files: &mut Files) -> Vec<String> {
    let mut all = Vec::new();
    for mut claim in files.claim() {
        all.extend(claim.next(100).unwrap().0);
        files.finish(claim);
    }
    all.sort();
    all
}

#[test]
fn what_was_written_is_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new").join("spool");
    let mut files = open(&path);
    assert_eq!(files.append(&lines(&["a", "b"])).unwrap(), 2);
    assert_eq!(files.append(&lines(&["c"])).unwrap(), 1);
    assert_eq!(read(&mut files), lines(&["a", "b", "c"]));
    assert_eq!(read(&mut files), Vec::<String>::new());
}

#[test]
fn a_claim_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = open(&folder.path().join("spool"));
    files.append(&lines(&["a", "b", "c"])).unwrap();
    let mut claim = files.claim().remove(0);
    let (first, end) = claim.next(2).unwrap();
    assert_eq!(first, lines(&["a", "b"]));
    assert_eq!(claim.next(2).unwrap().0, first, "nothing is done with yet");
    claim.done(end);
    assert_eq!(claim.next(2).unwrap().0, lines(&["c"]));
}

#[test]
fn what_a_crash_has_cut_off_spoils_no_other_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    let mut files = open(&path);
    fs::write(&path, "a\ncut o").unwrap();
    files.append(&lines(&["b"])).unwrap();
    assert_eq!(read(&mut files), lines(&["a", "b", "cut o"]));
    fs::write(&path, "cut o").unwrap();
    let mut next = open(&path);
    next.append(&lines(&["c"])).unwrap();
    assert_eq!(read(&mut next), lines(&["c", "cut o"]));
}

#[test]
fn processes_share_a_path_and_inherit_what_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    let (mut one, mut other) = (open(&path), open(&path));
    one.append(&lines(&["a"])).unwrap();
    other.append(&lines(&["b"])).unwrap();
    let claims = one.claim();
    assert_eq!(claims.len(), 1);
    assert!(other.claim().is_empty(), "one delivers it");
    other.append(&lines(&["c"])).unwrap();
    // One is gone, and has delivered nothing.
    drop((claims, one));
    assert_eq!(read(&mut other), lines(&["a", "b", "c"]));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "the file and its lock");
}

#[test]
fn a_spool_has_a_limit() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = Arc::new(AtomicU64::new(0));
    let path = folder.path().join("spool");
    let mut files = Files::open(path, 10, bytes.clone()).unwrap();
    assert_eq!(files.append(&lines(&["1234", "5678", "9"])).unwrap(), 2);
    assert_eq!(bytes.load(Ordering::Relaxed), 10);
    let claims = files.claim();
    assert_eq!(files.append(&lines(&["9"])).unwrap(), 0, "what is being delivered counts");
    claims.into_iter().for_each(|claim| files.finish(claim));
    assert_eq!(bytes.load(Ordering::Relaxed), 0);
    assert_eq!(files.append(&lines(&["9"])).unwrap(), 1);
}

#[test]
fn usage_is_nobody_elses_business() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    let mut files = open(&path);
    files.append(&lines(&["a"])).unwrap();
    files.reject("b");
    for name in ["spool", "spool.rejected"] {
        let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}
