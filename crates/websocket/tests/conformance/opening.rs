//! RFC 6455 §4: the opening handshake.

use tautline_websocket::handshake::Origins;
use tautline_websocket::{Client, OpenError, Options, Server};

use crate::raw::{self, Peer, answer, asked, echo, everywhere, field};

/// The answer to a request that is in order is the one of the RFC, however the request arrives.
//= RFC 6455 §4.2.2
//= type=test
#[test]
fn a_request_in_order_is_granted() {
    everywhere(async || {
        let addr = echo(Options::default());
        for slowly in [false, true] {
            let mut peer = Peer::connect(addr).await;
            let request = raw::request("Sec-WebSocket-Protocol: chat\r\n");
            match slowly {
                true => peer.say_slowly(request.as_bytes()).await,
                false => peer.say(request.as_bytes()).await,
            }
            let answer = peer.head().await;
            assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
            let is = |name, value: &str| {
                assert_eq!(field(&answer, name).as_deref(), Some(value), "{answer}");
            };
            is("Upgrade", "websocket");
            is("Connection", "Upgrade");
            is("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
            assert_eq!(field(&answer, "Sec-WebSocket-Protocol"), None, "{answer}");
            assert_eq!(field(&answer, "Sec-WebSocket-Extensions"), None, "{answer}");
        }
    });
}

/// A request that lacks something is answered with the status that says so, and the stream is closed.
//= RFC 6455 §4.2.1
//= type=test
#[test]
fn a_request_out_of_order_is_refused_and_closed() {
    let cases = [
        ("GET ", "POST ", 405),
        ("HTTP/1.1", "HTTP/1.0", 505),
        ("Host: server.example.com\r\n", "", 400),
        ("Upgrade: websocket\r\n", "", 426),
        ("Connection: Upgrade", "Connection: close", 400),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j", 400),
        ("Version: 13", "Version: 8", 426),
    ];
    everywhere(async || {
        let addr = echo(Options::default());
        for (line, other, status) in cases {
            let mut peer = Peer::connect(addr).await;
            peer.say(raw::request("").replacen(line, other, 1).as_bytes()).await;
            let answer = peer.head().await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line:?}: {answer}");
            let is_old = line.contains("Version");
            let told = field(&answer, "Sec-WebSocket-Version");
            //= RFC 6455 §4.4
            assert!(!is_old || told.as_deref() == Some("13"), "{answer}");
            let length = field(&answer, "Content-Length").map_or(0, |text| text.parse().unwrap());
            peer.body(length).await;
            peer.hears_end().await;
        }
    });
}

/// Frames may follow the request at once, and are answered behind the answer.
//= RFC 6455 §4.1
//= type=test
#[test]
fn what_follows_the_request_at_once_is_received() {
    everywhere(async || {
        let mut peer = Peer::connect(echo(Options::default())).await;
        let bytes = [raw::request("").into_bytes(), peer.frame(0x81, b"early")].concat();
        peer.say(&bytes).await;
        assert!(peer.head().await.starts_with("HTTP/1.1 101 "));
        peer.hears(0x81, "early").await;
    });
}

/// A page of another host is refused with 403, unless it is on the list.
//= RFC 6455 §10.2
//= type=test
#[test]
fn a_page_from_elsewhere_is_refused_over_sockets() {
    everywhere(async || {
        let server = |origins| {
            let server = Server::new().origins(origins);
            server.listen("127.0.0.1:0", |socket| socket.on_event(|_, _| ()).map(drop)).unwrap()
        };
        let lines = "Origin: http://elsewhere.example\r\n";
        let mut peer = Peer::connect(server(Origins::default())).await;
        peer.say(raw::request(lines).as_bytes()).await;
        assert!(peer.head().await.starts_with("HTTP/1.1 403 "));
        Peer::ask_with(server(Origins::Listed(vec!["http://elsewhere.example".into()])), lines)
            .await;
    });
}

