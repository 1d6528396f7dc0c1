//! What a client writes, and a server reads.

use super::*;

fn text(request: Request) -> String {
    String::from_utf8(request.start(NONCE).bytes().to_vec()).expect("it is text")
}

/// The request of the RFC's example comes out as it stands there, but for the order of its lines.
//= RFC 6455 §1.2
//= type=test
#[test]
fn the_request_of_the_rfc_is_written() {
    let request = Request::new(&url()).origin("http://example.com").expect("it is an origin");
    let request = request.protocol("chat").and_then(|r| r.protocol("superchat"));
    assert_eq!(
        text(request.expect("they are tokens")),
        request_with("Origin: http://example.com\r\nSec-WebSocket-Protocol: chat, superchat\r\n")
    );
}

/// A port is named if it is not the scheme's own, and an IPv6 address has its brackets.
//= RFC 6455 §4.1
//= type=test
#[test]
fn the_host_is_that_of_the_address() {
    let host = |address| {
        let text = text(Request::new(&Url::parse(address).expect(address)));
        text.lines().nth(1).expect("it has lines").to_owned()
    };
    assert_eq!(host("ws://a.example:80/"), "Host: a.example");
    assert_eq!(host("ws://a.example:443/"), "Host: a.example:443");
    assert_eq!(host("wss://a.example:443/"), "Host: a.example");
    assert_eq!(host("wss://[::1]:8443/"), "Host: [::1]:8443");
}

/// A user in the address is told by Basic authorization, unless the program says something else.
#[test]
fn the_user_of_the_address_is_told() {
    let url = Url::parse("ws://Aladdin:open%20sesame@a.example/").expect("it is an address");
    let basic = "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n";
    assert!(text(Request::new(&url)).contains(basic));
    let bearer = Request::new(&url).header("authorization", "Bearer x").expect("it may be added");
    let text = text(bearer);
    assert!(text.contains("Authorization: Bearer x\r\n") && !text.contains("Basic"), "{text}");
}

/// Host and origin are there once, whoever names them.
#[test]
fn what_may_be_there_once_takes_the_place_of_what_was_there() {
    let request =
        Request::new(&url()).origin("http://a").and_then(|r| r.header("Origin", "http://b"));
    let text =
        text(request.and_then(|r| r.header("HOST", "c.example")).expect("they may be added"));
    assert!(text.contains("\r\nOrigin: http://b\r\n") && text.contains("\r\nHost: c.example\r\n"));
    assert!(!text.contains("http://a") && !text.contains("server.example.com"), "{text}");
    assert_eq!(Request::new(&url()).header("Host", " ").err(), Some(RequestError::EmptyHost));
}

/// What the handshake writes itself is refused, and so is what would be another header.
#[test]
fn headers_that_would_break_the_handshake_are_refused() {
    let error = |name, value| Request::new(&url()).header(name, value).expect_err(name);
    for name in [
        "Upgrade",
        "connection",
        "Sec-WebSocket-Key",
        "sec-websocket-version",
        "Content-Length",
        "Sec-WebSocket-Protocol",
        "SEC-WEBSOCKET-EXTENSIONS",
        "Sec-WebSocket-X",
        "Transfer-Encoding",
    ] {
        let owned = matches!(error(name, "x"), RequestError::Field(FieldError::Owned { .. }));
        assert!(owned, "{name}");
    }
    for value in ["x\r\nEvil: 1", "x\ny", "x\ry", "x\0y", "x\u{7f}"] {
        let splits = matches!(error("X", value), RequestError::Field(FieldError::Value { .. }));
        assert!(splits, "{value:?}");
        assert!(Request::new(&url()).origin(value).is_err(), "{value:?}");
    }
    for name in ["", "X Y", "X:", "X\r\nY", "Grün"] {
        let named = matches!(error(name, "x"), RequestError::Field(FieldError::Name { .. }));
        assert!(named, "{name:?}");
    }
    let message = error("Upgrade", "x").to_string();
    assert_eq!(message, "the header Upgrade is written by the handshake: leave it out");
}

/// Subprotocols are tokens, and each is offered once.
//= RFC 6455 §4.1
//= type=test
#[test]
fn subprotocols_are_tokens_and_unique() {
    let twice = Request::new(&url()).protocol("a").and_then(|r| r.protocol("a"));
    assert_eq!(twice.err(), Some(RequestError::ProtocolTwice { name: "a".into() }));
    for name in ["", "a b", "a,b", "a;b", "a\"", "ä"] {
        let error = Request::new(&url()).protocol(name).err();
        assert_eq!(error, Some(RequestError::Protocol { name: name.into() }));
    }
}

