//! RFC 6455 §5.1 to §5.4: frames, masks and fragments.

use tautline_websocket::Options;
use tautline_websocket::read::{Event, Kind, Limits};

use crate::raw::{KEY, Peer, echo, everywhere, frame, frame_in_form, opened};

/// A server fails with 1002 when it is sent `bytes`, and answers nothing that follows.
async fn server_fails(bytes: &[u8], code: u16) {
    let mut peer = Peer::ask(echo(Options::default())).await;
    peer.say(bytes).await;
    peer.hears_farewell(code).await;
    peer.hears_end().await;
}

/// The same for a client.
async fn client_fails(bytes: &[u8], code: u16) {
    let (mut socket, mut peer) = opened(Options::default()).await;
    peer.say(bytes).await;
    let error = socket.read().await.expect_err("it fails");
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{error}");
    drop(socket);
    peer.hears_farewell(code).await;
    peer.hears_end().await;
}

/// A server closes the connection of a client that does not mask, and a client that of a server that does.
//= RFC 6455 §5.1
//= type=test
#[test]
fn masks_that_are_missing_or_wrong_close_the_connection() {
    everywhere(async || {
        server_fails(&frame(0x81, b"bare", None), 1002).await;
        server_fails(&frame(0x89, b"", None), 1002).await;
        client_fails(&frame(0x81, b"masked", Some(KEY)), 1002).await;
        client_fails(&frame(0x8a, b"", Some(KEY)), 1002).await;
    });
}

/// Reserved bits that nobody has negotiated close the connection.
//= RFC 6455 §5.2
//= type=test
#[test]
fn reserved_bits_close_the_connection() {
    everywhere(async || {
        for bits in [0x40, 0x20, 0x10, 0x70] {
            server_fails(&frame(0x81 | bits, b"x", Some(KEY)), 1002).await;
            client_fails(&frame(0x82 | bits, b"x", None), 1002).await;
            server_fails(&frame(0x89 | bits, b"x", Some(KEY)), 1002).await;
        }
    });
}

/// Opcodes without a meaning close the connection.
//= RFC 6455 §5.2
//= type=test
#[test]
fn opcodes_without_a_meaning_close_the_connection() {
    everywhere(async || {
        for opcode in [3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf] {
            server_fails(&frame(0x80 | opcode, b"x", Some(KEY)), 1002).await;
            client_fails(&frame(0x80 | opcode, b"x", None), 1002).await;
        }
    });
}

/// A length in more bytes than it needs, or of 2^63 and more, closes the connection.
//= RFC 6455 §5.2
//= type=test
#[test]
fn lengths_out_of_order_close_the_connection() {
    everywhere(async || {
        for (length, form) in [(0, 2), (125, 2), (125, 8), (126, 8), (65535, 8)] {
            server_fails(&frame_in_form(0x82, &vec![0; length], Some(KEY), form), 1002).await;
            client_fails(&frame_in_form(0x82, &vec![0; length], None, form), 1002).await;
        }
        let top_bit = [&b"\x82\xff\x80\0\0\0\0\0\0\0"[..], &KEY].concat();
        server_fails(&top_bit, 1002).await;
    });
}

/// Payloads of each length at which the header changes are received and sent. (That the header is the
/// shortest, each peer checks.)
//= RFC 6455 §5.2
//= type=test
#[test]
fn every_form_of_length_is_received_and_sent() {
    everywhere(async || {
        let mut peer = Peer::ask(echo(Options::default())).await;
        let (mut socket, mut other) = opened(Options::default()).await;
        for length in [0, 1, 125, 126, 127, 65535, 65536, 65537] {
            let payload: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            peer.send(0x82, &payload).await;
            peer.hears(0x82, &payload).await;
            other.send(0x82, &payload).await;
            assert_eq!(socket.read().await.unwrap(), Some(Event::Binary(&payload)));
            socket.sender().send(&payload).unwrap();
            other.hears(0x82, &payload).await;
        }
    });
}

/// A client masks each frame with a key of its own.
//= RFC 6455 §5.3
//= type=test
//= RFC 6455 §10.3
//= type=test
#[test]
fn a_client_draws_a_fresh_key_for_each_frame() {
    everywhere(async || {
        let (socket, mut peer) = opened(Options::default()).await;
        let mut keys = std::collections::HashSet::new();
        for _ in 0..20 {
            socket.sender().send("the same").unwrap();
            let heard = peer.hear().await;
            assert_eq!((heard.first, &heard.payload[..]), (0x81, &b"the same"[..]));
            keys.insert(heard.key.unwrap());
        }
        assert!(keys.len() >= 19, "{keys:x?}");
    });
}

