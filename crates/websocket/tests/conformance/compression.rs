//! RFC 7692: compressed messages.

use tautline_websocket::deflate::Config;
use tautline_websocket::read::Event;
use tautline_websocket::{Client, OpenError, Options};

use crate::raw::{Peer, answer, asked, echo, everywhere, field};

/// Compresses everything.
fn options() -> Options {
    let deflate = Some(Config { at_least: 0, ..Config::default() });
    Options { deflate, ..Options::default() }
}

/// "Hello" as the RFC compresses it, at first and again with what is known by then.
const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
const HELLO_AGAIN: &[u8] = b"\xf2\x00\x11\x00\x00";

/// The same in fewer bytes: five of them, from five before.
const HELLO_SHORTER: &[u8] = b"\x02\x13\x00\x00";

async fn offering(offer: &str) -> (Peer, Option<String>) {
    let lines = format!("Sec-WebSocket-Extensions: {offer}\r\n");
    let (peer, answer) = Peer::ask_with(echo(options()), &lines).await;
    (peer, field(&answer, "Sec-WebSocket-Extensions"))
}

/// An offer that can be kept is accepted with its terms; one that cannot is declined, and the connection
/// does without.
//= RFC 7692 §5.1
//= type=test
//= RFC 7692 §7.1
//= type=test
#[test]
fn offers_are_accepted_or_declined_over_sockets() {
    everywhere(async || {
        for (offer, accepted) in [
            ("permessage-deflate", Some("permessage-deflate")),
            ("x-unheard-of, permessage-deflate", Some("permessage-deflate")),
            ("x-unheard-of", None),
            ("permessage-deflate; server_max_window_bits=8", None),
            ("permessage-deflate; server_max_window_bits=16", None),
            ("permessage-deflate; server_max_window_bits=010", None),
            ("permessage-deflate; x-unheard-of", None),
            ("permessage-deflate; server_no_context_takeover=1", None),
            ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", None),
        ] {
            let (mut peer, answered) = offering(offer).await;
            assert_eq!(answered.as_deref(), accepted, "{offer}");
            peer.send(0x81, b"plain").await;
            let heard = peer.hear().await;
            assert_eq!(heard.first == 0xc1, accepted.is_some(), "{offer}: {heard:x?}");
        }
        let (_, answered) = offering("permessage-deflate; server_max_window_bits=10").await;
        assert!(answered.unwrap().contains("server_max_window_bits=10"));
        let (_, answered) = offering("permessage-deflate; server_no_context_takeover").await;
        assert!(answered.unwrap().contains("server_no_context_takeover"));
    });
}

/// The examples of the RFC are read, and written back as short as they are there.
//= RFC 7692 §7.2.3.1
//= type=test
//= RFC 7692 §7.2.3.2
//= type=test
#[test]
fn the_examples_of_the_rfc_come_back() {
    everywhere(async || {
        let (mut peer, _) = offering("permessage-deflate").await;
        peer.send(0xc1, HELLO).await;
        peer.hears(0xc1, HELLO).await;
        peer.send(0xc1, HELLO_AGAIN).await;
        peer.hears(0xc1, HELLO_SHORTER).await;
        peer.send(0x81, b"Hello").await;
        peer.hears(0xc1, HELLO_SHORTER).await;
    });
}

/// Without takeover a message knows nothing of those before.
//= RFC 7692 §7.1.1.1
//= type=test
#[test]
fn without_takeover_every_message_stands_alone() {
    everywhere(async || {
        let (mut peer, _) = offering("permessage-deflate; server_no_context_takeover").await;
        for _ in 0..2 {
            peer.send(0x81, b"Hello").await;
            peer.hears(0xc1, HELLO).await;
        }
    });
}

/// A compressed message may be cut into fragments anywhere, with pings between, which are not compressed.
//= RFC 7692 §6.1
//= type=test
#[test]
fn a_compressed_message_may_be_in_fragments() {
    everywhere(async || {
        let (mut peer, _) = offering("permessage-deflate; client_no_context_takeover").await;
        for at in 0..=HELLO.len() {
            peer.send(0x41, &HELLO[..at]).await;
            peer.send(0x89, b"plain").await;
            peer.hears(0x8a, "plain").await;
            peer.send(0x80, &HELLO[at..]).await;
            peer.hears(0xc1, if at == 0 { HELLO } else { HELLO_SHORTER }).await;
        }
    });
}

/// The bit of compression is on the first frame of a message alone, never on a control frame, and nowhere
/// without the extension.
//= RFC 7692 §6
//= type=test
#[test]
fn the_bit_of_compression_out_of_place_closes_the_connection() {
    everywhere(async || {
        for frames in [&[(0x41, &b""[..]), (0xc0, b"")][..], &[(0xc9, b"")], &[(0xc8, b"\x03\xe8")]]
        {
            let (mut peer, _) = offering("permessage-deflate").await;
            for (first, payload) in frames {
                peer.send(*first, payload).await;
            }
            peer.hears_farewell(1002).await;
            peer.hears_end().await;
        }
    });
}

/// A payload that is no compressed one, or text that is no UTF-8 when it is inflated, closes the
/// connection with 1007; one that inflates to more than is taken, with 1009.
//= RFC 7692 §7.2.2
//= type=test
//= RFC 7692 §8
//= type=test
#[test]
fn payloads_that_cannot_be_inflated_close_the_connection() {
    everywhere(async || {
        // A block of a reserved type; a stored block with the byte 0xff.
        for payload in [&b"\x07\x00"[..], b"\x00\x01\x00\xfe\xff\xff\x00"] {
            let (mut peer, _) = offering("permessage-deflate").await;
            peer.send(0xc1, payload).await;
            peer.hears_farewell(1007).await;
            peer.hears_end().await;
        }
        let mut small = options();
        small.limits.max_message = 4;
        let lines = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
        let (mut peer, _) = Peer::ask_with(echo(small), lines).await;
        peer.send(0xc1, HELLO).await;
        assert_eq!(peer.hears_farewell(1009).await, "a message of more than 4 bytes");
        peer.hears_end().await;
    });
}

/// A client offers compression, keeps what was agreed on, and fails what it has not offered.
//= RFC 7692 §7.1
//= type=test
//= RFC 7692 §5.1
//= type=test
#[test]
fn a_client_agrees_to_what_it_has_offered_over_sockets() {
    everywhere(async || {
        let client = Client::with(options());
        let mut offer = None;
        let (socket, mut peer) = asked(&client, |request| {
            offer = field(request, "Sec-WebSocket-Extensions");
            answer(request, "Sec-WebSocket-Extensions: permessage-deflate\r\n")
        })
        .await;
        assert!(offer.unwrap().starts_with("permessage-deflate"));
        let mut socket = socket.unwrap();
        peer.send(0xc1, HELLO).await;
        assert_eq!(socket.read().await.unwrap(), Some(Event::Text("Hello")));
        socket.sender().send("Hello").unwrap();
        peer.hears(0xc1, HELLO).await;
        for wrong in [
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; client_max_window_bits=16",
            "permessage-deflate; x-unheard-of",
            "permessage-deflate, permessage-deflate",
        ] {
            let line = format!("Sec-WebSocket-Extensions: {wrong}\r\n");
            let (socket, mut peer) = asked(&client, |request| answer(request, &line)).await;
            assert!(matches!(socket, Err(OpenError::Answer(_))), "{wrong}: {socket:?}");
            peer.hears_end().await;
        }
    });
}
