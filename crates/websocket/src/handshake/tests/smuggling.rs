//! Heads that two readers could read in two ways.

use super::*;

/// The error of a server and of a client that read a line there which is none.
fn both(line: &str) -> (HeadError, HeadError) {
    let (ServerError::Head(server), 400) = refused(&request_with(line)) else { panic!("{line:?}") };
    let ClientError::Head(client) = failed(&answer_with(line)) else { panic!("{line:?}") };
    (server, client)
}

/// A line ends in CR LF, and neither stands alone.
//= RFC 9112 §2.2
//= type=test
#[test]
fn bare_line_ends_are_refused() {
    let line_feed = |error| matches!(error, HeadError::BareLineFeed { .. });
    let carriage = |error| matches!(error, HeadError::BareCarriageReturn { .. });
    let (server, client) = both("X: y\nZ: a\r\n");
    assert!(line_feed(server) && line_feed(client));
    let (server, client) = both("X: y\rZ: a\r\n");
    assert!(carriage(server) && carriage(client));
    let (server, client) = both("X: y\r\r\n");
    assert!(carriage(server) && carriage(client));
    let (error, _) = refused("GET / HTTP/1.1\nHost: a\n\n");
    assert_eq!(error, ServerError::Head(HeadError::BareLineFeed { at: 14 }));
}

/// A header is one line.
//= RFC 9112 §5.2
//= type=test
#[test]
fn folded_lines_are_refused() {
    for line in ["X: y\r\n z\r\n", "X: y\r\n\tz\r\n", " X: y\r\n"] {
        let (server, client) = both(line);
        assert!(matches!(server, HeadError::Folded { .. }), "{line:?}: {server:?}");
        assert!(matches!(client, HeadError::Folded { .. }), "{line:?}: {client:?}");
    }
}

/// No control character is in a head: NUL, escape, delete.
//= RFC 9110 §5.5
//= type=test
#[test]
fn control_characters_are_refused() {
    for byte in (0..0x20_u8).chain([0x7f]).filter(|byte| !b"\t\r\n".contains(byte)) {
        let (server, client) = both(&format!("X: a{}b\r\n", char::from(byte)));
        assert!(matches!(server, HeadError::Control { byte: found, .. } if found == byte));
        assert!(matches!(client, HeadError::Control { byte: found, .. } if found == byte));
    }
}

/// Nothing stands between a name and its colon, and names are tokens.
//= RFC 9112 §5.1
//= type=test
#[test]
fn malformed_names_are_refused() {
    for line in ["Host : evil\r\n", "X\u{e9}: y\r\n", ": y\r\n", "no colon\r\n", "(x): y\r\n"] {
        let (server, client) = both(line);
        assert!(matches!(server, HeadError::Malformed { .. }), "{line:?}: {server:?}");
        assert!(matches!(client, HeadError::Malformed { .. }), "{line:?}: {client:?}");
    }
}

/// What may be there once is there once, even if both say the same.
//= RFC 6455 §4.2.1
//= type=test
#[test]
fn repeated_headers_are_refused() {
    for name in ["Host", "Sec-WebSocket-Key", "Sec-WebSocket-Version"] {
        let request = request_with("");
        let start = request.find(name).expect("it is there");
        let line = &request[start..start + request[start..].find("\r\n").expect("it ends")];
        let (error, status) = refused(&request_with(&format!("{}\r\n", line.to_uppercase())));
        assert_eq!((error, status), (ServerError::Repeated(Repeated { name }), 400));
    }
}

/// A body would be taken for frames by one, and frames for a body by the other.
#[test]
fn a_body_is_refused() {
    for line in ["Content-Length: 5", "Transfer-Encoding: chunked", "Content-Length: 0, 5"] {
        assert_eq!(refused(&request_with(&format!("{line}\r\n"))), (ServerError::Body, 400));
    }
    let two = refused(&request_with("Content-Length: 0\r\nContent-Length: 5\r\n"));
    assert_eq!(two, (ServerError::Body, 400));
    granted(&request_with("Content-Length: 0\r\n"));
}

/// One empty line before a request is passed over, as old clients send it; more are not.
//= RFC 9112 §2.2
//= type=test
#[test]
fn an_empty_line_before_a_request_is_passed_over() {
    let request = format!("\r\n{}", request_with(""));
    assert_eq!(granted(&request).used(), request.len());
    let (error, _) = refused(&format!("\r\n{request}"));
    assert_eq!(error, ServerError::Head(HeadError::Empty));
    assert_eq!(failed("\r\n"), ClientError::Head(HeadError::Empty));
    assert_eq!(refused("\r\n\r\n").0, ServerError::Head(HeadError::Empty));
}

/// Other protocols on the port are known by their first bytes.
#[test]
fn other_protocols_are_refused_at_once() {
    let hello = [0x16, 0x03, 0x01, 0x02, 0x00];
    let refusal = Server::new().parse(&hello).expect_err("TLS is not HTTP");
    assert_eq!(*refusal.error(), ServerError::Head(HeadError::Control { byte: 0x16, at: 0 }));
    let banner = client().parse(b"SSH-2.0-x\r\n\r\n").expect_err("SSH is not HTTP");
    assert_eq!(banner, ClientError::Head(HeadError::Version));
}