/// A message in fragments is one, whatever their number, empty ones too, and however they are cut.
//= RFC 6455 §5.4
//= type=test
#[test]
fn fragments_are_one_message() {
    everywhere(async || {
        let mut peer = Peer::ask(echo(Options::default())).await;
        for (first, frames) in
            [(1, vec!["in ", "", "three ", "or four"]), (2, vec!["", ""]), (1, vec!["many "; 100])]
        {
            let whole = frames.concat();
            let mut bytes = Vec::new();
            for (at, payload) in frames.iter().enumerate() {
                let fin = if at + 1 == frames.len() { 0x80 } else { 0 };
                let opcode = if at == 0 { first } else { 0 };
                bytes.extend(peer.frame(fin | opcode, payload.as_bytes()));
            }
            peer.say(&bytes).await;
            peer.hears(0x80 | first, &whole).await;
            if bytes.len() < 100 {
                peer.say_slowly(&bytes).await;
                peer.hears(0x80 | first, &whole).await;
            }
        }
    });
}

/// What is sent in fragments is told as the RFC wants: the opcode on the first, the bit on the last.
//= RFC 6455 §5.4
//= type=test
#[test]
fn fragments_are_sent_in_order() {
    everywhere(async || {
        let (socket, mut peer) = opened(Options::default()).await;
        let sender = socket.sender();
        for (part, last) in [("one", false), ("", false), ("two", true)] {
            sender.send_part(Kind::Text, part.as_bytes(), last).unwrap();
        }
        sender.send("whole").unwrap();
        peer.hears(0x01, "one").await;
        peer.hears(0x00, "").await;
        peer.hears(0x80, "two").await;
        peer.hears(0x81, "whole").await;
    });
}

/// Fragments of two messages may not be mixed, and nothing is continued that has not begun: neither is
/// sent, and both close the connection when they come.
//= RFC 6455 §5.4
//= type=test
#[test]
fn fragments_out_of_place_close_the_connection() {
    everywhere(async || {
        let begun = frame(0x01, b"begun", Some(KEY));
        server_fails(&[&begun[..], &frame(0x81, b"another", Some(KEY))].concat(), 1002).await;
        server_fails(&[&begun[..], &frame(0x02, b"another", Some(KEY))].concat(), 1002).await;
        server_fails(&frame(0x80, b"of nothing", Some(KEY)), 1002).await;
        client_fails(&frame(0x00, b"of nothing", None), 1002).await;
        let ended = [frame(0x01, b"one", None), frame(0x80, b"", None), frame(0x80, b"", None)];
        let (mut socket, mut peer) = opened(Options::default()).await;
        peer.say(&ended.concat()).await;
        assert_eq!(socket.read().await.unwrap(), Some(Event::Text("one")));
        assert!(socket.read().await.is_err());

        let (socket, mut peer) = opened(Options::default()).await;
        let sender = socket.sender();
        sender.send_part(Kind::Text, b"begun", false).unwrap();
        assert!(sender.send("another").is_err());
        assert!(sender.send_part(Kind::Binary, b"another", false).is_err());
        sender.send_part(Kind::Text, b"ended", true).unwrap();
        peer.hears(0x01, "begun").await;
        peer.hears(0x80, "ended").await;
    });
}

/// Frames and messages that are longer than allowed, over all fragments, or in more of them than allowed,
/// are refused with 1009 by what their headers say.
//= RFC 6455 §10.4
//= type=test
//= RFC 6455 §7.4.1
//= type=test
#[test]
fn what_is_beyond_the_limits_is_refused_with_1009() {
    everywhere(async || {
        let limits = Limits { max_frame: 200, max_message: 300, whole: 300, max_fragments: 4 };
        let options = Options { limits, ..Options::default() };
        let head_of_long = [0x82, 0x80 | 126, 0, 201];
        let sum = [frame(2, &[0; 200], Some(KEY)), vec![0x80, 0x80 | 101]].concat();
        let many = [frame(2, b"", Some(KEY)), frame(0, b"", Some(KEY)).repeat(4)].concat();
        let long = [&head_of_long[..], &KEY].concat();
        for bytes in [long, [sum, KEY.to_vec()].concat(), many] {
            let mut peer = Peer::ask(echo(options)).await;
            peer.say(&bytes).await;
            peer.hears_farewell(1009).await;
            peer.hears_end().await;
        }
        let (mut socket, mut peer) = opened(options).await;
        peer.send(0x82, &[0; 201]).await;
        assert!(socket.read().await.is_err());
        assert_eq!(peer.hears_farewell(1009).await, "a frame of more than 200 bytes");
    });
}
