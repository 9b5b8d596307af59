use super::*;

#[test]
fn disks_are_read_and_those_without_an_end_left_out() {
    let endless = u64::MAX;
    let text = format!("default\t1000\t4000\ncold\t0\t{endless}\n");
    let disks = parse(&text).unwrap();
    assert_eq!(disks.len(), 1);
    assert_eq!(disks["default"], Disk { used: 1_000, total: 4_000 });
    assert!(parse("").unwrap().is_empty());
}

#[test]
fn another_answer_is_an_error_that_shows_it() {
    for text in ["<html>", "default\t1", "default\t-1\t2", "default\t1\t2\t3", "a\tb\tc"] {
        assert!(parse(text).is_err(), "{text}");
    }
}
