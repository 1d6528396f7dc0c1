//! RFC 6455 §5.5.1 and §7: the closing handshake.

use std::time::Duration;

use tautline_runtime::timer;
use tautline_websocket::read::Event;
use tautline_websocket::{CloseCode, Options, SendError};

use crate::raw::{Peer, echo, everywhere, opened};

/// A farewell is answered with its code; nothing of what comes behind it is answered; and the server ends
/// the stream.
//= RFC 6455 §5.5.1
//= type=test
//= RFC 6455 §7.1.1
//= type=test
#[test]
fn a_server_answers_a_farewell_and_ends_the_stream() {
    everywhere(async || {
        for code in [1000, 1001, 1003, 1007, 1011, 3000, 3999, 4000, 4999_u16] {
            let mut peer = Peer::ask(echo(Options::default())).await;
            let farewell = peer.frame(0x88, &[&code.to_be_bytes()[..], b"bye"].concat());
            let behind = [peer.frame(0x89, b"ping"), peer.frame(0x81, b"text")].concat();
            peer.say(&[farewell, behind].concat()).await;
            peer.hears_farewell(code).await;
            peer.hears_end().await;
        }
    });
}

/// A farewell without a code is answered.
//= RFC 6455 §5.5.1
//= type=test
//= RFC 6455 §7.1.5
//= type=test
#[test]
fn a_farewell_without_a_code_is_answered() {
    everywhere(async || {
        let mut peer = Peer::ask(echo(Options::default())).await;
        peer.send(0x88, b"").await;
        peer.hears(0x88, b"").await;
        peer.hears_end().await;
        let (mut socket, mut peer) = opened(Options::default()).await;
        peer.send(0x88, b"").await;
        assert_eq!(socket.read().await.unwrap(), None);
        assert_eq!(socket.ended().unwrap().code, None);
        peer.hears(0x88, b"").await;
    });
}

/// A farewell whose code may not be sent, or whose reason is no text, closes with what is wrong with it.
//= RFC 6455 §7.4.1
//= type=test
//= RFC 6455 §7.4.2
//= type=test
#[test]
fn farewells_out_of_order_close_the_connection() {
    everywhere(async || {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535_u16] {
            let mut peer = Peer::ask(echo(Options::default())).await;
            peer.send(0x88, &code.to_be_bytes()).await;
            peer.hears_farewell(1002).await;
            peer.hears_end().await;
        }
        for (payload, code) in [(&b"\x03"[..], 1002), (b"\x03\xe8\xff\xfe", 1007)] {
            let mut peer = Peer::ask(echo(Options::default())).await;
            peer.send(0x88, payload).await;
            peer.hears_farewell(code).await;
            peer.hears_end().await;
        }
    });
}

/// The end that says farewell sends nothing behind it, still receives, and is told what the peer answers.
//= RFC 6455 §5.5.1
//= type=test
//= RFC 6455 §7.1.2
//= type=test
//= RFC 6455 §7.1.6
//= type=test
#[test]
fn nothing_is_sent_behind_a_farewell() {
    everywhere(async || {
        let (mut socket, mut peer) = opened(Options::default()).await;
        let sender = socket.sender();
        sender.send("last").unwrap();
        sender.close(CloseCode::NORMAL, "enough").unwrap();
        assert!(matches!(sender.send("too late"), Err(SendError::Closing)));
        assert!(matches!(sender.ping(b""), Err(SendError::Closing)));
        peer.hears(0x81, "last").await;
        assert_eq!(peer.hears_farewell(1000).await, "enough");
        peer.send(0x89, b"not to be answered").await;
        peer.send(0x81, b"still under way").await;
        peer.send(0x88, b"\x0f\xa0fine").await;
        assert!(matches!(socket.read().await.unwrap(), Some(Event::Ping(_))));
        assert_eq!(socket.read().await.unwrap(), Some(Event::Text("still under way")));
        assert_eq!(socket.read().await.unwrap(), None);
        let ended = socket.ended().unwrap();
        assert_eq!((ended.code, &ended.reason[..]), (CloseCode::new(4000), "fine"));
        peer.hears_nothing().await;
    });
}

/// A client leaves it to the server to end the stream.
//= RFC 6455 §7.1.1
//= type=test
#[test]
fn a_client_waits_for_the_server_to_end_the_stream() {
    everywhere(async || {
        let (mut socket, mut peer) = opened(Options::default()).await;
        peer.send(0x88, b"\x03\xe8").await;
        assert_eq!(socket.read().await.unwrap(), None);
        peer.hears_farewell(1000).await;
        peer.hears_nothing().await;
        peer.end();
        drop(socket);
        peer.hears_end().await;
    });
}

/// A peer that does not answer a farewell, or does not end the stream, is cut off after a while.
//= RFC 6455 §7.1.1
//= type=test
#[test]
fn who_does_not_answer_a_farewell_is_cut_off() {
    everywhere(async || {
        let options = Options { close_within: Duration::from_millis(50), ..Options::default() };
        let (mut socket, mut peer) = opened(options).await;
        socket.sender().close(CloseCode::NORMAL, "").unwrap();
        let error = socket.read().await.expect_err("nobody answers");
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "{error}");
        peer.hears_farewell(1000).await;
        peer.hears_end().await;
        // Answered, and the stream not ended.
        let (mut socket, mut peer) = opened(options).await;
        peer.send(0x88, b"").await;
        assert_eq!(socket.read().await.unwrap(), None);
        peer.hears(0x88, b"").await;
        peer.hears_end().await;
    });
}

/// A stream that ends without a farewell is an error, at both ends; within a message too.
//= RFC 6455 §7.1.5
//= type=test
#[test]
fn an_end_without_a_farewell_is_an_error() {
    everywhere(async || {
        for begun in [&b""[..], b"\x01\x05begun", b"\x81\x7f\0\0"] {
            let (mut socket, mut peer) = opened(Options::default()).await;
            peer.say(begun).await;
            peer.end();
            let error = socket.read().await.expect_err("no farewell");
            assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{error}");
            peer.hears_end().await;
        }
        let peer = Peer::ask(echo(Options::default())).await;
        peer.end();
        let mut peer = peer;
        peer.hears_end().await;
    });
}

/// What comes behind something that is wrong is not looked at.
//= RFC 6455 §7.1.7
//= type=test
#[test]
fn nothing_is_received_behind_what_is_wrong() {
    everywhere(async || {
        let mut peer = Peer::ask(echo(Options::default())).await;
        let before = peer.frame(0x81, b"before");
        let wrong = peer.frame(0x83, b"wrong");
        let behind = peer.frame(0x81, b"behind");
        peer.say(&[before, wrong, behind].concat()).await;
        peer.hears(0x81, "before").await;
        peer.hears_farewell(1002).await;
        peer.hears_end().await;
    });
}

/// A peer that gives no sign is asked for one, and cut off if it gives none; one that does is kept.
#[test]
fn who_gives_no_sign_is_cut_off() {
    everywhere(async || {
        let options = Options {
            ping_every: Some(Duration::from_millis(200)),
            pong_within: Duration::from_millis(200),
            ..Options::default()
        };
        let mut peer = Peer::ask(echo(options)).await;
        for _ in 0..3 {
            peer.hears(0x89, "").await;
            peer.send(0x8a, b"").await;
        }
        peer.hears(0x89, "").await;
        peer.hears_end().await;
        timer::sleep(Duration::from_millis(1)).await.unwrap();
    });
}
