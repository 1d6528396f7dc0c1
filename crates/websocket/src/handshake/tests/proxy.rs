//! The way through a proxy.

use super::*;

fn connect(address: &str) -> Connect {
    Connect::new(&Url::parse(address).expect(address))
}

/// The proxy is told host and port, the usual port too.
//= RFC 9110 §9.3.6
//= type=test
#[test]
fn the_request_names_host_and_port() {
    let plain = connect("ws://a.example/x?y");
    assert_eq!(plain.bytes(), b"CONNECT a.example:80 HTTP/1.1\r\nHost: a.example:80\r\n\r\n");
    let v6 = connect("wss://[::1]/").authorization("me", "secret").expect("it can be told");
    let text = "CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\
                Proxy-Authorization: Basic bWU6c2VjcmV0\r\n\r\n";
    assert_eq!(String::from_utf8_lossy(v6.bytes()), text);
}

/// What cannot be told is refused.
#[test]
fn what_would_break_the_request_is_refused() {
    let error = connect("ws://a/").authorization("a:b", "c").expect_err("it has a colon");
    assert_eq!(error, FieldError::User { user: "a:b".into() });
    assert!(connect("ws://a/").header("X", "y\r\nz").is_err());
    assert!(connect("ws://a/").header("Host", "b").is_err());
}

/// Any 2xx opens the way, and what follows is the host's.
//= RFC 9110 §9.3.6
//= type=test
#[test]
fn success_leaves_what_follows_to_the_host() {
    let answer = b"HTTP/1.0 200 Connection established\r\nVia: p\r\n\r\nHTTP/1.1 101";
    let whole = answer.len() - b"HTTP/1.1 101".len();
    let mut by_bytes = connect("ws://a/");
    for end in 0..whole {
        assert_eq!(by_bytes.parse(&answer[..end]), Ok(Proxied::Incomplete));
    }
    assert_eq!(by_bytes.parse(answer), Ok(Proxied::Connected { used: whole }));
    let early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 \r\n\r\n";
    assert_eq!(connect("ws://a/").parse(early), Ok(Proxied::Connected { used: early.len() }));
}

/// A proxy that refuses says why, 407 above all.
#[test]
fn refusals_are_errors_with_all_that_was_said() {
    let answer = b"HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nno";
    let error = connect("ws://a/").parse(answer).expect_err("it is refused");
    assert_eq!(error.to_string(), "the proxy answers 407 Who? instead of connecting");
    let ProxyError::Rejected(rejected) = error else { panic!("{error:?}") };
    assert_eq!(rejected.header("Proxy-Authenticate"), Some(&b"Basic"[..]));
    assert_eq!(rejected.body(answer), b"no");
    let switched = connect("ws://a/").parse(b"HTTP/1.1 101 x\r\n\r\n");
    assert!(matches!(switched, Err(ProxyError::Rejected(_))), "{switched:?}");
    let long = [b"HTTP/1.1 200 ".to_vec(), vec![b'x'; 20_000]].concat();
    let error = connect("ws://a/").parse(&long).expect_err("it is too long");
    assert_eq!(error, ProxyError::Head(HeadError::Long { limit: 16_384 }));
}
