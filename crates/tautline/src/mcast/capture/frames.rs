//! Frames, out of the bytes of a capture that come in pieces.

use pcap_parser::nom::{Err as Unread, IResult};
use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{
    Block, InterfaceDescriptionBlock, LegacyPcapBlock, Linktype, PcapError, PcapHeader,
    parse_block_be, parse_block_le, parse_pcap_frame, parse_pcap_frame_be,
    parse_pcap_frame_modified, parse_pcap_header, parse_sectionheaderblock,
};

use super::super::seen::Wall;

/// Bytes that a block of a capture may have.
const MOST: usize = 1 << 26;

/// A frame of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) time: Option<Wall>,
    /// What it was captured on.
    pub(crate) medium: Linktype,
    pub(crate) interface: Option<&'a str>,
    /// What was kept of it.
    pub(crate) bytes: &'a [u8],
}

/// Why there are no more frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// It is no capture.
    Foreign,
    /// It ends too early, or something stands in it that cannot.
    Damaged(&'static str),
}

/// Reads the block of the older format that bytes begin with.
type Older = for<'a> fn(&'a [u8]) -> IResult<&'a [u8], LegacyPcapBlock<'a>, PcapError<&'a [u8]>>;

/// What the blocks behind the first one look like.
#[derive(Clone, Copy)]
enum Layout {
    Older(Older),
    Newer,
}

/// What the next block is.
enum Next {
    Frame,
    Other,
    /// There is more of it to come.
    Incomplete,
    Flaw(Flaw),
}

/// Divides the bytes of a capture into frames.
#[derive(Default)]
pub(crate) struct Frames {
    bytes: Vec<u8>,
    /// Where the next block begins.
    start: usize,
    /// Nothing more will come.
    has_ended: bool,
    /// `None` before the first block.
    layout: Option<Layout>,
    kept: Kept,
}

impl Frames {
    /// Takes more bytes, behind those of which all whole frames were taken out.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// There are no more bytes.
    pub(crate) fn end(&mut self) {
        self.has_ended = true;
    }

    /// Whether there are no more bytes.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// The next frame; `None`: more bytes are wanted, or that was the end.
    ///
    /// # Errors
    /// [`Flaw`]: nothing behind it can be read.
    pub(crate) fn next(&mut self) -> Result<Option<Frame<'_>>, Flaw> {
        loop {
            match self.look() {
                Next::Frame => return Ok(Some(self.kept.frame())),
                Next::Other => {}
                Next::Flaw(flaw) => return Err(flaw),
                Next::Incomplete => return self.incomplete().map(|()| None),
            }
        }
    }

    /// Whether it may be that a block is not whole.
    fn incomplete(&self) -> Result<(), Flaw> {
        match (self.bytes.len() - self.start, self.layout) {
            (_, None) if self.has_ended => Err(Flaw::Foreign),
            (1.., _) if self.has_ended => {
                Err(Flaw::Damaged("the file ends in the midst of a packet"))
            }
            (MOST.., _) => Err(Flaw::Damaged("what follows is longer than a packet can be")),
            _ => Ok(()),
        }
    }

    fn look(&mut self) -> Next {
        let (bytes, kept) = (&self.bytes[self.start..], &mut self.kept);
        let read = match self.layout {
            None => match layout(bytes) {
                Ok((rest, layout, header)) => {
                    self.layout = Some(layout);
                    header.iter().for_each(|header| kept.begin(header));
                    Ok((rest, Next::Other))
                }
                Err(next) => return next,
            },
            Some(Layout::Older(parse)) => {
                parse(bytes).map(|(rest, block)| (rest.len(), kept.take_older(&block)))
            }
            Some(Layout::Newer) => {
                let parse = if kept.is_big_endian { parse_block_be } else { parse_block_le };
                parse(bytes).map(|(rest, block)| (rest.len(), kept.take_newer(&block)))
            }
        };
        match read {
            Ok((rest, next)) => {
                self.start = self.bytes.len() - rest;
                next
            }
            Err(Unread::Incomplete(_)) => Next::Incomplete,
            Err(_) => Next::Flaw(Flaw::Damaged("what follows is no packet")),
        }
    }
}

