//! The other side is another library.

use std::io::{Cursor, Error, ErrorKind, Read, Result, Write};

use tungstenite::handshake::HandshakeError;
use tungstenite::handshake::client::generate_key;

use super::*;

/// A connection of which one end is here: what was sent, and what is to be received.
#[derive(Debug, Default)]
struct Wire {
    sent: Vec<u8>,
    received: Cursor<Vec<u8>>,
}

impl Wire {
    fn with(received: &[u8]) -> Self {
        Self { sent: Vec::new(), received: Cursor::new(received.to_vec()) }
    }
}

impl Read for Wire {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize> {
        let n = self.received.read(bytes)?;
        if n == 0 { Err(Error::from(ErrorKind::WouldBlock)) } else { Ok(n) }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.sent.write(bytes)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A server of theirs understands our request, and we its answer.
#[test]
fn another_server_understands_the_client() {
    let request = Request::new(&url()).header("X-Key", "k").expect("it may be added");
    let mut client = request.start([42; 16]);
    let accepted = tungstenite::accept(Wire::with(client.bytes())).expect("it is understood");
    let answer = &accepted.get_ref().sent;
    let Ok(Answer::Opened(opened)) = client.parse(answer) else { panic!("it is right") };
    assert_eq!(opened.used(), answer.len());
}

/// A client of theirs is understood by us, and understands our answer.
#[test]
fn another_client_understands_the_server() {
    let request = tungstenite::http::Request::builder()
        .uri("ws://server.example.com:81/chat?x=y")
        .header("Host", "server.example.com:81")
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Key", generate_key())
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Protocol", "chat")
        .body(())
        .expect("it is a request");
    let Err(HandshakeError::Interrupted(mut waits)) = tungstenite::client(request, Wire::default())
    else {
        panic!("it waits for an answer")
    };
    let sent = std::mem::take(&mut waits.get_mut().get_mut().sent);
    let text = String::from_utf8(sent).expect("it is text");
    let upgrade = granted(&text);
    assert_eq!((upgrade.path(), upgrade.query()), ("/chat", Some("x=y")));
    let answer = upgrade.accept().protocol(Some("chat")).expect("it is offered").bytes();
    waits.get_mut().get_mut().received = Cursor::new(answer);
    let (_, response) = waits.handshake().expect("the answer is understood");
    assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "chat");
}