/// A server sees what the client has written.
#[test]
fn a_server_sees_what_was_asked_for() {
    let url = Url::parse("ws://a.example:7000/feed/x?y=1&z").expect("it is an address");
    let request = Request::new(&url).origin("http://b").and_then(|r| r.protocol("one"));
    let request = request.and_then(|r| r.protocol("two")).and_then(|r| r.header("X-Key", "k"));
    let client = request.expect("all may be there").start(NONCE);
    let text = std::str::from_utf8(client.bytes()).expect("it is text");
    let upgrade = granted(text);
    assert_eq!((upgrade.path(), upgrade.query()), ("/feed/x", Some("y=1&z")));
    assert_eq!((upgrade.host(), upgrade.origin()), ("a.example:7000", Some("http://b")));
    assert_eq!(upgrade.protocols(), ["one", "two"]);
    assert_eq!(upgrade.choose(&["three", "two", "one"]), Some("one"));
    assert_eq!(upgrade.choose(&["three"]), None);
    assert_eq!(upgrade.headers().text("x-key"), Some("k"));
    assert_eq!(upgrade.used(), text.len());
    assert!(upgrade.extensions().is_empty());
}

/// A whole address in the request line is as good as its path.
//= RFC 6455 §4.2.1
//= type=test
#[test]
fn an_address_is_asked_for_as_its_path() {
    for (target, path, query) in [
        ("http://server.example.com/chat?x", "/chat", Some("x")),
        ("WSS://server.example.com", "/", None),
        ("ws://server.example.com?x=//y", "/", Some("x=//y")),
        ("/?", "/", Some("")),
        ("//double", "//double", None),
    ] {
        let request = request_but("GET", &format!("GET {target} HTTP/1.1"));
        let upgrade = granted(&request);
        assert_eq!((upgrade.path(), upgrade.query()), (path, query), "{target}");
    }
}

/// The answer of the RFC's example comes out as it stands there.
//= RFC 6455 §1.3
//= type=test
#[test]
fn the_answer_of_the_rfc_is_written() {
    let request = request_with("Sec-WebSocket-Protocol: chat, superchat\r\n");
    let upgrade = granted(&request);
    let answer = upgrade.accept().protocol(Some("chat")).expect("it is offered").bytes();
    assert_eq!(String::from_utf8_lossy(&answer), answer_with("Sec-WebSocket-Protocol: chat\r\n"));
}

/// An answer names no subprotocol that was not offered, and no header that would break it.
//= RFC 6455 §4.2.2
//= type=test
#[test]
fn an_answer_that_would_be_wrong_is_refused() {
    let request = request_with("Sec-WebSocket-Protocol: chat\r\n");
    let upgrade = granted(&request);
    let error = upgrade.accept().protocol(Some("other")).expect_err("it is not offered");
    assert_eq!(error, AcceptError::Protocol { name: "other".into() });
    assert!(upgrade.accept().header("Upgrade", "x").is_err());
    assert!(upgrade.accept().header("Set-Cookie", "a=b\r\nX: y").is_err());
    let answer = upgrade.accept().header("Set-Cookie", "a=b").expect("it may be added").bytes();
    assert_eq!(String::from_utf8_lossy(&answer), answer_with("Set-Cookie: a=b\r\n"));
}

/// Other answers are whole HTTP: a length, and the end of the connection.
#[test]
fn other_answers_are_whole() {
    let moved = Response::redirect(Status::MOVED, "/v2").expect("it may stand in a header");
    let text = String::from_utf8(moved.bytes()).expect("it is text");
    assert_eq!(
        text,
        "HTTP/1.1 301 Moved Permanently\r\nConnection: close\r\nLocation: /v2\r\n\
         Content-Length: 0\r\n\r\n"
    );
    assert!(Response::redirect(Status::MOVED, "/\r\nX: y").is_err());
    assert!(Response::new(Status::NOT_FOUND).header("Content-Length", "7").is_err());
    assert_eq!(Status::new(101), None);
    assert_eq!(Status::new(451).map(Status::code), Some(451));
}
