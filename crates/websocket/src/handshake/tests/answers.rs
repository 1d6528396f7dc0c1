//! What a client makes of answers.

use super::*;
use crate::deflate::{AnswerError, Offer};

/// The answer of the RFC's example opens the WebSocket.
//= RFC 6455 §1.3
//= type=test
#[test]
fn the_answer_of_the_rfc_opens() {
    let answer = answer_with("Sec-WebSocket-Protocol: chat\r\nX-Room: 7\r\n");
    let opened = client().parse(answer.as_bytes()).expect("it is right");
    let Answer::Opened(opened) = opened else { panic!("{opened:?}") };
    assert_eq!((opened.protocol(), opened.deflate()), (Some("chat"), None));
    assert_eq!((opened.used(), opened.headers().text("x-room")), (answer.len(), Some("7")));
}

/// `Upgrade` says `websocket`, in any case, and nothing else.
//= RFC 6455 §4.1
//= type=test
#[test]
fn an_upgrade_to_something_else_fails() {
    let found = |found: &str| ClientError::Upgrade { found: found.into() };
    assert_eq!(failed(&answer_but("Upgrade", "")), found(""));
    assert_eq!(failed(&answer_but("Upgrade", "Upgrade: h2c")), found("h2c"));
    let two = "Upgrade: websocket, h2c";
    assert_eq!(failed(&answer_but("Upgrade", two)), found("websocket, h2c"));
    assert!(client().parse(answer_but("Upgrade", "upgrade: WebSocket").as_bytes()).is_ok());
}

/// `Connection` says `Upgrade`, in any case and among other words.
//= RFC 6455 §4.1
//= type=test
#[test]
fn a_connection_that_is_not_upgraded_fails() {
    let found = |found: &str| ClientError::Connection { found: found.into() };
    assert_eq!(failed(&answer_but("Connection", "")), found(""));
    assert_eq!(failed(&answer_but("Connection", "Connection: close")), found("close"));
    let words = answer_but("Connection", "Connection: keep-alive, upgrade");
    assert!(client().parse(words.as_bytes()).is_ok());
}

/// The server proves that it has understood this request.
//= RFC 6455 §4.1
//= type=test
#[test]
fn an_answer_to_another_key_fails() {
    assert_eq!(failed(&answer_but("Sec-WebSocket-Accept", "")), ClientError::NoAccept);
    let found = "s3pPLMBiTxaQ9kYGzzhZRbK+xOO=";
    let expected = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    assert_eq!(
        failed(&answer_but("Sec-WebSocket-Accept", &format!("Sec-WebSocket-Accept: {found}"))),
        ClientError::Accept { found: found.into(), expected: expected.into() }
    );
    let twice = answer_with(&format!("Sec-WebSocket-Accept: {expected}\r\n"));
    let repeated = Repeated { name: "Sec-WebSocket-Accept" };
    assert_eq!(failed(&twice), ClientError::Repeated(repeated));
    // Spaces around it do not count.
    let spaces = format!("Sec-WebSocket-Accept: \t {expected} \t");
    assert!(client().parse(answer_but("Sec-WebSocket-Accept", &spaces).as_bytes()).is_ok());
}

/// The server speaks one subprotocol, of those offered, or none.
//= RFC 6455 §4.1
//= type=test
#[test]
fn a_subprotocol_that_was_not_offered_fails() {
    for found in ["other", "CHAT", "chat, superchat", ""] {
        let answer = answer_with(&format!("Sec-WebSocket-Protocol: {found}\r\n"));
        assert_eq!(failed(&answer), ClientError::Protocol { found: found.into() });
    }
    let two = "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: superchat\r\n";
    let repeated = Repeated { name: "Sec-WebSocket-Protocol" };
    assert_eq!(failed(&answer_with(two)), ClientError::Repeated(repeated));
}

/// The server uses no extension that was not offered.
//= RFC 6455 §4.1
//= RFC 6455 §9.1
//= type=test
#[test]
fn an_extension_that_was_not_offered_fails() {
    let answer = |text| answer_with(&format!("Sec-WebSocket-Extensions: {text}\r\n"));
    let name = |name: &str| ClientError::Extension { name: name.into() };
    assert_eq!(failed(&answer("permessage-deflate")), name("permessage-deflate"));
    assert_eq!(failed(&answer("x-other; y=1")), name("x-other"));
    let malformed = failed(&answer("permessage-deflate;"));
    assert!(matches!(malformed, ClientError::List(ListError::Extension { .. })), "{malformed:?}");

    let offering = || Request::new(&url()).deflate(&[Offer::default()]).start(NONCE);
    let error = |text| offering().parse(answer(text).as_bytes()).map(drop).expect_err(text);
    assert_eq!(error("permessage-deflate, x-other"), name("x-other"));
    let twice = ListError::Twice { name: "Sec-WebSocket-Extensions", word: Offer::NAME.into() };
    assert_eq!(error("permessage-deflate, permessage-deflate"), ClientError::List(twice));
    let unknown = error("permessage-deflate; x");
    assert!(matches!(unknown, ClientError::Deflate(AnswerError::Malformed(_))), "{unknown:?}");
    let text = answer("permessage-deflate");
    let Ok(Answer::Opened(opened)) = offering().parse(text.as_bytes()) else {
        panic!("it is right")
    };
    assert!(opened.deflate().is_some());
}

