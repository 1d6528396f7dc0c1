//! Packets that carry numbers, so that who receives them can tell what is missing.

use tautline_feed::format::{BuildError, Builder, Compact, Format, MoldUdp64, Session};

/// How packets are laid out that are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// The bytes alone; generated ones begin with their number as text.
    Plain,
    /// One message a packet.
    Compact(Session),
    MoldUdp64(Session),
}

/// Digits of a number that is sent as text.
const DIGITS: usize = 20;

impl Layout {
    /// What it is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Compact(_) => Compact::NAME,
            Self::MoldUdp64(_) => MoldUdp64::NAME,
        }
    }

    /// The same as `--format` takes it.
    pub(crate) fn option(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Compact(_) => "compact",
            Self::MoldUdp64(_) => "moldudp64",
        }
    }

    /// The session that its packets are of.
    pub(crate) fn session(self) -> Option<String> {
        match self {
            Self::Plain => None,
            Self::Compact(session) | Self::MoldUdp64(session) => Some(session.to_string()),
        }
    }

    /// What a packet has beside its message.
    pub(crate) fn overhead(self) -> usize {
        match self {
            Self::Plain => 0,
            Self::Compact(_) => Compact::HEADER + 2,
            Self::MoldUdp64(_) => MoldUdp64::HEADER + 2,
        }
    }

    /// Bytes of the shortest packet that can be generated.
    pub(crate) fn least(self) -> usize {
        self.overhead() + DIGITS
    }

    /// Writes a packet with a message.
    ///
    /// # Errors
    /// [`BuildError`]: the message is too long for the room.
    pub(crate) fn packet<'r>(
        self,
        room: &'r mut [u8],
        number: u64,
        message: &[u8],
    ) -> Result<&'r [u8], BuildError> {
        match self {
            Self::Plain => {
                let left = room.len();
                let full = BuildError::Full { needed: message.len(), left };
                let packet = room.get_mut(..message.len()).ok_or(full)?;
                packet.copy_from_slice(message);
                Ok(packet)
            }
            Self::Compact(session) => one::<Compact>(room, session, number, message),
            Self::MoldUdp64(session) => one::<MoldUdp64>(room, session, number, message),
        }
    }

    /// Writes a packet that names the number that comes next, so that the last one before silence is
    /// missed; `None`: the layout has none.
    pub(crate) fn heartbeat(self, room: &mut [u8], next: u64) -> Option<&[u8]> {
        self.none(room, next, false)
    }

    /// Writes a packet that says that nothing follows; `None`: the layout has none.
    pub(crate) fn end(self, room: &mut [u8], next: u64) -> Option<&[u8]> {
        self.none(room, next, true)
    }

    fn none(self, room: &mut [u8], next: u64, is_end: bool) -> Option<&[u8]> {
        match self {
            Self::Plain => None,
            Self::Compact(session) => none::<Compact>(room, session, next, is_end),
            Self::MoldUdp64(session) => none::<MoldUdp64>(room, session, next, is_end),
        }
    }
}

/// A packet without messages.
fn none<F: Format>(room: &mut [u8], session: Session, next: u64, is_end: bool) -> Option<&[u8]> {
    let builder = Builder::<F>::new(room, session, next).ok()?;
    Some(if is_end { builder.finish_session() } else { builder.finish() })
}

/// A packet with one.
fn one<'r, F: Format>(
    room: &'r mut [u8],
    session: Session,
    number: u64,
    message: &[u8],
) -> Result<&'r [u8], BuildError> {
    let mut builder = Builder::<F>::new(room, session, number)?;
    builder.push(message)?;
    Ok(builder.finish())
}

/// Writes the message of a generated packet, which has its number as text, filled up with dots.
pub(crate) fn fill(message: &mut [u8], mut number: u64) {
    message.fill(b'.');
    for digit in message.iter_mut().take(DIGITS).rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use tautline_feed::format::Kind;

    use super::super::header::{Choice, Header};
    use super::*;

    fn layouts() -> [Layout; 2] {
        [Layout::Compact(Session::of_number(9)), Layout::MoldUdp64(Session::of_number(9))]
    }

    /// Proves that packets of both feeds have their number, message and exactly the size that is
    /// asked for, and are recognised by who receives them.
    #[test]
    fn packets_of_feeds_are_recognised() {
        for layout in layouts() {
            let mut room = [0; 1500];
            let mut message = vec![0; 100 - layout.overhead()];
            fill(&mut message, 4711);
            let packet = layout.packet(&mut room, 4711, &message).unwrap();
            assert_eq!(packet.len(), 100);
            assert!(
                packet.ends_with(b"...")
                    && packet[layout.overhead()..].starts_with(b"00000000000000004711.")
            );
            let choice =
                if matches!(layout, Layout::Compact(_)) { Choice::Auto } else { Choice::MoldUdp64 };
            let header = Header::read(choice, packet).unwrap();
            assert_eq!((header.number, header.count()), (4711, 1));
        }
    }

    /// Proves that silence and the end name the number that comes next, where a layout has them.
    #[test]
    fn silence_and_end_name_the_next_number() {
        for layout in layouts() {
            let mut room = [0; 1500];
            let read = |packet: Option<&[u8]>| {
                Header::read(Choice::MoldUdp64, packet.unwrap())
                    .filter(|header| header.number == 5)
                    .or_else(|| Header::read(Choice::Compact, packet.unwrap()))
                    .unwrap()
            };
            assert_eq!(read(layout.heartbeat(&mut room, 5)).kind, Kind::Heartbeat);
            let end = read(layout.end(&mut room, 5));
            assert_eq!((end.kind, end.number), (Kind::End, 5));
        }
        assert_eq!(Layout::Plain.heartbeat(&mut [0; 64], 5), None);
        assert_eq!(Layout::Plain.end(&mut [0; 64], 5), None);
    }

    /// Proves that plain packets are what was given, and that what does not fit is refused.
    #[test]
    fn plain_packets_are_bare() {
        let mut room = [0; 8];
        assert_eq!(Layout::Plain.packet(&mut room, 1, b"bytes").unwrap(), b"bytes");
        assert!(Layout::Plain.packet(&mut room, 1, b"too long for it").is_err());
        assert!(layouts()[0].packet(&mut room, 1, b"").is_err());
    }
}
