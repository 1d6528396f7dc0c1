//! Sending no faster than the peer takes: what waits is bounded.

use std::io;

use tautline_websocket::read::{Event, Kind};
use tautline_websocket::{Message, SendError, Sender};

/// Bytes of a frame at most: a longer message leaves in fragments.
const FRAME: usize = 1 << 20;

/// Sends a message, and waits while too much waits. Nothing is sent any more once the connection is
/// being closed: how that ends shows where it is read from.
pub(super) async fn send(sender: &Sender, message: Message<'_>) -> io::Result<()> {
    let bytes = message.bytes();
    if bytes.len() <= FRAME {
        return put(sender, || sender.send(message)).await;
    }
    let last = bytes.len().div_ceil(FRAME) - 1;
    for (at, part) in bytes.chunks(FRAME).enumerate() {
        send_part(sender, message.kind(), part, at == last).await?;
    }
    Ok(())
}

async fn send_part(sender: &Sender, kind: Kind, part: &[u8], last: bool) -> io::Result<()> {
    put(sender, || sender.send_part(kind, part, last)).await
}

/// Sends back what has come: text as text, binary as binary, parts as parts.
pub(super) async fn answer(sender: &Sender, event: Event<'_>) -> io::Result<()> {
    match event {
        Event::Text(text) => send(sender, Message::Text(text)).await,
        Event::Binary(bytes) => send(sender, Message::Binary(bytes)).await,
        Event::Part(part) => send_part(sender, part.kind, part.bytes, part.last).await,
        Event::Ping(_) | Event::Pong(_) | Event::Close(_) => Ok(()),
    }
}

async fn put(sender: &Sender, put: impl Fn() -> Result<(), SendError>) -> io::Result<()> {
    loop {
        match put() {
            Err(SendError::Full { .. }) => sender.ready().await,
            Err(SendError::Closing) => return Ok(()),
            other => {
                other?;
                sender.ready().await;
                return Ok(());
            }
        }
    }
}
