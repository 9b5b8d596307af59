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

fn next(claim: &mut Claim, most: usize) -> Vec<String> {
    claim.next(most).unwrap().into_iter().map(|line| line.text).collect()
}

/// All that is claimed, in no order.
fn read(files: &mut Files) -> Vec<String> {
    let mut all = Vec::new();
    for mut claim in files.claim() {
        all.extend(next(&mut claim, 100));
        assert!(files.finish(claim).is_none());
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
    assert_eq!(next(&mut claim, 2), lines(&["a", "b"]));
    let first = claim.next(2).unwrap();
    assert_eq!(first[0].text, "a", "nothing is done with yet");
    claim.done(first[1].place.end);
    assert_eq!(next(&mut claim, 2), lines(&["c"]));
}

#[test]
fn what_is_left_comes_again_behind_what_has_come_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = Arc::new(AtomicU64::new(0));
    let path = folder.path().join("spool");
    // What is left is written where there is no room for more.
    let mut files = Files::open(path, 9, bytes.clone()).unwrap();
    files.append(&lines(&["a", "b", "c"])).unwrap();
    let mut claim = files.claim().remove(0);
    files.append(&lines(&["d"])).unwrap();
    let all = claim.next(100).unwrap();
    claim.leave(all[0].place.clone());
    claim.leave(all[2].place.clone());
    claim.done(all[2].place.end);
    assert!(files.finish(claim).is_none());
    assert_eq!(bytes.load(Ordering::Relaxed), 6);
    let mut claims = files.claim();
    assert_eq!(claims.len(), 1, "the file that was finished is gone");
    assert_eq!(next(&mut claims[0], 100), lines(&["d", "a", "c"]));
}

#[test]
fn a_claim_that_nobody_has_any_more_is_claimed_again() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = Arc::new(AtomicU64::new(0));
    let mut files = Files::open(folder.path().join("spool"), 100, bytes.clone()).unwrap();
    files.append(&lines(&["a"])).unwrap();
    let claim = files.claim().remove(0);
    assert!(files.claim().is_empty());
    assert_eq!(bytes.load(Ordering::Relaxed), 2);
    drop(claim);
    assert_eq!(read(&mut files), lines(&["a"]));
    assert_eq!(bytes.load(Ordering::Relaxed), 0);
}

#[test]
fn what_can_not_be_put_back_is_tried_again_from_where_it_was_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    let mut files = open(&path);
    files.append(&lines(&["a", "b", "c"])).unwrap();
    let mut claim = files.claim().remove(0);
    let all = claim.next(100).unwrap();
    claim.leave(all[1].place.clone());
    claim.done(all[2].place.end);
    // Nothing can be written where a folder is.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let mut claim = files.finish(claim).expect("it is given back");
    assert_eq!(next(&mut claim, 100), lines(&["b", "c"]));
    fs::remove_dir(&path).unwrap();
    claim.done(all[2].place.end);
    assert!(files.finish(claim).is_none());
    assert_eq!(read(&mut files), Vec::<String>::new());
}

#[test]
fn a_bounded_number_of_files_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = open(&folder.path().join("spool"));
    let mut claims = Vec::new();
    for _ in 0..40 {
        files.append(&lines(&["a"])).unwrap();
        claims.extend(files.claim());
    }
    assert_eq!(claims.len(), 16);
    // As many processes have left as many files.
    drop((claims, files));
    for number in 0..40 {
        let name = format!("spool.{number}.replay");
        fs::write(folder.path().join(name), "b\n").unwrap();
    }
    let mut files = open(&folder.path().join("spool"));
    let mut found = 0;
    loop {
        let claims = files.claim();
        if claims.is_empty() {
            break;
        }
        assert!(claims.len() <= 16);
        for mut claim in claims {
            found += next(&mut claim, 100).len();
            assert!(files.finish(claim).is_none());
        }
    }
    assert_eq!(found, 80);
}

#[test]
fn a_file_that_can_t_be_opened_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.1.replay");
    assert!(Claim::open(&path).unwrap().is_none(), "gone");
    std::os::unix::fs::symlink(&path, &path).unwrap();
    assert!(Claim::open(&path).is_err());
    let mut files = open(&folder.path().join("spool"));
    files.append(&lines(&["a"])).unwrap();
    assert_eq!(read(&mut files), lines(&["a"]), "it holds no other up");
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
    claims.into_iter().for_each(|claim| assert!(files.finish(claim).is_none()));
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
