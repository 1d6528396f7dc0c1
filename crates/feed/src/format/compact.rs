//! The project's own layout.

use super::{Format, Kind, Packet, ParseError, Session, Width};

/// Twelve bytes before the messages, where [`MoldUdp64`](super::MoldUdp64) has twenty.
///
/// Numbers are little-endian.
///
/// | offset | bytes | |
/// | --- | --- | --- |
/// | 0 | 1 | `0x54`, the letter T |
/// | 1 | 1 | kind: 0 messages, 1 heartbeat, 2 end of the session |
/// | 2 | 2 | messages; 0 but for kind 0 |
/// | 4 | 4 | session |
/// | 8 | 4 | number of the first message, or of the next; it wraps around |
/// | 12 | | messages, each behind its length in two bytes |
#[derive(Clone, Copy, Debug)]
pub struct Compact;

const MARK: u8 = 0x54;
const MESSAGES: u8 = 0;
const HEARTBEAT: u8 = 1;
const END: u8 = 2;

impl Format for Compact {
    const NAME: &'static str = "compact";
    const WIDTH: Width = Width::U32;
    const HEADER: usize = 12;
    const MOST: u16 = u16::MAX;
    const LONGEST: usize = u16::MAX as usize;

    #[inline]
    fn parse(datagram: &[u8]) -> Result<Packet<'_>, ParseError> {
        let format = Self::NAME;
        let Some((header, body)) = datagram.split_first_chunk::<12>() else {
            return Err(ParseError::Short { len: datagram.len(), format, header: 12 });
        };
        let [mark, kind, c0, c1, s0, s1, s2, s3, n0, n1, n2, n3] = *header;
        let count = u16::from_le_bytes([c0, c1]);
        let kind = if [mark, kind] == [MARK, MESSAGES] && count > 0 {
            Kind::Messages(count)
        } else {
            std::hint::cold_path();
            kind_of_others([mark, kind])?
        };
        let session = Session::of_number(u32::from_le_bytes([s0, s1, s2, s3]));
        let number = u64::from(u32::from_le_bytes([n0, n1, n2, n3]));
        Ok(Packet { session, number, kind, body })
    }

    #[inline]
    fn split(body: &[u8]) -> Option<(&[u8], &[u8])> {
        let (len, rest) = body.split_first_chunk::<2>()?;
        rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))
    }

    fn write_header(header: &mut [u8], session: Session, first: u64, kind: Kind) {
        let (kind, count) = match kind {
            Kind::Messages(count) => (MESSAGES, count),
            Kind::Heartbeat => (HEARTBEAT, 0),
            Kind::End => (END, 0),
        };
        header[..2].copy_from_slice(&[MARK, kind]);
        header[2..4].copy_from_slice(&count.to_le_bytes());
        header[4..8].copy_from_slice(&session.number().to_le_bytes());
        header[8..12].copy_from_slice(&(first as u32).to_le_bytes());
    }

    fn write_length(room: &mut [u8], len: usize) -> Option<usize> {
        let (length, rest) = room.split_first_chunk_mut::<2>()?;
        *length = u16::try_from(len).ok()?.to_le_bytes();
        (rest.len() >= len).then_some(2)
    }
}

/// Of packets without messages.
fn kind_of_others(begin: [u8; 2]) -> Result<Kind, ParseError> {
    let format = Compact::NAME;
    match begin {
        // Also one of no messages: as in MoldUDP64, for those who count.
        [MARK, MESSAGES | HEARTBEAT] => Ok(Kind::Heartbeat),
        [MARK, END] => Ok(Kind::End),
        [MARK, kind] => Err(ParseError::UnknownKind { kind, format }),
        found => Err(ParseError::Foreign { found: u16::from_be_bytes(found), format }),
    }
}
