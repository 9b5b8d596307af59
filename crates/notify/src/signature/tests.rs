use super::*;

const SECRET: &[u8] = b"a secret of the receiver's";
const BODY: &[u8] = b"{\"id\":\"7\"}";
const AT: i64 = 1_795_694_400;

fn now(after: i64) -> Timestamp {
    Timestamp::from_second(AT + after).unwrap()
}

/// Made with `printf '1795694400.{"id":"7"}' | openssl dgst -sha256 -hmac "$SECRET"`.
#[test]
fn a_signature_is_what_other_programs_make_of_it() {
    let expected = "v1=f81947d5775d44d4e485c177cb3f831fd01cc6d71c9c3d7339398c3cafa048c2";
    assert_eq!(sign(SECRET, AT, BODY), expected);
}

#[test]
fn what_was_signed_is_believed_and_nothing_else() {
    let signature = sign(SECRET, AT, BODY);
    let time = AT.to_string();
    let check = |secret: &[u8], time: &str, signature: &str, body: &[u8], after, expected| {
        assert_eq!(verify(secret, time, signature, body, now(after)), expected);
    };
    check(SECRET, &time, &signature, BODY, 0, Ok(()));
    check(SECRET, &time, &signature, BODY, 300, Ok(()));
    check(SECRET, &time, &signature, BODY, -300, Ok(()));
    check(SECRET, &time, &signature, BODY, 301, Err(SignatureError::Window));
    check(SECRET, &time, &signature, BODY, -301, Err(SignatureError::Window));
    let rotated = format!("v1={}, {signature}", "0".repeat(64));
    check(SECRET, &time, &rotated, BODY, 0, Ok(()));
    let wrong = Err(SignatureError::Signature);
    check(b"another", &time, &signature, BODY, 0, wrong);
    check(SECRET, &time, &signature, b"{\"id\":\"8\"}", 0, wrong);
    check(SECRET, &time, &signature[..20], BODY, 0, wrong);
    check(SECRET, &time, &signature.replace("v1", "v0"), BODY, 0, wrong);
    check(SECRET, &time, "", BODY, 0, wrong);
    check(SECRET, &time, "v1=é", BODY, 0, wrong);
    // The same signature at another time is that of another text.
    check(SECRET, &(AT + 1).to_string(), &signature, BODY, 1, wrong);
    check(SECRET, "soon", &signature, BODY, 0, Err(SignatureError::Timestamp));
}
