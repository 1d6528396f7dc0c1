//! How numbered messages lie in a packet.
//!
//! A packet names its session, the number of its first message and how many there are; the messages
//! follow, each behind its length. A packet without messages is a heartbeat: it names the number that
//! comes next, so that the last packet before silence cannot vanish unnoticed.

mod builder;
mod compact;
mod moldudp64;
mod session;
mod width;

pub use self::builder::{BuildError, Builder};
pub use self::compact::Compact;
pub use self::moldudp64::MoldUdp64;
pub(crate) use self::session::Expected;
pub use self::session::Session;
pub use self::width::Width;

/// A layout of packets.
///
/// Messages may have any bytes; what they mean is the business of others.
pub trait Format: 'static {
    /// What the layout is called.
    const NAME: &'static str;
    /// Bits of a message's number on the wire.
    const WIDTH: Width;
    /// Bytes of a packet before its first message.
    const HEADER: usize;
    /// Most messages of a packet.
    const MOST: u16;
    /// Most bytes of a message.
    const LONGEST: usize;

    /// Reads the header of a packet. Its messages are looked at when they are wanted.
    ///
    /// # Errors
    /// [`ParseError`].
    fn parse(datagram: &[u8]) -> Result<Packet<'_>, ParseError>;

    /// Takes the first message off the body of a packet: the message, and the rest. `None`: there is
    /// none, or not all of it. What follows the message has no part in that.
    fn split(body: &[u8]) -> Option<(&[u8], &[u8])>;

    /// Writes the header of a packet.
    fn write_header(header: &mut [u8], session: Session, first: u64, kind: Kind);

    /// Writes what stands before a message of that length, which is at most [`Format::LONGEST`];
    /// returns how many bytes that is. `None`: there is no room for it and the message.
    fn write_length(room: &mut [u8], len: usize) -> Option<usize>;
}

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// So many messages, at least one.
    Messages(u16),
    /// None: its number is that of the next message.
    Heartbeat,
    /// None: the session has ended before its number.
    End,
}

/// A packet, of which the header was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The run of numbers to which it belongs.
    pub session: Session,
    /// The number of its first message, or of the next, as it is on the wire: [`Format::WIDTH`] bits.
    pub number: u64,
    /// What it carries.
    pub kind: Kind,
    /// The messages, each behind its length.
    pub body: &'a [u8],
}

/// Why bytes are no packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// It ends within the header.
    #[error("{len} bytes are no packet of {format}: its header has {header}")]
    Short {
        /// Bytes there are.
        len: usize,
        /// The layout.
        format: &'static str,
        /// Bytes of its header.
        header: usize,
    },
    /// It begins otherwise.
    #[error("a packet of {format} does not begin with {found:#06x}")]
    Foreign {
        /// How it begins.
        found: u16,
        /// The layout.
        format: &'static str,
    },
    /// It is of a kind that is not known.
    #[error("{format} has no packets of kind {kind}")]
    UnknownKind {
        /// The kind.
        kind: u8,
        /// The layout.
        format: &'static str,
    },
}

/// How messages lie in a body of which it is known that it holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Each takes so many bytes, with its length.
    Even(usize),
    /// Each begins where the one before ends.
    AsTheyCome,
}

/// How that many messages lie in a body, if they and nothing else are in it.
#[inline]
pub(crate) fn holds<F: Format>(body: &[u8], count: u16) -> Option<Lie> {
    if count == 1 {
        return is_one::<F>(body).then_some(Lie::Even(body.len()));
    }
    holds_several::<F>(body, count)
}

/// Where a message begins is known only when the one before has been read, and that takes its time. So
/// it is guessed that all are as long as the first: whether that is so can be seen of each by itself.
#[inline(never)]
fn holds_several<F: Format>(body: &[u8], count: u16) -> Option<Lie> {
    let (_, rest) = F::split(body)?;
    let each = body.len() - rest.len();
    if each * usize::from(count) == body.len() && all_take::<F>(each, rest) {
        return Some(Lie::Even(each));
    }
    holds_as_they_come::<F>(body, count).then_some(Lie::AsTheyCome)
}

/// Whether a message, and nothing else, lies there.
#[inline]
fn is_one<F: Format>(bytes: &[u8]) -> bool {
    F::split(bytes).is_some_and(|(_, rest)| rest.is_empty())
}

/// Whether there are messages of so many bytes, with their lengths, and nothing else.
#[inline]
fn all_take<F: Format>(each: usize, mut body: &[u8]) -> bool {
    while !body.is_empty() {
        let Some((bytes, rest)) = body.split_at_checked(each) else { return false };
        if !is_one::<F>(bytes) {
            return false;
        }
        body = rest;
    }
    true
}

fn holds_as_they_come<F: Format>(mut body: &[u8], count: u16) -> bool {
    for _ in 0..count {
        let Some((_, rest)) = F::split(body) else { return false };
        body = rest;
    }
    body.is_empty()
}

/// The body from the message on that has so many before it. The body holds as many.
pub(crate) fn without_first<F: Format>(mut body: &[u8], messages: u64) -> &[u8] {
    for _ in 0..messages {
        body = F::split(body).map_or(&[], |(_, rest)| rest);
    }
    body
}

#[cfg(test)]
mod tests;
