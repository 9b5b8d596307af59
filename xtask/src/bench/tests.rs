use super::client::{self, Answer};
use super::script::{Script, Speaker};
use super::{cases, machine, report};

#[test]
fn an_answer_is_known_by_its_length() {
    let whole = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}";
    for cut in 0..whole.len() {
        assert_eq!(client::parse(&whole[..cut]).unwrap(), None, "{cut} bytes");
    }
    let answer = Answer { status: 201, body: whole.len() - 2, end: whole.len() };
    assert_eq!(client::parse(whole).unwrap(), Some(answer));
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    for cut in 0..chunked.len() {
        assert_eq!(client::parse(&chunked[..cut]).unwrap(), None, "{cut} bytes");
    }
    let found = client::parse(chunked).unwrap().map(|answer| answer.end);
    assert_eq!(found, Some(chunked.len()));
}

#[test]
fn a_pair_settles_what_it_reserved() {
    let mut speaker = Speaker::new(Script::Pairs { tenants: 1 }, 0, 1, 7);
    let (mut reserve, mut settle) = (Vec::new(), Vec::new());
    assert!(speaker.write(&mut reserve) && speaker.write(&mut settle));
    let (reserve, settle) =
        (String::from_utf8(reserve).unwrap(), String::from_utf8(settle).unwrap());
    let body: serde_json::Value =
        serde_json::from_str(reserve.split_once("\r\n\r\n").unwrap().1).unwrap();
    let id = body["request_id"].as_str().unwrap();
    assert!(settle.starts_with(&format!("POST /api/v1/reservations/{id}/settle ")), "{settle}");
}

#[test]
fn connections_share_the_tenants_out() {
    let mut seen = Vec::new();
    for index in 0..3 {
        let mut speaker = Speaker::new(Script::SetEach { tenants: 5 }, index, 3, 7);
        let mut out = Vec::new();
        while speaker.write(&mut out) {
            let text = String::from_utf8(out.clone()).unwrap();
            seen.push(text.split("bench-").nth(1).unwrap()[..6].parse::<u64>().unwrap());
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3, 4]);
}

#[test]
fn ticks_are_counted_behind_any_name() {
    let stat = "12 (a ) b) S 1 12 12 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 99 0 0";
    assert_eq!(machine::ticks(stat), Some(300));
}

#[test]
fn the_median_is_the_middle() {
    assert_eq!(cases::median(&[3.0, 1.0, 2.0], |value| *value), 2.0);
}

#[test]
fn a_section_replaces_the_last_one_and_nothing_else() {
    let first = report::replaced("# Head\n", "budget", "one\n");
    let second = report::replaced(&format!("{first}\nprose\n"), "budget", "two\n");
    assert!(second.starts_with("# Head\n") && second.ends_with("prose\n"), "{second}");
    assert!(second.contains("two") && !second.contains("one"), "{second}");
}

#[test]
fn a_password_stays_out_of_the_report() {
    assert_eq!(report::masked("postgres://me:secret@host/db"), "postgres://…@host/db");
    assert_eq!(report::masked("--postgres-url=postgres://me:s@host"), "postgres://…@host");
    assert_eq!(report::masked("--quick"), "--quick");
}
