//! The client of everybody: `rustls` on a socket that spins.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind};

use crate::echo::PATIENCE;
use crate::harness::Failure;

pub(super) struct Client {
    stream: TcpStream,
    session: ClientConnection,
    plain: Vec<u8>,
}

impl Client {
    /// Shakes hands.
    pub(super) fn open(stream: TcpStream, config: &Arc<ClientConfig>) -> Result<Self, Failure> {
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let session = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
        let mut client = Self { stream, session, plain: vec![0; 64 << 10] };
        let start = Instant::now();
        while client.session.is_handshaking() {
            client.flush()?;
            client.take_in()?;
            if start.elapsed() > PATIENCE {
                return Err(Failure::Stalled(PATIENCE));
            }
        }
        client.flush()?;
        Ok(client)
    }

    pub(super) fn kind(&self) -> Option<HandshakeKind> {
        self.session.handshake_kind()
    }

    /// Sends bytes.
    pub(super) fn say(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.session.writer().write_all(bytes)?;
        self.flush()
    }

    /// Takes in what is there; how many bytes that was.
    pub(super) fn hear(&mut self) -> Result<usize, Failure> {
        self.take_in()?;
        match self.session.reader().read(&mut self.plain) {
            Ok(count) => Ok(count),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends bytes, and waits until as many have come back.
    pub(super) fn echo(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.say(bytes)?;
        let (start, mut came) = (Instant::now(), 0);
        while came < bytes.len() {
            came += self.hear()?;
            if start.elapsed() > PATIENCE {
                return Err(Failure::Stalled(PATIENCE));
            }
        }
        Ok(())
    }

    /// Says farewell.
    pub(super) fn close(mut self) {
        self.session.send_close_notify();
        // Who has gone need not be told.
        let _ = self.flush();
    }

    fn flush(&mut self) -> Result<(), Failure> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.stream) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn take_in(&mut self) -> Result<(), Failure> {
        match self.session.read_tls(&mut self.stream) {
            Ok(0) => Err(io::Error::from(ErrorKind::UnexpectedEof).into()),
            Ok(_) => {
                self.session.process_new_packets().map_err(io::Error::other)?;
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