/// How a capture goes on that begins so: the length of what is behind its header, and the header if it
/// is of the older format. The header of the newer one is a block like others.
fn layout(bytes: &[u8]) -> Result<(usize, Layout, Option<PcapHeader>), Next> {
    let newer = parse_sectionheaderblock(bytes);
    if newer.is_ok() {
        return Ok((bytes.len(), Layout::Newer, None));
    }
    match parse_pcap_header(bytes) {
        Ok((rest, header)) => {
            let parse: Older = match (header.is_modified_format(), header.is_bigendian()) {
                (true, _) => parse_pcap_frame_modified,
                (false, true) => parse_pcap_frame_be,
                (false, false) => parse_pcap_frame,
            };
            Ok((rest.len(), Layout::Older(parse), Some(header)))
        }
        Err(Unread::Incomplete(_)) => Err(Next::Incomplete),
        Err(_) if matches!(newer, Err(Unread::Incomplete(_))) => Err(Next::Incomplete),
        Err(_) => Err(Next::Flaw(Flaw::Foreign)),
    }
}

/// Where frames of a capture come from.
#[derive(Debug)]
struct Origin {
    medium: Linktype,
    name: Option<String>,
    /// How its times are counted, as `if_tsresol` says it.
    resolution: u8,
    /// Seconds to be added to each.
    offset: i64,
}

/// What is kept of the blocks that were read.
#[derive(Default)]
struct Kept {
    /// Where the frames of this section come from, by their numbers.
    origins: Vec<Origin>,
    /// This section has its numbers with the highest byte first.
    is_big_endian: bool,
    /// The last frame: its origin, time and bytes.
    origin: usize,
    time: Option<Wall>,
    bytes: Vec<u8>,
}

