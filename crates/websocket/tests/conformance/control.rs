//! RFC 6455 §5.5: pings and pongs.

use tautline_websocket::Options;
use tautline_websocket::read::Event;

use crate::raw::{KEY, Peer, echo, everywhere, frame, opened};

/// A control frame of more than 125 bytes, or in fragments, closes the connection.
//= RFC 6455 §5.5
//= type=test
#[test]
fn control_frames_out_of_order_close_the_connection() {
    everywhere(async || {
        for opcode in [8, 9, 10] {
            for bytes in [
                frame(0x80 | opcode, &[b'x'; 126], Some(KEY)),
                frame(0x80 | opcode, &[b'x'; 65536], Some(KEY)),
                frame(opcode, b"", Some(KEY)),
            ] {
                let mut peer = Peer::ask(echo(Options::default())).await;
                peer.say(&bytes).await;
                peer.hears_farewell(1002).await;
                peer.hears_end().await;
            }
        }
    });
}

/// A ping is answered by a pong with the same payload, of every length, by both roles.
//= RFC 6455 §5.5.2
//= type=test
//= RFC 6455 §5.5.3
//= type=test
#[test]
fn a_ping_is_answered_with_its_payload() {
    everywhere(async || {
        let mut peer = Peer::ask(echo(Options::default())).await;
        let (mut socket, mut other) = opened(Options::default()).await;
        for length in [0, 1, 124, 125] {
            let payload = vec![0xfe; length];
            peer.send(0x89, &payload).await;
            peer.hears(0x8a, &payload).await;
            other.send(0x89, &payload).await;
            assert_eq!(socket.read().await.unwrap(), Some(Event::Ping(&payload)));
            other.hears(0x8a, &payload).await;
        }
    });
}

/// A ping in the middle of a message is answered before the message ends, and harms it not.
//= RFC 6455 §5.4
//= type=test
//= RFC 6455 §5.5
//= type=test
#[test]
fn a_ping_within_a_message_is_answered_at_once() {
    everywhere(async || {
        let mut peer = Peer::ask(echo(Options::default())).await;
        peer.send(0x01, b"mess").await;
        peer.send(0x89, b"now").await;
        peer.hears(0x8a, "now").await;
        peer.send(0x80, b"age").await;
        peer.hears(0x81, "message").await;
    });
}

/// A pong that nobody has asked for is not answered.
//= RFC 6455 §5.5.3
//= type=test
#[test]
fn a_pong_is_not_answered() {
    everywhere(async || {
        let mut peer = Peer::ask(echo(Options::default())).await;
        peer.send(0x8a, b"unasked").await;
        peer.send(0x81, b"next").await;
        peer.hears(0x81, "next").await;
    });
}
