//! Addresses.

use proptest::prelude::*;

use super::*;

fn parsed(text: &str) -> Url {
    Url::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Scheme, host, port, path and query are told apart, and what is not said is what is usual.
//= RFC 6455 §3
//= type=test
#[test]
fn addresses_are_read() {
    for (text, shown, port) in [
        ("ws://a.example", "ws://a.example/", 80),
        ("WSS://A.Example:443/x", "wss://a.example/x", 443),
        ("ws://a.example:/x", "ws://a.example/x", 80),
        ("wss://a.example:80?q", "wss://a.example:80/?q", 80),
        ("ws://10.0.0.1:9000/a/b?c=d/e?f", "ws://10.0.0.1:9000/a/b?c=d/e?f", 9000),
        ("ws://[2001:DB8::1]:7000/", "ws://[2001:db8::1]:7000/", 7000),
        ("ws://a/%20?x[]=1&y=a:b@c", "ws://a/%20?x[]=1&y=a:b@c", 80),
    ] {
        let url = parsed(text);
        assert_eq!((url.to_string().as_str(), url.port()), (shown, port), "{text}");
        assert_eq!(parsed(shown), url);
    }
}

/// What is none is an error that says what to write.
//= RFC 6455 §3
//= type=test
#[test]
fn what_is_no_address_is_refused() {
    let host = |host: &str| UrlError::Host { host: host.into() };
    let port = |port: &str| UrlError::Port { port: port.into() };
    let character = |character| UrlError::Character { character };
    for (text, error) in [
        ("", UrlError::Scheme),
        ("a.example", UrlError::Scheme),
        ("http://a.example", UrlError::Scheme),
        (" ws://a", UrlError::Scheme),
        ("ws:a", UrlError::Scheme),
        ("ws://", UrlError::NoHost),
        ("ws:///x", UrlError::NoHost),
        ("ws://:80", UrlError::NoHost),
        ("ws://a/#", UrlError::Fragment),
        ("ws://a#b", UrlError::Fragment),
        ("ws://a b/", host("a b")),
        ("ws://grün/", host("grün")),
        ("ws://a%41/", host("a%41")),
        ("ws://a\r\nX: y/", host("a\r\nX: y")),
        ("ws://[::1", host("[::1")),
        ("ws://[::1]x", host("[::1]x")),
        ("ws://[fe80::1%25eth0]/", host("[fe80::1%25eth0]")),
        ("ws://[a]/", host("[a]")),
        ("ws://::1/", host("::1")),
        ("ws://a:0", port("0")),
        ("ws://a:65536", port("65536")),
        ("ws://a:+8", port("+8")),
        ("ws://a:8x", port("8x")),
        ("ws://a/x y", character(' ')),
        ("ws://a/x\r\nEvil: y", character('\r')),
        ("ws://a/\0", character('\0')),
        ("ws://a/ü", character('ü')),
        ("ws://a/\"", character('"')),
        ("ws://a\\b/", host("a\\b")),
        ("ws://a/%", UrlError::Percent),
        ("ws://a/%4", UrlError::Percent),
        ("ws://a/%4g", UrlError::Percent),
        ("ws://a/?%zz", UrlError::Percent),
        ("ws://u%3av@a/", UrlError::User),
        ("ws://u:%ff@a/", UrlError::User),
        ("ws://u:%0d%0a@a/", UrlError::User),
        ("ws://u:p@q@a/", character('@')),
        ("ws://u p@a/", character(' ')),
    ] {
        assert_eq!(Url::parse(text), Err(error), "{text:?}");
    }
}

/// The user is decoded, and shown to nobody.
#[test]
fn users_are_decoded_and_not_shown() {
    let url = parsed("ws://m%65:p%40ss:word@a.example/");
    assert_eq!(url.user(), Some(("me", "p@ss:word")));
    assert!(!format!("{url} {url:?}").contains("word"));
    assert_eq!(parsed("ws://me@a/").user(), Some(("me", "")));
    assert_eq!(parsed("ws://a/").user(), None);
}

/// A redirection leads to a whole address or to a part of one.
//= RFC 3986 §5.2
//= type=test
#[test]
fn redirections_are_followed_to_where_they_lead() {
    let from = parsed("wss://me:pw@a.example:8443/b/c/d?q");
    for (location, there) in [
        ("wss://b.example/x", "wss://b.example/x"),
        ("https://b.example/x#top", "wss://b.example/x"),
        ("//b.example/x", "wss://b.example/x"),
        ("/x?y", "wss://a.example:8443/x?y"),
        ("g", "wss://a.example:8443/b/c/g"),
        ("./g", "wss://a.example:8443/b/c/g"),
        ("g/", "wss://a.example:8443/b/c/g/"),
        ("?y=http://z", "wss://a.example:8443/b/c/d?y=http://z"),
        ("..", "wss://a.example:8443/b/"),
        ("../../../g", "wss://a.example:8443/g"),
        ("../g/./h/../i?..", "wss://a.example:8443/b/g/i?.."),
        ("", "wss://a.example:8443/b/c/d?q"),
        (".", "wss://a.example:8443/b/c/"),
    ] {
        let url = from.join(location).unwrap_or_else(|error| panic!("{location}: {error}"));
        assert_eq!(url.to_string(), there, "{location}");
    }
    for (location, error) in [
        ("ws://a.example:8443/", UrlError::Downgrade),
        ("http://a.example/", UrlError::Downgrade),
        ("ftp://a.example/", UrlError::Scheme),
        ("/x y", UrlError::Character { character: ' ' }),
        ("x\r\ny", UrlError::Character { character: '\r' }),
    ] {
        assert_eq!(from.join(location), Err(error), "{location}");
    }
    let up = parsed("ws://a.example/").join("https://a.example/");
    assert_eq!(up.map(|url| url.to_string()), Ok("wss://a.example/".into()));
}

/// User and password stay with their host.
#[test]
fn users_are_not_told_to_another_host() {
    let from = parsed("wss://me:pw@a.example/");
    let user =
        |location| from.join(location).expect(location).user().map(|(user, _)| user.to_owned());
    assert_eq!(user("/x"), Some("me".into()));
    assert_eq!(user("wss://a.example/x"), Some("me".into()));
    assert_eq!(user("wss://b.example/x"), None);
    assert_eq!(user("wss://a.example:444/x"), None);
    assert_eq!(user("wss://you@b.example/x"), Some("you".into()));
}

proptest! {
    /// No text makes the reader panic; what it reads is written and read again as the same, and can
    /// stand in a request.
    #[test]
    fn any_text_is_an_address_or_an_error(text in "(ws://|wss://)?[ -~\\PC]{0,40}", there in "\\PC{0,30}") {
        if let Ok(url) = Url::parse(&text) {
            prop_assert!(url.target().starts_with('/'));
            prop_assert!(url.target().bytes().all(|byte| byte.is_ascii_graphic()));
            let shown = url.to_string();
            prop_assert_eq!(parsed(&shown).to_string(), shown);
            if let Ok(url) = url.join(&there) {
                prop_assert!(url.target().starts_with('/'));
                prop_assert!(url.target().bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }
}