impl Kept {
    fn frame(&self) -> Frame<'_> {
        let Self { origins, origin, time, bytes, .. } = self;
        let origin = origins.get(*origin);
        let medium = origin.map_or(Linktype::NULL, |origin| origin.medium);
        let interface = origin.and_then(|origin| origin.name.as_deref());
        Frame { time: *time, medium, interface, bytes }
    }

    fn take_older(&mut self, block: &LegacyPcapBlock<'_>) -> Next {
        let LegacyPcapBlock { ts_sec, ts_usec, data, .. } = *block;
        let time = self.time(0, (u64::from(ts_sec), u64::from(ts_usec)));
        self.take_frame(0, time, data)
    }

    fn take_newer(&mut self, block: &Block<'_>) -> Next {
        match block {
            Block::SectionHeader(header) => {
                self.origins.clear();
                self.is_big_endian = header.big_endian();
                Next::Other
            }
            Block::InterfaceDescription(block) => self.describe(block),
            Block::EnhancedPacket(block) => {
                let origin = block.if_id as usize;
                let ticks = u64::from(block.ts_high) << 32 | u64::from(block.ts_low);
                let time = self.time(origin, (0, ticks));
                self.take_frame(origin, time, block.packet_data())
            }
            Block::SimplePacket(block) => self.take_frame(0, None, block.packet_data()),
            _ => Next::Other,
        }
    }

    fn begin(&mut self, header: &PcapHeader) {
        let resolution = if header.is_nanosecond_precision() { 9 } else { 6 };
        let medium = Linktype(header.network.0 & 0xffff);
        self.origins.push(Origin { medium, name: None, resolution, offset: 0 });
    }

    fn describe(&mut self, block: &InterfaceDescriptionBlock<'_>) -> Next {
        let name = block.if_name().and_then(Result::ok).map(str::to_owned);
        let (medium, resolution) = (block.linktype, block.if_tsresol);
        self.origins.push(Origin { medium, name, resolution, offset: self.offset(block) });
        Next::Other
    }

    /// The seconds to be added to the times of an interface. The library takes the lowest byte for
    /// the first one always.
    fn offset(&self, block: &InterfaceDescriptionBlock<'_>) -> i64 {
        match self.is_big_endian {
            true => block.if_tsoffset.swap_bytes(),
            false => block.if_tsoffset,
        }
    }

    fn take_frame(&mut self, origin: usize, time: Option<Wall>, bytes: &[u8]) -> Next {
        if origin >= self.origins.len() {
            let why = "the next one is of an interface that is not described";
            return Next::Flaw(Flaw::Damaged(why));
        }
        (self.origin, self.time) = (origin, time);
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
        Next::Frame
    }

    /// A time of so many seconds and units of the origin's resolution.
    fn time(&self, origin: usize, (seconds, ticks): (u64, u64)) -> Option<Wall> {
        let Origin { resolution, offset, .. } = self.origins.get(origin)?;
        let (ticks, power) = (u128::from(ticks), u32::from(resolution & 0x7f));
        let units = match resolution & 0x80 {
            0 => 10u128.checked_pow(power)?,
            _ => 1u128.checked_shl(power)?,
        };
        let nanoseconds = ticks * 1_000_000_000 / units + u128::from(seconds) * 1_000_000_000;
        let time = i128::try_from(nanoseconds).ok()? + i128::from(*offset) * 1_000_000_000;
        u64::try_from(time).ok().map(Wall)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Told = Vec<(Option<Wall>, Vec<u8>)>;

    /// All frames of a capture that comes in pieces of that length, and how it ends.
    fn read(capture: &[u8], piece: usize) -> (Told, Result<(), Flaw>) {
        let (mut frames, mut told) = (Frames::default(), Vec::new());
        let mut pieces = capture.chunks(piece);
        loop {
            let next = frames.next();
            match next.map(|frame| frame.map(|frame| (frame.time, frame.bytes.to_vec()))) {
                Ok(Some(frame)) => told.push(frame),
                Ok(None) if frames.has_ended() => return (told, Ok(())),
                Ok(None) => match pieces.next() {
                    Some(piece) => frames.push(piece),
                    None => frames.end(),
                },
                Err(flaw) => return (told, Err(flaw)),
            }
        }
    }

    fn whole(capture: &[u8]) -> (Told, Result<(), Flaw>) {
        read(capture, usize::MAX)
    }

    fn legacy(magic: [u8; 4], big: bool) -> Vec<u8> {
        let four = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
        let two = |value: u16| if big { value.to_be_bytes() } else { value.to_le_bytes() };
        let mut bytes = magic.to_vec();
        bytes.extend([two(2), two(4)].concat());
        bytes.extend([0, 0, 65_535, 101].map(four).concat());
        bytes.extend([7, 9, 4, 100].map(four).concat());
        bytes.extend(b"abcd");
        bytes
    }

    /// Proves that the older format is read in both orders of bytes and both resolutions of time.
    #[test]
    fn the_older_format_is_read_in_all_its_forms() {
        for (magic, big, nanoseconds) in [
            ([0xd4, 0xc3, 0xb2, 0xa1], false, 9_000),
            ([0xa1, 0xb2, 0xc3, 0xd4], true, 9_000),
            ([0x4d, 0x3c, 0xb2, 0xa1], false, 9),
            ([0xa1, 0xb2, 0x3c, 0x4d], true, 9),
        ] {
            let (frames, end) = whole(&legacy(magic, big));
            end.unwrap();
            assert_eq!(frames, [(Some(Wall(7_000_000_000 + nanoseconds)), b"abcd".to_vec())]);
        }
    }

    /// The order of bytes of a capture.
    #[derive(Clone, Copy, Debug)]
    enum Order {
        Little,
        Big,
    }

    impl Order {
        /// A number of so many bytes.
        fn put<const N: usize>(self, number: u64) -> [u8; N] {
            let bytes = number.to_le_bytes();
            let mut bytes: [u8; N] = bytes[..N].try_into().unwrap();
            if matches!(self, Self::Big) {
                bytes.reverse();
            }
            bytes
        }

        fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
            let len = self.put::<4>(body.len() as u64 + 12);
            [&self.put::<4>(kind.into())[..], &len, body, &len].concat()
        }

        fn option(self, code: u16, value: &[u8]) -> Vec<u8> {
            let padding = vec![0; value.len().next_multiple_of(4) - value.len()];
            let head = [code.into(), value.len() as u64].map(|n| self.put::<2>(n)).concat();
            [&head, value, &padding].concat()
        }

        fn interface(self, link: u16, options: &[Vec<u8>]) -> Vec<u8> {
            let head = [&self.put::<2>(link.into())[..], &[0; 6]].concat();
            self.block(1, &[head, options.concat(), self.option(0, &[])].concat())
        }

        fn enhanced(self, interface: u32, ticks: u64) -> Vec<u8> {
            let fields = [interface.into(), ticks >> 32, ticks, 4, 4];
            let head = fields.map(|field| self.put::<4>(field)).concat();
            self.block(6, &[&head[..], b"abcd"].concat())
        }
    }

    /// A capture in the newer format with two interfaces.
    fn newer(order: Order) -> Vec<u8> {
        let mut section = order.put::<4>(0x1a2b_3c4d).to_vec();
        section.extend([order.put::<2>(1), order.put::<2>(0)].concat());
        section.extend(order.put::<8>(u64::MAX));
        let binary = [order.option(9, &[0x8a]), order.option(14, &order.put::<8>(5))];
        [
            order.block(0x0a0d_0d0a, &section),
            order.interface(1, &[order.option(2, b"eth0"), order.option(9, &[9])]),
            order.interface(101, &binary),
            order.enhanced(0, 1_796_054_400_000_000_001),
            order.block(0xbad, b"what nobody knows..."),
            order.enhanced(1, 3 * 1_024 + 512),
            order.block(3, &[&order.put::<4>(4)[..], b"abcd"].concat()),
        ]
        .concat()
    }

    /// Proves that the newer format is read in both orders of bytes, also one behind the other, with
    /// several interfaces, each with its own name, medium and way to count time, and that unknown
    /// blocks are passed over.
    #[test]
    fn the_newer_format_is_read_with_all_its_interfaces() {
        let orders = [Order::Little, Order::Big];
        for first in orders {
            frames_are_those_of_newer(&newer(first), 1);
            for second in orders {
                frames_are_those_of_newer(&[newer(first), newer(second)].concat(), 2);
            }
        }
    }

    fn frames_are_those_of_newer(capture: &[u8], times: usize) {
        let (mut frames, mut told) = (Frames::default(), Vec::new());
        frames.push(capture);
        while let Some(frame) = frames.next().unwrap() {
            let time = frame.time.map(|time| time.0);
            told.push((time, frame.medium, frame.interface.map(str::to_owned)));
            assert_eq!(frame.bytes, b"abcd");
        }
        let eth0 = Some("eth0".to_owned());
        let first = (Some(1_796_054_400_000_000_001), Linktype::ETHERNET, eth0.clone());
        // Five seconds are added to three and a half.
        let second = (Some(8_500_000_000), Linktype::RAW, None);
        let expected = [first, second, (None, Linktype::ETHERNET, eth0)];
        assert_eq!(told, vec![expected; times].concat());
    }

    /// Proves that it does not matter in which pieces a capture comes out of a pipe.
    #[test]
    fn pieces_do_not_matter() {
        let captures = [
            legacy([0x4d, 0x3c, 0xb2, 0xa1], false),
            newer(Order::Little),
            [newer(Order::Big), newer(Order::Little)].concat(),
            b"no capture at all, as one sees".to_vec(),
            newer(Order::Little)[..50].to_vec(),
        ];
        for capture in captures {
            for piece in 1..40 {
                assert_eq!(read(&capture, piece), whole(&capture), "{piece}");
            }
        }
    }

    /// Proves that what is no capture, and one that ends too early, are told apart, and that what is
    /// before the damage is read.
    #[test]
    fn bad_captures_say_what_is_wrong() {
        for foreign in [&b""[..], b"hello", &[0; 100]] {
            assert_eq!(whole(foreign), (Vec::new(), Err(Flaw::Foreign)), "{foreign:?}");
        }
        for capture in [legacy([0xd4, 0xc3, 0xb2, 0xa1], false), newer(Order::Little)] {
            let frames = whole(&capture).0;
            let twice = [&capture[..], &capture[capture.len() - 20..capture.len() - 1]].concat();
            let (told, end) = whole(&twice);
            assert!(matches!(end, Err(Flaw::Damaged(_))), "{end:?}");
            assert_eq!(told, frames);
        }
        let orphan = [newer(Order::Big), Order::Big.enhanced(9, 1)].concat();
        let why = "the next one is of an interface that is not described";
        assert_eq!(whole(&orphan).1, Err(Flaw::Damaged(why)));
    }

    proptest! {
        /// Proves that a capture may be damaged anywhere without harm: it is read to the damage or to
        /// its end.
        #[test]
        fn captures_may_be_damaged_anywhere(at in 0..300usize, with in any::<u8>(), new in any::<bool>()) {
            let mut bytes = if new { newer(Order::Little) } else { legacy([0x4d, 0x3c, 0xb2, 0xa1], false) };
            let at = at % bytes.len();
            bytes[at] = with;
            let (frames, _) = whole(&bytes);
            prop_assert!(frames.len() <= 8, "{}", frames.len());
        }
    }
}