/// A WebSocket that is elsewhere is told of, so that it can be followed.
//= RFC 6455 §4.1
//= type=test
#[test]
fn redirections_are_told() {
    for status in [301, 302, 303, 307, 308] {
        let answer =
            format!("HTTP/1.1 {status} There\r\nLocation: /v2\r\nContent-Length: 0\r\n\r\n");
        let Ok(Answer::Redirect(redirect)) = client().parse(answer.as_bytes()) else { panic!() };
        assert_eq!((redirect.status(), redirect.location()), (status, "/v2"));
        let there = url().join(redirect.location()).expect("it is an address");
        assert_eq!(there.to_string(), "ws://server.example.com/v2");
    }
    let nowhere = failed("HTTP/1.1 302 Found\r\n\r\n");
    assert!(matches!(nowhere, ClientError::Rejected(_)), "{nowhere:?}");
    let other = failed("HTTP/1.1 304 Not Modified\r\nLocation: /\r\n\r\n");
    assert!(matches!(other, ClientError::Rejected(_)), "{other:?}");
}

/// Any other answer is an error that says all that the server has said.
//= RFC 6455 §4.1
//= type=test
#[test]
fn other_answers_are_errors_with_all_that_was_said() {
    let answer = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\n\
                  Content-Length: 5\r\n\r\nsorryMORE";
    let error = failed(answer);
    let text = "the server answers 401 Unauthorized instead of opening a WebSocket";
    assert_eq!(error.to_string(), text);
    let ClientError::Rejected(rejected) = error else { panic!("{error:?}") };
    assert_eq!((rejected.status(), rejected.reason()), (401, "Unauthorized"));
    assert_eq!(rejected.header("www-authenticate"), Some(&b"Basic realm=\"x\""[..]));
    assert_eq!(rejected.headers().count(), 2);
    assert_eq!((rejected.length(), rejected.body(answer.as_bytes())), (Some(5), &b"sorry"[..]));

    let chunked = "HTTP/1.1 503 \r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\n";
    let ClientError::Rejected(rejected) = failed(chunked) else { panic!("it is no 101") };
    assert_eq!((rejected.length(), rejected.body(chunked.as_bytes())), (None, &b"5\r\n"[..]));
    let ok = failed("HTTP/1.1 200 OK\r\n\r\n");
    assert!(matches!(ok, ClientError::Rejected(_)), "{ok:?}");
}

/// What comes before the answer itself is passed over, within the limit for all of it.
//= RFC 9110 §15.2
//= type=test
#[test]
fn interim_answers_are_passed_over() {
    let early = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    let answer = format!("HTTP/1.1 100 Continue\r\n\r\n{early}{}", answer_with(""));
    let Ok(Answer::Opened(opened)) = client().parse(answer.as_bytes()) else {
        panic!("it is right")
    };
    assert_eq!(opened.used(), answer.len());
    let endless = early.repeat(1000);
    assert_eq!(failed(&endless), ClientError::Head(HeadError::Long { limit: 16_384 }));
}

/// HTTP/1.0 knows no upgrade.
#[test]
fn an_old_version_of_http_fails() {
    let answer = answer_but("HTTP", "HTTP/1.0 101 Switching Protocols");
    assert_eq!(failed(&answer), ClientError::Version);
    let other = answer_but("HTTP", "HTTP/3.0 101 Switching Protocols");
    assert_eq!(failed(&other), ClientError::Head(HeadError::Version));
}

/// Bytes that came with the answer are frames, and are not lost.
#[test]
fn what_follows_the_answer_is_left() {
    let answer = answer_with("") + "\u{1}frames\r\n\r\n";
    let Ok(Answer::Opened(opened)) = client().parse(answer.as_bytes()) else {
        panic!("it is right")
    };
    assert_eq!(&answer[opened.used()..], "\u{1}frames\r\n\r\n");
    let request = request_with("") + "\u{2}more";
    assert_eq!(&request[granted(&request).used()..], "\u{2}more");
}
