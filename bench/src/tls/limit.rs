//! The bare loop: `rustls` fed from a receive and emptied by a send, on every connection in turn.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::ServerConnection;

use super::certificate;
use crate::harness::Role;
use crate::http::Server;

pub(super) fn server() -> Server {
    Server { name: "bare", role: Role::Limit, serve: bare }
}

struct Connection {
    stream: TcpStream,
    session: ServerConnection,
}

fn bare(listener: TcpListener, stop: Arc<AtomicBool>) -> io::Result<u64> {
    listener.set_nonblocking(true)?;
    let (mut connections, mut plain) = (Vec::<Connection>::new(), vec![0; 64 << 10]);
    let (mut echoed, mut looks) = (0, 0_u32);
    while !stop.load(Ordering::Relaxed) {
        looks += 1;
        if (connections.is_empty() || looks.is_multiple_of(256))
            && let Ok((stream, _)) = listener.accept()
        {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let session = ServerConnection::new(certificate().server.clone());
            connections.push(Connection { stream, session: session.map_err(io::Error::other)? });
        }
        connections.retain_mut(|connection| match connection.turn(&mut plain) {
            Ok(count) => {
                echoed += count;
                true
            }
            Err(_) => false,
        });
    }
    Ok(echoed)
}

impl Connection {
    fn turn(&mut self, plain: &mut [u8]) -> io::Result<u64> {
        match self.session.read_tls(&mut self.stream) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => {
                self.session.process_new_packets().map_err(io::Error::other)?;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        let mut echoed = 0;
        while let Ok(count) = self.session.reader().read(plain)
            && count > 0
        {
            self.session.writer().write_all(&plain[..count])?;
            echoed += count as u64;
        }
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.stream) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(echoed)
    }
}
