//! What a server refuses.

use super::*;

/// The method is GET.
//= RFC 6455 §4.2.1
//= type=test
#[test]
fn another_method_is_refused_with_405() {
    let request = request_but("GET", "POST /chat HTTP/1.1");
    assert_eq!(refused(&request), (ServerError::Method { method: "POST".into() }, 405));
    let refusal = Server::new().parse(request.as_bytes()).expect_err("it is refused");
    let response = refusal.response().bytes();
    assert!(String::from_utf8_lossy(&response).contains("\r\nAllow: GET\r\n"));
}

/// The version of HTTP is 1.1.
//= RFC 6455 §4.2.1
//= type=test
#[test]
fn another_version_of_http_is_refused_with_505() {
    let old = request_but("GET", "GET /chat HTTP/1.0");
    assert_eq!(refused(&old), (ServerError::Version, 505));
    let new = request_but("GET", "GET /chat HTTP/2.0");
    assert_eq!(refused(&new), (ServerError::Head(HeadError::Version), 505));
}

/// What is asked for is a path or an address.
//= RFC 6455 §4.2.1
//= type=test
#[test]
fn what_cannot_be_asked_for_is_refused_with_400() {
    for target in ["*", "a.example:80", "ftp://a.example/", "/a#b", "/ä"] {
        let request = request_but("GET", &format!("GET {target} HTTP/1.1"));
        assert_eq!(refused(&request), (ServerError::Target { target: target.into() }, 400));
    }
}

/// The host is there, once, and is one.
//= RFC 6455 §4.2.1
//= type=test
#[test]
fn a_request_without_one_host_is_refused_with_400() {
    let none = ServerError::Host { found: String::new() };
    assert_eq!(refused(&request_but("Host", "")), (none.clone(), 400));
    assert_eq!(refused(&request_but("Host", "Host:")), (none, 400));
    for host in ["a b", "a,b", "a/b", "u@a", "a:b", "[::1", "a:0"] {
        let found = ServerError::Host { found: host.into() };
        assert_eq!(refused(&request_but("Host", &format!("Host: {host}"))), (found, 400));
    }
    let two = request_with("Host: server.example.com\r\n");
    assert_eq!(refused(&two), (ServerError::Repeated(Repeated { name: "Host" }), 400));
}

/// `Connection` says `Upgrade`, among other words and in any case.
//= RFC 6455 §4.2.1
//= type=test
#[test]
fn a_request_whose_connection_is_not_upgraded_is_refused_with_400() {
    assert_eq!(refused(&request_but("Connection", "")), (ServerError::Connection, 400));
    let other = request_but("Connection", "Connection: keep-alive, upgraded");
    assert_eq!(refused(&other), (ServerError::Connection, 400));
    granted(&request_but("Connection", "connection: keep-alive ,\tUPGRADE"));
    granted(&request_but("Connection", "Connection: keep-alive\r\nConnection: Upgrade"));
}

/// `Upgrade` says `websocket`, in any case and among others; without it, it is another request.
//= RFC 6455 §4.2.1
//= type=test
#[test]
fn a_request_for_something_else_is_handed_on() {
    granted(&request_but("Upgrade", "Upgrade: h2c, WebSocket"));
    for other in ["", "Upgrade: h2c"] {
        let request = request_but("Upgrade", other);
        let asked = Server::new().parse(request.as_bytes());
        let Ok(Asked::Plain(plain)) = asked else { panic!("{asked:?}") };
        assert_eq!((plain.method(), plain.target()), ("GET", "/chat"));
        assert_eq!(plain.used(), request.len());
        assert_eq!(plain.headers().text("Host"), Some("server.example.com"));
    }
    let post = b"POST /x HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc";
    let Ok(Asked::Plain(plain)) = Server::new().parse(post) else { panic!("it asks for nothing") };
    assert_eq!(&post[plain.used()..], b"abc");
    let required = String::from_utf8(Response::upgrade_required().bytes()).expect("it is text");
    assert!(
        required.starts_with("HTTP/1.1 426 Upgrade Required\r\nConnection: Upgrade, close\r\n")
    );
    assert!(required.contains("\r\nUpgrade: websocket\r\n"));
}

