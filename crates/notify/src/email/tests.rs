use std::time::Instant;

use super::*;
use crate::testing::{Mail, Post, authority, message};

fn settings(server: &Mail, tls: MailTls, authority: Authority) -> EmailSettings {
    EmailSettings {
        host: "localhost".to_owned(),
        port: Some(server.port()),
        tls,
        user: None,
        password: None,
        from: "Bursar <bursar@example.com>".to_owned(),
        to: vec!["ops@example.com".to_owned(), "Zoë <zoe@example.com>".to_owned()],
        authority,
    }
}

#[tokio::test]
async fn mail_goes_out_by_starttls_by_tls_and_plainly_to_this_machine() {
    let (certificate, key) = authority();
    for tls in [MailTls::StartTls, MailTls::Tls, MailTls::None] {
        let server = Mail::start(tls, &certificate, &key, Post::default()).await;
        let settings = EmailSettings {
            user: Some("bursar".to_owned()),
            password: Some(SecretString::from("s3cret")),
            ..settings(&server, tls, Some(certificate.clone().into_bytes()))
        };
        let email = Email::new(&settings).unwrap();
        let message = message(2);
        email.send(&message).await.unwrap();
        email.send(&message).await.unwrap();
        let [first, second] = server.taken().try_into().unwrap();
        assert_eq!(first.tls, tls != MailTls::None);
        assert_eq!(first.login.as_deref(), Some("AGJ1cnNhcgBzM2NyZXQ="));
        assert_eq!(first.from, "bursar@example.com");
        assert_eq!(first.to, ["ops@example.com", "zoe@example.com"]);
        let name = |mail: &str| {
            let line = mail.lines().find(|line| line.starts_with("Message-ID:"));
            line.map(str::to_owned).unwrap()
        };
        assert_eq!(name(&first.data), format!("Message-ID: <{}@example.com>", message.id()));
        assert_eq!(name(&first.data), name(&second.data));
        for part in ["Auto-Submitted: auto-generated", "text/plain", "text/html"] {
            assert!(first.data.contains(part), "{part} is not in\n{}", first.data);
        }
    }
}

#[tokio::test]
async fn a_tenants_admin_alone_gets_what_is_for_him() {
    let (certificate, key) = authority();
    let server = Mail::start(MailTls::None, &certificate, &key, Post::default()).await;
    let email = Email::new(&settings(&server, MailTls::None, None)).unwrap();
    let message = Message { recipient: Some("admin@acme.test".to_owned()), ..message(1) };
    email.send(&message).await.unwrap();
    let [taken] = server.taken().try_into().unwrap();
    assert_eq!(taken.to, ["admin@acme.test"]);
    assert!(!taken.data.contains("ops@example.com"));
    let wrong = Message { recipient: Some("nobody\r\nBcc: x@y.z".to_owned()), ..message };
    assert!(matches!(email.send(&wrong).await, Err(SendError::Never { .. })));
}

#[tokio::test]
async fn a_server_without_tls_or_with_a_strangers_certificate_is_told_nothing() {
    let (certificate, key) = authority();
    // It does not offer STARTTLS: somebody in between may have taken the offer away.
    let server = Mail::start(MailTls::None, &certificate, &key, Post::default()).await;
    let trusted = Some(certificate.clone().into_bytes());
    let email = Email::new(&settings(&server, MailTls::StartTls, trusted)).unwrap();
    let error = email.send(&message(1)).await.unwrap_err();
    assert!(matches!(error, SendError::Later { .. }), "{error}");
    for tls in [MailTls::StartTls, MailTls::Tls] {
        let server = Mail::start(tls, &certificate, &key, Post::default()).await;
        let email = Email::new(&settings(&server, tls, None)).unwrap();
        let error = email.send(&message(1)).await.unwrap_err();
        assert!(matches!(error, SendError::Later { .. }), "{error}");
        assert_eq!(server.taken().len(), 0);
    }
    assert_eq!(server.taken().len(), 0);
}

#[tokio::test]
async fn a_refusal_is_final_and_everything_else_may_pass() {
    let (certificate, key) = authority();
    let check = async |post: Post, is_final: bool, says: &str| {
        let server = Mail::start(MailTls::None, &certificate, &key, post).await;
        let email = Email::new(&settings(&server, MailTls::None, None)).unwrap();
        let error = email.send(&message(1)).await.unwrap_err();
        assert_eq!(matches!(error, SendError::Never { .. }), is_final, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    };
    check(Post { rcpt: "550 5.1.1 no such user", ..Post::default() }, true, "no such user").await;
    check(Post { rcpt: "450 4.2.0 greylisted", ..Post::default() }, false, "greylisted").await;
    check(Post { data: "554 5.7.1 spam", ..Post::default() }, true, "spam").await;
    check(Post { greeting: "421 4.3.2 closing", ..Post::default() }, false, "closing").await;

    let server = Mail::start(
        MailTls::None,
        &certificate,
        &key,
        Post { auth: "535 5.7.8 wrong password", ..Post::default() },
    )
    .await;
    let settings = EmailSettings {
        user: Some("bursar".to_owned()),
        password: Some(SecretString::from("s3cret")),
        ..settings(&server, MailTls::None, None)
    };
    let error = Email::new(&settings).unwrap().send(&message(1)).await.unwrap_err();
    assert!(matches!(error, SendError::Later { .. }), "{error}");
    assert!(!error.to_string().contains("s3cret"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_down_or_silent_is_left_within_the_time() {
    let (certificate, key) = authority();
    let server = Mail::start(MailTls::None, &certificate, &key, Post::default()).await;
    let down = settings(&server, MailTls::None, None);
    drop(server);
    let error = Email::new(&down).unwrap().send(&message(1)).await.unwrap_err();
    assert!(matches!(error, SendError::Later { .. }), "{error}");

    let silent = Post { greeting: "", ..Post::default() };
    let server = Mail::start(MailTls::None, &certificate, &key, silent).await;
    let email = Email::new(&settings(&server, MailTls::None, None)).unwrap();
    let begun = Instant::now();
    let error = email.with_total(Duration::from_millis(200)).send(&message(1)).await.unwrap_err();
    assert!(error.to_string().contains("has not taken it in 0.2 s"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn what_can_not_be_meant_is_refused() {
    let good = EmailSettings {
        host: "mail.example.com".to_owned(),
        port: None,
        tls: MailTls::StartTls,
        user: None,
        password: None,
        from: "bursar@example.com".to_owned(),
        to: vec![],
        authority: None,
    };
    Email::new(&good).unwrap();
    let check = |settings: EmailSettings, says: &str| {
        let error = Email::new(&settings).err().unwrap();
        assert!(error.contains(says), "{error}");
    };
    check(EmailSettings { tls: MailTls::None, ..good.clone() }, "encrypted");
    check(EmailSettings { from: "bursar".to_owned(), ..good.clone() }, "no mail address");
    check(EmailSettings { to: vec!["a b@c".to_owned()], ..good.clone() }, "no mail address");
    check(EmailSettings { user: Some("me".to_owned()), ..good.clone() }, "password");
    check(EmailSettings { host: "a b".to_owned(), ..good.clone() }, "no host");
    check(EmailSettings { authority: Some(b"x".to_vec()), ..good.clone() }, "no certificate");
    let settings = EmailSettings { password: Some(SecretString::from("s3cret")), ..good };
    assert!(!format!("{settings:?}").contains("s3cret"));
}
