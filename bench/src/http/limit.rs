//! The bare loop: finds where requests end, and answers all that one receive has brought in one send.
//! Of HTTP/2 there is none: without its tables and windows nobody can speak it.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Server;
use crate::echo::{Received, receive, send};
use crate::harness::Role;

/// As long as what others answer.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\
    date: Tue, 01 Dec 2026 12:00:00 GMT\r\n\r\nhello, world!";

pub(super) fn server() -> Server {
    Server { name: "bare", role: Role::Limit, serve: bare }
}

struct Connection {
    stream: TcpStream,
    /// Bytes of the end of a request that have come: `\r\n\r\n`.
    ended: usize,
}

fn bare(listener: TcpListener, stop: Arc<AtomicBool>) -> io::Result<u64> {
    listener.set_nonblocking(true)?;
    let (mut connections, mut buffer, mut out) = (Vec::new(), vec![0; 64 << 10], Vec::new());
    let (mut answered, mut looks) = (0, 0_u32);
    while !stop.load(Ordering::Relaxed) {
        looks += 1;
        if looks.is_multiple_of(256)
            && let Ok((stream, _)) = listener.accept()
        {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            connections.push(Connection { stream, ended: 0 });
        }
        for connection in &mut connections {
            let Received::Bytes(count) = receive(&connection.stream, &mut buffer) else { continue };
            out.clear();
            for byte in &buffer[..count] {
                connection.ended = match (connection.ended, byte) {
                    (0 | 2, b'\r') | (1 | 3, b'\n') => connection.ended + 1,
                    (_, b'\r') => 1,
                    _ => 0,
                };
                if connection.ended == 4 {
                    connection.ended = 0;
                    out.extend_from_slice(ANSWER);
                    answered += 1;
                }
            }
            send(&connection.stream, &out)?;
        }
    }
    Ok(answered)
}
