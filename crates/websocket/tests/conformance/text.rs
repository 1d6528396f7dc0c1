//! RFC 6455 §5.6 and §8.1: text is UTF-8.

use tautline_websocket::Options;
use tautline_websocket::read::Event;

use crate::raw::{Peer, echo, everywhere, opened};

/// Text that is no UTF-8 closes the connection with 1007, whole or in fragments, before it is over.
//= RFC 6455 §8.1
//= type=test
//= RFC 6455 §7.4.1
//= type=test
#[test]
fn text_that_is_none_closes_the_connection() {
    everywhere(async || {
        for text in [
            &b"\xc3\x28"[..],    // no continuation
            b"\xa0\xa1",         // continuations alone
            b"\xc0\xaf",         // an overlong form
            b"\xed\xa0\x80",     // half a surrogate pair
            b"\xf4\x90\x80\x80", // beyond U+10FFFF
            b"good, then \xff",
        ] {
            for begun in [false, true] {
                let mut peer = Peer::ask(echo(Options::default())).await;
                // A message that goes on: it is refused for what is there.
                peer.send(if begun { 0x01 } else { 0x81 }, text).await;
                peer.hears_farewell(1007).await;
                peer.hears_end().await;
            }
        }
    });
}

/// What cannot become UTF-8 closes the connection while its frame has not arrived whole.
//= RFC 6455 §8.1
//= type=test
#[test]
fn text_is_refused_at_the_first_byte_that_is_wrong() {
    everywhere(async || {
        let mut peer = Peer::ask(echo(Options::default())).await;
        let whole = peer.frame(0x81, &[&b"good \xf0\x28"[..], &[b'x'; 500]].concat());
        peer.say(&whole[..8 + 7]).await;
        peer.hears_farewell(1007).await;
    });
}

/// A character may be cut by a fragment, and may not by the end of the message.
//= RFC 6455 §5.6
//= type=test
#[test]
fn characters_may_be_cut_by_fragments() {
    everywhere(async || {
        let (mut socket, mut other) = opened(Options::default()).await;
        let mut peer = Peer::ask(echo(Options::default())).await;
        let text = "κόσμε 𝄞";
        for at in 0..=text.len() {
            let (head, tail) = text.as_bytes().split_at(at);
            for peer in [&mut peer, &mut other] {
                peer.send(0x01, head).await;
                peer.send(0x80, tail).await;
            }
            peer.hears(0x81, text).await;
            assert_eq!(socket.read().await.unwrap(), Some(Event::Text(text)));
        }
        peer.send(0x01, b"\xf0\x9d").await;
        peer.send(0x80, b"\x84").await;
        peer.hears_farewell(1007).await;
    });
}

/// Bytes may be anything.
//= RFC 6455 §5.6
//= type=test
#[test]
fn bytes_are_not_looked_at() {
    everywhere(async || {
        let mut peer = Peer::ask(echo(Options::default())).await;
        peer.send(0x82, b"\xff\xc3\x28").await;
        peer.hears(0x82, b"\xff\xc3\x28").await;
    });
}
