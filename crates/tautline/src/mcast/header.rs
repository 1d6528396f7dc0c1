//! What the header of a packet says of its place in a feed, for the formats that are known.

use std::fmt;
use std::str::FromStr;

use tautline_feed::format::{Compact, Format, Kind, MoldUdp64, Packet, Session, Width};

/// Which format packets are taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The one that a packet looks like, if any.
    #[default]
    Auto,
    /// None: packets have no numbers.
    Plain,
    Compact,
    MoldUdp64,
    Rtp,
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "auto" => Self::Auto,
            "plain" => Self::Plain,
            "compact" => Self::Compact,
            "moldudp64" => Self::MoldUdp64,
            "rtp" => Self::Rtp,
            _ => return Err("write auto, plain, compact, moldudp64 or rtp".to_owned()),
        })
    }
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The run of numbers that it belongs to.
    pub(crate) stream: Stream,
    /// The number of its first message, or of the next, as it is on the wire.
    pub(crate) number: u64,
    /// What it carries.
    pub(crate) kind: Kind,
    /// What RTP carries, as was agreed upon elsewhere.
    pub(crate) payload_type: Option<u8>,
}

/// A run of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stream {
    Compact(Session),
    MoldUdp64(Session),
    /// RFC 3550, by what tells the streams of a sender apart.
    Rtp(u32),
}

impl Stream {
    /// What the format is called.
    pub(crate) fn format(self) -> &'static str {
        match self {
            Self::Compact(_) => Compact::NAME,
            Self::MoldUdp64(_) => MoldUdp64::NAME,
            Self::Rtp(_) => "RTP",
        }
    }

    /// The same as `--format` takes it.
    pub(crate) fn option(self) -> &'static str {
        match self {
            Self::Compact(_) => "compact",
            Self::MoldUdp64(_) => "moldudp64",
            Self::Rtp(_) => "rtp",
        }
    }

    /// Bits of its numbers on the wire.
    pub(crate) fn width(self) -> Width {
        match self {
            Self::Compact(_) => Compact::WIDTH,
            Self::MoldUdp64(_) => MoldUdp64::WIDTH,
            Self::Rtp(_) => Width::U16,
        }
    }

    /// What the format calls the stream.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Compact(session) | Self::MoldUdp64(session) => session.to_string(),
            Self::Rtp(ssrc) => format!("{ssrc:#010x}"),
        }
    }
}

impl Header {
    /// The header of a packet, if it has one of the format that was chosen.
    pub(crate) fn read(choice: Choice, packet: &[u8]) -> Option<Self> {
        match choice {
            Choice::Plain => None,
            Choice::Compact => compact(packet, |_| true),
            Choice::MoldUdp64 => moldudp64(packet, |_| true),
            Choice::Rtp => rtp(packet),
            Choice::Auto => recognise(packet),
        }
    }

    /// Messages, or packets where a packet is one.
    pub(crate) fn count(&self) -> u64 {
        match self.kind {
            Kind::Messages(count) => u64::from(count),
            Kind::Heartbeat | Kind::End => 0,
        }
    }

    /// What it carries, in one word.
    pub(crate) fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Messages(_) => "messages",
            Kind::Heartbeat => "heartbeat",
            Kind::End => "end",
        }
    }
}

/// `compact session 7 #17, 3 messages`.
impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (format, name, number) = (self.stream.format(), self.stream.name(), self.number);
        if let Some(payload_type) = self.payload_type {
            return write!(f, "{format} {name} #{number}, payload type {payload_type}");
        }
        write!(f, "{format} session {name} ")?;
        match self.kind {
            Kind::Messages(1) => write!(f, "#{number}, 1 message"),
            Kind::Messages(count) => write!(f, "#{number}, {count} messages"),
            Kind::Heartbeat => write!(f, "heartbeat, next #{number}"),
            Kind::End => write!(f, "end, next #{number}"),
        }
    }
}

/// The format that a packet looks like: exactly what its header says must be in it, and by their
/// first bytes no packet looks like two of them.
fn recognise(packet: &[u8]) -> Option<Header> {
    let is_text = |session: Session| {
        let bytes = session.bytes();
        bytes.iter().all(|byte| (b' '..=b'~').contains(byte))
    };
    compact(packet, is_whole::<Compact>)
        .or_else(|| rtp(packet))
        .or_else(|| moldudp64(packet, |it| is_text(it.session) && is_whole::<MoldUdp64>(it)))
}