/// The version of WebSocket is 13; an answer to others says so.
//= RFC 6455 §4.4
//= type=test
#[test]
fn another_version_of_websocket_is_refused_with_426() {
    for (line, found) in
        [("", ""), ("Sec-WebSocket-Version: 8", "8"), ("Sec-WebSocket-Version: 013", "013")]
    {
        let request = request_but("Sec-WebSocket-Version", line);
        let error = ServerError::WebSocketVersion { found: found.into() };
        assert_eq!(refused(&request), (error, 426));
        let refusal = Server::new().parse(request.as_bytes()).expect_err("it is refused");
        let response = refusal.response().bytes();
        assert!(String::from_utf8_lossy(&response).contains("\r\nSec-WebSocket-Version: 13\r\n"));
    }
    let two = request_with("Sec-WebSocket-Version: 13\r\n");
    let error = ServerError::Repeated(Repeated { name: "Sec-WebSocket-Version" });
    assert_eq!(refused(&two), (error, 400));
}

/// The key is sixteen bytes in base64.
//= RFC 6455 §4.2.1
//= type=test
#[test]
fn a_key_that_is_none_is_refused_with_400() {
    for key in [
        "",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25j",
        "dGhlIHNhbXBsZSBub25jZWU=",
        "dGhlIHNhbXBsZSBub25jZWVl",
        "dGhlIHNhbXBsZSBub25jZ_==",
        "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
    ] {
        let request = request_but("Sec-WebSocket-Key", &format!("Sec-WebSocket-Key: {key}"));
        assert_eq!(refused(&request), (ServerError::Key { found: key.into() }, 400));
    }
    let missing = request_but("Sec-WebSocket-Key", "");
    assert_eq!(refused(&missing), (ServerError::Key { found: String::new() }, 400));
    // Bits that belong to no byte are the client's own business.
    granted(&request_but("Sec-WebSocket-Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR=="));
}

/// A list that is none is refused.
//= RFC 6455 §4.2.1
//= RFC 6455 §9.1
//= type=test
#[test]
fn malformed_lists_are_refused_with_400() {
    let words = |line: &str| refused(&request_with(&format!("{line}\r\n")));
    let (error, status) = words("Sec-WebSocket-Protocol: a, b c");
    let token = ListError::Token { name: "Sec-WebSocket-Protocol", word: "b c".into() };
    assert_eq!((error, status), (ServerError::List(token), 400));
    let (error, status) = words("Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b, a");
    let twice = ListError::Twice { name: "Sec-WebSocket-Protocol", word: "a".into() };
    assert_eq!((error, status), (ServerError::List(twice), 400));
    let (error, status) = words("Sec-WebSocket-Extensions: a; b=\"c d\"");
    assert!(matches!(error, ServerError::List(ListError::Extension { at: 7, .. })), "{error:?}");
    assert_eq!(status, 400);
}

/// Subprotocols that are offered have a limit, for each is compared with all others.
#[test]
fn too_many_subprotocols_are_refused_with_400() {
    let offers = |count| (0..count).map(|at| format!("p{at}")).collect::<Vec<_>>().join(",");
    let request = |count| request_with(&format!("Sec-WebSocket-Protocol: {}\r\n", offers(count)));
    assert_eq!(granted(&request(100)).protocols().len(), 100);
    let many = ListError::Many { name: "Sec-WebSocket-Protocol", most: 100 };
    assert_eq!(refused(&request(101)), (ServerError::List(many), 400));
}

