//! MoldUDP64, as Nasdaq has published it.

use super::{Format, Kind, Packet, ParseError, Session, Width};

/// MoldUDP64 (Nasdaq, "MoldUDP64 Protocol Specification", version 1.00).
///
/// Numbers are big-endian.
///
/// | offset | bytes | |
/// | --- | --- | --- |
/// | 0 | 10 | session, text |
/// | 10 | 8 | number of the first message |
/// | 18 | 2 | messages; 0: heartbeat, 65,535: end of the session; both name the next number |
/// | 20 | | messages, each behind its length in two bytes |
///
/// A request for what was lost is such a header alone: [`MoldUdp64::request`].
#[derive(Clone, Copy, Debug)]
pub struct MoldUdp64;

const END: u16 = 0xffff;

impl MoldUdp64 {
    /// A request for that many messages from that number on: at least one, and at most
    /// [`Format::MOST`].
    ///
    /// ```
    /// use tautline_feed::format::{Format, Kind, MoldUdp64, Session};
    /// let session = Session::of_text("day1").unwrap();
    /// let request = MoldUdp64::request(session, 17, 3);
    /// let packet = MoldUdp64::parse(&request).unwrap();
    /// assert_eq!((packet.session, packet.number, packet.kind), (session, 17, Kind::Messages(3)));
    /// ```
    pub fn request(session: Session, first: u64, count: u16) -> [u8; 20] {
        debug_assert!((1..=Self::MOST).contains(&count), "it would say something else");
        let mut bytes = [0; 20];
        Self::write_header(&mut bytes, session, first, Kind::Messages(count));
        bytes
    }
}

impl Format for MoldUdp64 {
    const NAME: &'static str = "MoldUDP64";
    const WIDTH: Width = Width::U64;
    const HEADER: usize = 20;
    const MOST: u16 = END - 1;
    const LONGEST: usize = u16::MAX as usize;

    #[inline]
    fn parse(datagram: &[u8]) -> Result<Packet<'_>, ParseError> {
        let Some((header, body)) = datagram.split_first_chunk::<20>() else {
            return Err(ParseError::Short { len: datagram.len(), format: Self::NAME, header: 20 });
        };
        let [session @ .., _, _, _, _, _, _, _, _, _, _] = *header;
        let [_, _, _, _, _, _, _, _, _, _, number @ .., _, _] = *header;
        let [.., high, low] = *header;
        let kind = match u16::from_be_bytes([high, low]) {
            count @ 1..=Self::MOST => Kind::Messages(count),
            other => {
                std::hint::cold_path();
                if other == END { Kind::End } else { Kind::Heartbeat }
            }
        };
        let number = u64::from_be_bytes(number);
        Ok(Packet { session: Session::of_bytes(session), number, kind, body })
    }

    #[inline]
    fn split(body: &[u8]) -> Option<(&[u8], &[u8])> {
        let (len, rest) = body.split_first_chunk::<2>()?;
        rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
    }

    fn write_header(header: &mut [u8], session: Session, first: u64, kind: Kind) {
        let count = match kind {
            Kind::Messages(count) => count,
            Kind::Heartbeat => 0,
            Kind::End => END,
        };
        header[..10].copy_from_slice(&session.bytes());
        header[10..18].copy_from_slice(&first.to_be_bytes());
        header[18..20].copy_from_slice(&count.to_be_bytes());
    }

    fn write_length(room: &mut [u8], len: usize) -> Option<usize> {
        let (length, rest) = room.split_first_chunk_mut::<2>()?;
        *length = u16::try_from(len).ok()?.to_be_bytes();
        (rest.len() >= len).then_some(2)
    }
}
