//! A format whose numbers wrap around soon.

use crate::format::{Compact, Format, Kind, Packet, ParseError, Session, Width};

/// As [`Compact`], but numbers have 16 bits.
#[derive(Clone, Copy, Debug)]
pub struct Narrow;

impl Format for Narrow {
    const NAME: &'static str = "narrow";
    const WIDTH: Width = Width::U16;
    const HEADER: usize = Compact::HEADER;
    const MOST: u16 = Compact::MOST;
    const LONGEST: usize = Compact::LONGEST;

    fn parse(datagram: &[u8]) -> Result<Packet<'_>, ParseError> {
        let packet = Compact::parse(datagram)?;
        Ok(Packet { number: packet.number & 0xffff, ..packet })
    }

    fn split(body: &[u8]) -> Option<(&[u8], &[u8])> {
        Compact::split(body)
    }

    fn write_header(header: &mut [u8], session: Session, first: u64, kind: Kind) {
        Compact::write_header(header, session, first & 0xffff, kind);
    }

    fn write_length(room: &mut [u8], len: usize) -> Option<usize> {
        Compact::write_length(room, len)
    }
}
