use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use super::*;

/// Answers with these texts, one a connection; an empty one hangs up. How many came is counted.
fn scripted(answers: &'static [&'static str]) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let number = counted.fetch_add(1, Ordering::SeqCst);
            let mut reader = BufReader::new(stream);
            let (mut line, mut length) = (String::new(), 0);
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                let value = line.strip_prefix("content-length: ");
                length = value.map_or(length, |text| text.trim().parse().unwrap());
                line.clear();
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let answer = answers[number.min(answers.len() - 1)];
            let _ = reader.get_mut().write_all(answer.as_bytes());
        }
    });
    (format!("http://{address}"), count)
}

const GOOD: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
const BROKEN: &str = "HTTP/1.1 500 X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
const SOON: &str = "HTTP/1.1 429 X\r\nretry-after: 0\r\nconnection: close\r\n\
                    content-length: 0\r\n\r\n";
const MUCH_LATER: &str = "HTTP/1.1 503 X\r\nretry-after: 3600\r\nconnection: close\r\n\
                          content-length: 0\r\n\r\n";
/// A body that never comes.
const SLOW: &str = "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{}";
const DENIED: &str = "HTTP/1.1 400 X\r\nconnection: close\r\ncontent-length: 51\r\n\r\n\
                      {\"__type\":\"x#AccessDeniedException\",\"message\":\"no\"}";

fn client(endpoint: &str) -> Client {
    let milli = Duration::from_millis(1);
    let patience =
        Patience { attempts: 3, pause: milli, pause_most: milli * 10, time: milli * 2_000 };
    Client::new(Access::fixed(endpoint), None).unwrap().with_patience(patience)
}

async fn asked(api: Api, answers: &'static [&'static str]) -> (Result<Bytes, AwsError>, usize) {
    let (endpoint, count) = scripted(answers);
    let ask = Ask {
        api,
        action: "Something",
        region: None,
        method: Method::POST,
        target: "/",
        headers: &[],
        body: Bytes::from_static(b"{}"),
    };
    let answer = client(&endpoint).ask(&ask).await;
    (answer, count.load(Ordering::SeqCst))
}

#[tokio::test]
async fn what_may_do_later_is_tried_again_within_bounds() {
    for (answers, attempts) in
        [(&[GOOD][..], 1), (&[BROKEN, GOOD], 2), (&[SOON, "", GOOD], 3), (&["", SOON, GOOD], 3)]
    {
        let (answer, count) = asked(Api::Budgets, answers).await;
        assert_eq!(answer.unwrap(), "{}", "{answers:?}");
        assert_eq!(count, attempts, "{answers:?}");
    }
    let (answer, count) = asked(Api::Budgets, &[BROKEN]).await;
    assert!(matches!(answer, Err(AwsError::Busy { attempts: 3, .. })), "{answer:?}");
    assert_eq!(count, 3);
    let (answer, _) = asked(Api::Budgets, &[""]).await;
    assert!(matches!(answer, Err(AwsError::Unreachable { attempts: 3, .. })), "{answer:?}");
}

#[tokio::test]
async fn a_pause_that_is_too_long_and_a_refusal_end_it_at_once() {
    let started = Instant::now();
    let (answer, count) = asked(Api::Budgets, &[MUCH_LATER]).await;
    assert!(matches!(answer, Err(AwsError::Busy { attempts: 1, .. })), "{answer:?}");
    assert_eq!(count, 1);
    let (answer, count) = asked(Api::Budgets, &[DENIED]).await;
    let said = answer.unwrap_err().to_string();
    assert_eq!(said, "AWS Budgets refused Something with AccessDeniedException: no");
    assert_eq!(count, 1);
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn an_answer_that_does_not_end_is_waited_for_so_long() {
    let (answer, count) = asked(Api::Budgets, &[SLOW, GOOD]).await;
    assert_eq!((answer.unwrap(), count), (Bytes::from_static(b"{}"), 2));
}

#[tokio::test]
async fn without_a_ceiling_no_paid_call_is_made() {
    let (answer, count) = asked(Api::CostExplorer, &[GOOD]).await;
    let said = answer.unwrap_err().to_string();
    assert!(said.contains("no ceiling was set"), "{said}");
    assert_eq!(count, 0);
}