fn compact(packet: &[u8], fits: impl Fn(&Packet<'_>) -> bool) -> Option<Header> {
    let it = Compact::parse(packet).ok().filter(fits)?;
    Some(numbered(Stream::Compact(it.session), &it))
}

fn moldudp64(packet: &[u8], fits: impl Fn(&Packet<'_>) -> bool) -> Option<Header> {
    let it = MoldUdp64::parse(packet).ok().filter(fits)?;
    Some(numbered(Stream::MoldUdp64(it.session), &it))
}

fn numbered(stream: Stream, packet: &Packet<'_>) -> Header {
    Header { stream, number: packet.number, kind: packet.kind, payload_type: None }
}

/// Whether the messages that are told of, and nothing else, are in a packet.
fn is_whole<F: Format>(packet: &Packet<'_>) -> bool {
    let count = match packet.kind {
        Kind::Messages(count) => count,
        Kind::Heartbeat | Kind::End => 0,
    };
    let mut body = packet.body;
    for _ in 0..count {
        let Some((_, rest)) = F::split(body) else { return false };
        body = rest;
    }
    body.is_empty()
}

//= RFC 3550 §5.1
fn rtp(packet: &[u8]) -> Option<Header> {
    let (header, rest) = packet.split_first_chunk::<12>()?;
    let [flags, kind, n0, n1, _, _, _, _, s0, s1, s2, s3] = *header;
    let sources = 4 * usize::from(flags & 0x0f);
    let payload_type = kind & 0x7f;
    // Types 72 to 76 with the mark are those of RTCP, which comes on ports of its own or not.
    let is_rtcp = (72..=76).contains(&payload_type);
    if flags >> 6 != 2 || is_rtcp || rest.len() < sources {
        return None;
    }
    let ssrc = u32::from_be_bytes([s0, s1, s2, s3]);
    let number = u64::from(u16::from_be_bytes([n0, n1]));
    let payload_type = Some(payload_type);
    Some(Header { stream: Stream::Rtp(ssrc), number, kind: Kind::Messages(1), payload_type })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tautline_feed::format::Builder;

    use super::*;

    const RTP: [u8; 14] = [0x80, 0xe0, 0x12, 0x67, 0, 0, 0, 9, 0xde, 0xad, 0xbe, 0xef, 1, 2];

    fn packet<F: Format>(session: Session, first: u64, messages: &[&[u8]]) -> Vec<u8> {
        let mut room = [0; 1400];
        let mut builder = Builder::<F>::new(&mut room, session, first).unwrap();
        messages.iter().for_each(|message| builder.push(message).unwrap());
        builder.finish().to_vec()
    }

    fn day() -> Session {
        Session::of_text("day1").unwrap()
    }

    /// Proves that each format is recognised by itself, and says what its header says.
    #[test]
    fn formats_are_recognised() {
        let told = |packet: &[u8]| Header::read(Choice::Auto, packet).unwrap().to_string();
        let seven = Session::of_number(7);
        assert_eq!(
            told(&packet::<Compact>(seven, 17, &[b"a", b""])),
            "compact session 7 #17, 2 messages"
        );
        assert_eq!(
            told(&packet::<Compact>(seven, 17, &[])),
            "compact session 7 heartbeat, next #17"
        );
        assert_eq!(
            told(&packet::<MoldUdp64>(day(), 1 << 40, &[b"a"])),
            "MoldUDP64 session day1 #1099511627776, 1 message"
        );
        let mut room = [0; 20];
        let end = Builder::<MoldUdp64>::new(&mut room, day(), 5).unwrap().finish_session();
        assert_eq!(told(end), "MoldUDP64 session day1 end, next #5");
        assert_eq!(told(&RTP), "RTP 0xdeadbeef #4711, payload type 96");
    }

    /// Proves that what has no numbers gets none: text, control packets, and packets that end early
    /// or late.
    #[test]
    fn other_packets_are_not_taken_for_a_feed() {
        let mut rtcp = RTP;
        rtcp[1] = 200;
        let mut long = packet::<Compact>(Session::of_number(7), 1, &[b"abc"]);
        let short = long[..long.len() - 1].to_vec();
        long.push(0);
        let text = b"The quick brown fox jumps over the lazy dog".to_vec();
        for other in [rtcp.to_vec(), long, short, text, b"T".to_vec(), Vec::new()] {
            assert_eq!(Header::read(Choice::Auto, &other), None, "{other:?}");
        }
        assert_eq!(Header::read(Choice::Plain, &RTP), None);
    }

    /// Proves that a format that was chosen is believed where it would not be recognised.
    #[test]
    fn a_chosen_format_is_believed() {
        let unreadable = Session::of_bytes([1; 10]);
        let packet = packet::<MoldUdp64>(unreadable, 3, &[b"a"]);
        assert_eq!(Header::read(Choice::Auto, &packet), None);
        let header = Header::read(Choice::MoldUdp64, &packet).unwrap();
        assert_eq!((header.number, header.count(), header.kind_name()), (3, 1, "messages"));
    }

    proptest! {
        /// Proves that no bytes make it panic, whatever format is chosen.
        #[test]
        fn any_bytes_can_be_looked_at(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            for choice in ["auto", "plain", "compact", "moldudp64", "rtp"] {
                let header = Header::read(choice.parse().unwrap(), &bytes);
                prop_assert!(header.is_none_or(|it| !it.to_string().contains('\n')));
            }
        }
    }
}
