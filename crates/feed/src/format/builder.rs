//! Packets, written into memory of the caller's.

use std::marker::PhantomData;

use super::{Format, Kind, Session};

/// Writes a packet message by message.
///
/// ```
/// use tautline_feed::format::{Builder, Format, Kind, MoldUdp64, Session};
/// let mut datagram = [0; 1400];
/// let session = Session::of_text("day1").unwrap();
/// let mut builder = Builder::<MoldUdp64>::new(&mut datagram, session, 17)?;
/// builder.push(b"add")?;
/// builder.push(b"trade")?;
/// let bytes = builder.finish();
/// assert_eq!(bytes.len(), 20 + 2 + 3 + 2 + 5);
/// assert_eq!(MoldUdp64::parse(bytes).unwrap().kind, Kind::Messages(2));
/// # Ok::<(), tautline_feed::format::BuildError>(())
/// ```
#[derive(Debug)]
pub struct Builder<'a, F> {
    bytes: &'a mut [u8],
    /// Bytes written.
    len: usize,
    session: Session,
    first: u64,
    /// Messages written.
    count: u16,
    format: PhantomData<F>,
}

/// Why something does not go into a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// Nothing more goes into it: send it, and begin another.
    #[error("{needed} bytes do not go into the {left} that are left of the packet: begin another")]
    Full {
        /// Bytes of it, without its length.
        needed: usize,
        /// Bytes that are left.
        left: usize,
    },
    /// No packet of the layout has room for it.
    #[error("a message of {len} bytes is too long: at most {most}")]
    Long {
        /// Bytes of the message.
        len: usize,
        /// As many are possible.
        most: usize,
    },
    /// The layout counts no more messages.
    #[error("a packet has at most {most} messages: begin another")]
    Many {
        /// As many.
        most: u16,
    },
}

impl<'a, F: Format> Builder<'a, F> {
    /// An empty packet, of at most as many bytes as there are, whose first message has that number.
    ///
    /// # Errors
    /// [`BuildError::Full`]: the header does not go into it.
    pub fn new(bytes: &'a mut [u8], session: Session, first: u64) -> Result<Self, BuildError> {
        if bytes.len() < F::HEADER {
            return Err(BuildError::Full { needed: F::HEADER, left: bytes.len() });
        }
        Ok(Self { bytes, len: F::HEADER, session, first, count: 0, format: PhantomData })
    }

    /// Adds a message.
    ///
    /// # Errors
    /// [`BuildError`]; the packet is as it was.
    pub fn push(&mut self, message: &[u8]) -> Result<(), BuildError> {
        if self.count == F::MOST {
            return Err(BuildError::Many { most: F::MOST });
        }
        if message.len() > F::LONGEST {
            return Err(BuildError::Long { len: message.len(), most: F::LONGEST });
        }
        let room = &mut self.bytes[self.len..];
        let left = room.len();
        let Some(length) = F::write_length(room, message.len()) else {
            return Err(BuildError::Full { needed: message.len(), left });
        };
        room[length..length + message.len()].copy_from_slice(message);
        self.len += length + message.len();
        self.count += 1;
        Ok(())
    }

    /// Messages in it.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// The packet; without messages it is a heartbeat.
    pub fn finish(self) -> &'a [u8] {
        let kind = if self.count == 0 { Kind::Heartbeat } else { Kind::Messages(self.count) };
        self.finish_as(kind)
    }

    /// The packet that says that the session has ended before its number.
    ///
    /// # Panics
    /// If there are messages in it.
    pub fn finish_session(self) -> &'a [u8] {
        assert_eq!(self.count, 0, "messages go before the end of a session");
        self.finish_as(Kind::End)
    }

    fn finish_as(self, kind: Kind) -> &'a [u8] {
        F::write_header(self.bytes, self.session, self.first, kind);
        &self.bytes[..self.len]
    }
}