/// A server answers with the first subprotocol of the client's that it speaks, and with none if there is
/// none.
//= RFC 6455 §4.2.2
//= type=test
#[test]
fn a_subprotocol_is_chosen_over_sockets() {
    everywhere(async || {
        let server = Server::new().protocols(["two", "three"]);
        let addr =
            server.listen("127.0.0.1:0", |socket| socket.on_event(|_, _| ()).map(drop)).unwrap();
        for (offered, chosen) in [("one, three, two", Some("three")), ("one", None)] {
            let lines = format!("Sec-WebSocket-Protocol: {offered}\r\n");
            let (_, answer) = Peer::ask_with(addr, &lines).await;
            assert_eq!(field(&answer, "Sec-WebSocket-Protocol").as_deref(), chosen, "{answer}");
        }
    });
}

/// A client asks with all that the RFC wants, and with sixteen fresh bytes each time.
//= RFC 6455 §4.1
//= type=test
#[test]
fn a_client_asks_as_it_has_to() {
    everywhere(async || {
        let client = Client::new().protocol("chat").header("Origin", "http://page.example");
        let mut keys = Vec::new();
        for _ in 0..2 {
            let mut seen = String::new();
            let (socket, _peer) = asked(&client, |request| {
                request.clone_into(&mut seen);
                answer(request, "Sec-WebSocket-Protocol: chat\r\n")
            })
            .await;
            socket.unwrap();
            assert!(seen.starts_with("GET /chat HTTP/1.1\r\n"), "{seen}");
            let is = |name, value: &str| {
                assert_eq!(field(&seen, name).as_deref(), Some(value), "{seen}");
            };
            is("Upgrade", "websocket");
            is("Connection", "Upgrade");
            is("Sec-WebSocket-Version", "13");
            is("Sec-WebSocket-Protocol", "chat");
            is("Origin", "http://page.example");
            assert!(field(&seen, "Host").unwrap().starts_with("127.0.0.1:"), "{seen}");
            let key = field(&seen, "Sec-WebSocket-Key").unwrap();
            assert_eq!((key.len(), &key[22..]), (24, "=="), "sixteen bytes in base64");
            keys.push(key);
        }
        assert_ne!(keys[0], keys[1]);
    });
}

/// A client that is answered otherwise than the RFC wants fails, and closes the stream.
//= RFC 6455 §4.1
//= type=test
//= RFC 6455 §7.1.7
//= type=test
#[test]
fn a_client_fails_an_answer_out_of_order_and_closes() {
    type Answer = fn(&str) -> String;
    let cases: [(&str, Answer); 7] = [
        ("status", |request| answer(request, "").replacen("101", "200", 1)),
        ("upgrade", |request| answer(request, "").replacen("Upgrade: websocket\r\n", "", 1)),
        ("connection", |request| answer(request, "").replacen("Connection: Upgrade\r\n", "", 1)),
        ("accept", |_| answer("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "")),
        ("extension", |request| answer(request, "Sec-WebSocket-Extensions: x-unheard-of\r\n")),
        ("subprotocol", |request| answer(request, "Sec-WebSocket-Protocol: chat\r\n")),
        ("http", |_| "SSH-2.0-OpenSSH_9.2\r\n\r\n".to_owned()),
    ];
    everywhere(async || {
        for (what, answer) in cases {
            let (socket, mut peer) = asked(&Client::new(), answer).await;
            assert!(matches!(socket, Err(OpenError::Answer(_))), "{what}: {socket:?}");
            peer.hears_end().await;
        }
    });
}

/// A client tells which subprotocol is spoken, and can refuse an answer for what its headers say.
#[test]
fn a_client_sees_what_was_answered() {
    everywhere(async || {
        let wanted = |opened: &tautline_websocket::handshake::Opened<'_>| match opened
            .headers()
            .text("X-Region")
        {
            Some("north") => Ok(()),
            other => Err(format!("the region is {other:?}")),
        };
        let client = Client::new().protocol("chat").on_response(wanted);
        let lines = "Sec-WebSocket-Protocol: chat\r\nX-Region: north\r\n";
        let (socket, _peer) = asked(&client, |request| answer(request, lines)).await;
        assert_eq!(socket.unwrap().protocol(), Some("chat"));
        let (socket, mut peer) = asked(&client, |request| answer(request, "")).await;
        let error = socket.unwrap_err();
        assert!(error.to_string().contains("the region is None"), "{error}");
        peer.hears_end().await;
    });
}