/// What is answered shows no more than a line of what was sent.
#[test]
fn refusals_are_short() {
    let long = "x".repeat(10_000);
    for request in [
        request_but("GET", &format!("{long} /chat HTTP/1.1")),
        request_but("GET", &format!("GET {long} HTTP/1.1")),
        request_but("Host", &format!("Host: /{long}")),
        request_but("Sec-WebSocket-Key", &format!("Sec-WebSocket-Key: {long}")),
        request_but("Sec-WebSocket-Version", &format!("Sec-WebSocket-Version: {long}")),
        request_with(&format!("Origin: {long}\r\n")),
        request_with(&format!("Sec-WebSocket-Protocol: ({long}\r\n")),
    ] {
        let refusal = Server::new().parse(request.as_bytes()).expect_err("it is refused");
        assert!(refusal.response().bytes().len() < 500, "{refusal}");
    }
}

/// Pages of other hosts are refused; programs, which name no page, are not.
//= RFC 6455 §4.2.2
//= RFC 6455 §10.2
//= type=test
#[test]
fn a_page_from_elsewhere_is_refused_with_403() {
    let same = "http://server.example.com";
    for origin in [same, "HTTP://SERVER.example.com:80"] {
        let request = request_with(&format!("Origin: {origin}\r\n"));
        assert!(Server::new().parse(request.as_bytes()).is_ok(), "{origin}");
    }
    for origin in [
        "http://evil.example",
        "http://server.example.com.evil.example",
        "http://evilserver.example.com",
        "http://server.example.com:81",
        "http://server.example.com@evil.example",
        "null",
        "file://",
        "",
        "http://server.example.com, http://evil.example",
    ] {
        let host = "server.example.com".into();
        let error = OriginError { origin: origin.into(), host };
        let request = request_with(&format!("Origin: {origin}\r\n"));
        assert_eq!(refused(&request), (ServerError::Origin(error), 403));
    }
    let twice = request_with(&format!("Origin: {same}\r\nOrigin: {same}\r\n"));
    assert_eq!(refused(&twice), (ServerError::Repeated(Repeated { name: "Origin" }), 400));
}

/// Who lists origins has named all of them: the own host is let in only if it is on the list.
#[test]
fn a_list_of_origins_is_all_of_them() {
    let listed = Origins::Listed(vec!["https://app.example".into()]);
    assert!(listed.check(Some("https://APP.example"), "a.example").is_ok());
    assert!(listed.check(Some("https://a.example"), "a.example").is_err());
    assert!(listed.check(Some("http://app.example"), "a.example").is_err());
    assert!(listed.check(None, "a.example").is_ok());
    assert!(Origins::Any.check(Some("null"), "a.example").is_ok());
    // Of a port that the host does not name, the page's scheme tells.
    assert!(Origins::SameHost.check(Some("https://a.example"), "a.example:443").is_ok());
    assert!(Origins::SameHost.check(Some("https://a.example"), "a.example:80").is_err());
}

/// Heads have a limit, which is told as 431.
#[test]
fn large_heads_are_refused_with_431() {
    let many = "X: y\r\n".repeat(100);
    let (error, status) = refused(&request_with(&many));
    assert_eq!((error, status), (ServerError::Head(HeadError::ManyHeaders { limit: 100 }), 431));
    let long = request_with(&format!("X: {}\r\n", "y".repeat(17_000)));
    let (error, status) = refused(&long);
    assert_eq!((error, status), (ServerError::Head(HeadError::Long { limit: 16_384 }), 431));
    // It is known before the head has ended, and one that fits exactly is read.
    let mut server = Server::new();
    assert!(matches!(server.parse(&long.as_bytes()[..16_383]), Ok(Asked::Incomplete)));
    assert!(server.parse(&long.as_bytes()[..16_384]).is_err());
    let request = request_with("");
    let exactly = Limits { bytes: request.len(), headers: 5 };
    assert!(Server::new().limits(exactly).parse(request.as_bytes()).is_ok());
}
