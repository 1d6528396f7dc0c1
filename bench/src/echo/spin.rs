//! The bare spinning loop: a non-blocking receive on every connection in turn, and a send.

use std::{io, net::TcpStream};

use super::{End, RECEIVE_BUFFER, Received, receive, send};

/// Runs until every connection is closed or `end` is over.
pub(super) fn run(mut connections: Vec<TcpStream>, end: &mut impl End) -> io::Result<()> {
    let mut buffer = vec![0; RECEIVE_BUFFER];
    while !connections.is_empty() && !end.is_over() {
        let mut closed = None;
        for (index, stream) in connections.iter().enumerate() {
            match receive(stream, &mut buffer) {
                Received::Nothing => {}
                Received::Closed => closed = Some(index),
                Received::Bytes(count) if end.arrived(count) => send(stream, &buffer[..count])?,
                Received::Bytes(_) => {}
            }
        }
        closed.map(|index| connections.swap_remove(index));
    }
    Ok(())
}
