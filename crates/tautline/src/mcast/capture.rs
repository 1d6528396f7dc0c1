//! Captures: files of packets with their times, read in both formats that are in use, and written in
//! the older one, which every tool reads.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use pcap_parser::traits::{PcapNGPacketBlock, PcapReaderIterator};
use pcap_parser::{
    Block, InterfaceDescriptionBlock, LegacyPcapBlock, Linktype, PcapBlockOwned, PcapError,
    PcapHeader, ToVec, create_reader,
};

use super::frame::{self, Datagram};
use super::seen::Wall;

/// Bytes read ahead, and the most that a block of a capture may have.
const ROOM: usize = 1 << 16;
const MOST: usize = 1 << 26;
/// Begins a file whose times are in nanoseconds.
const NANOSECONDS: u32 = 0xa1b2_3c4d;
/// Bytes of a packet that are written at most: all of the longest.
const LONGEST: u32 = 1 << 18;

/// What is wrong with a capture.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CaptureError {
    /// The system says so.
    #[error("{}: {error}", path.display())]
    File {
        path: PathBuf,
        #[source]
        error: io::Error,
    },
    /// It begins otherwise.
    #[error("{}: that is no capture: write the name of a pcap or pcapng file", path.display())]
    Foreign { path: PathBuf },
    /// It ends too early, or something stands in it that cannot.
    #[error("{}: damaged behind packet {packets}: {why}", path.display())]
    Damaged {
        path: PathBuf,
        /// Packets before it.
        packets: u64,
        why: &'static str,
    },
    /// A datagram that no packet can hold.
    #[error("a datagram of {0} bytes goes into no packet of a capture")]
    Long(usize),
}

// ---------------------------------------------------------------------------------------- read

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

/// What the next block of a capture is.
enum Next {
    Frame,
    Other,
    End,
    /// There is more of it in the file.
    Incomplete,
    /// The room does not hold it.
    Long,
    Damaged(&'static str),
}

/// Reads a capture frame by frame.
pub(crate) struct Reader {
    path: PathBuf,
    blocks: Box<dyn PcapReaderIterator + Send>,
    /// Bytes that the longest block may have.
    room: usize,
    kept: Kept,
    /// Frames so far.
    packets: u64,
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

impl Reader {
    /// Opens a capture.
    ///
    /// # Errors
    /// [`CaptureError`], which names the file.
    pub(crate) fn open(path: &Path) -> Result<Self, CaptureError> {
        let failed = |error| CaptureError::File { path: path.to_owned(), error };
        let file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let blocks = create_reader(ROOM, file);
        let blocks = blocks.map_err(|_| CaptureError::Foreign { path: path.to_owned() })?;
        Ok(Self { path: path.to_owned(), blocks, room: ROOM, kept: Kept::default(), packets: 0 })
    }

    /// The next frame; `None` at the end.
    ///
    /// # Errors
    /// [`CaptureError::Damaged`]: nothing behind it can be read.
    pub(crate) fn next(&mut self) -> Result<Option<Frame<'_>>, CaptureError> {
        loop {
            let why = match self.look() {
                Next::Frame => {
                    self.packets += 1;
                    return Ok(Some(self.kept.frame()));
                }
                Next::End => return Ok(None),
                Next::Other => continue,
                Next::Incomplete => match self.blocks.refill() {
                    Ok(()) => continue,
                    Err(_) => "the file cannot be read any further",
                },
                Next::Long if self.room < MOST => {
                    self.room *= 2;
                    self.blocks.grow(self.room);
                    continue;
                }
                Next::Long => "what follows is longer than a packet can be",
                Next::Damaged(why) => why,
            };
            let (path, packets) = (self.path.clone(), self.packets);
            return Err(CaptureError::Damaged { path, packets, why });
        }
    }

    fn look(&mut self) -> Next {
        let (len, next) = match self.blocks.next() {
            Ok((len, block)) => (len, self.kept.take(block)),
            Err(PcapError::Eof) => return Next::End,
            Err(PcapError::Incomplete(_)) => return Next::Incomplete,
            Err(PcapError::BufferTooSmall) => return Next::Long,
            Err(PcapError::UnexpectedEof) => {
                return Next::Damaged("the file ends in the midst of a packet");
            }
            Err(_) => return Next::Damaged("what follows is no packet"),
        };
        self.blocks.consume(len);
        next
    }
}

impl Kept {
    fn frame(&self) -> Frame<'_> {
        let Self { origins, origin, time, bytes, .. } = self;
        let origin = origins.get(*origin);
        let medium = origin.map_or(Linktype::NULL, |origin| origin.medium);
        let interface = origin.and_then(|origin| origin.name.as_deref());
        Frame { time: *time, medium, interface, bytes }
    }

    fn take(&mut self, block: PcapBlockOwned<'_>) -> Next {
        match block {
            PcapBlockOwned::LegacyHeader(header) => self.begin(&header),
            PcapBlockOwned::Legacy(block) => {
                let LegacyPcapBlock { ts_sec, ts_usec, caplen, data, .. } = block;
                let time = self.time(0, (u64::from(ts_sec), u64::from(ts_usec)));
                self.take_frame(0, time, data.get(..caplen as usize).unwrap_or(data))
            }
            PcapBlockOwned::NG(Block::SectionHeader(header)) => {
                self.origins.clear();
                self.is_big_endian = header.big_endian();
                Next::Other
            }
            PcapBlockOwned::NG(Block::InterfaceDescription(block)) => self.describe(&block),
            PcapBlockOwned::NG(Block::EnhancedPacket(block)) => {
                let origin = block.if_id as usize;
                let ticks = u64::from(block.ts_high) << 32 | u64::from(block.ts_low);
                let time = self.time(origin, (0, ticks));
                self.take_frame(origin, time, block.packet_data())
            }
            PcapBlockOwned::NG(Block::SimplePacket(block)) => {
                self.take_frame(0, None, block.packet_data())
            }
            PcapBlockOwned::NG(_) => Next::Other,
        }
    }

    fn begin(&mut self, header: &PcapHeader) -> Next {
        let resolution = if header.is_nanosecond_precision() { 9 } else { 6 };
        let medium = Linktype(header.network.0 & 0xffff);
        self.origins.push(Origin { medium, name: None, resolution, offset: 0 });
        Next::Other
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
            return Next::Damaged("the next one is of an interface that is not described");
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

// --------------------------------------------------------------------------------------- write

/// Writes a capture of raw IP packets.
pub(crate) struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
    packet: Vec<u8>,
}

impl Writer {
    /// Makes the file, or empties the one that is there.
    ///
    /// # Errors
    /// [`CaptureError::File`].
    pub(crate) fn create(path: &Path) -> Result<Self, CaptureError> {
        let failed = |error| CaptureError::File { path: path.to_owned(), error };
        let file = BufWriter::with_capacity(ROOM, File::create(path).map_err(failed)?);
        let mut writer = Self { path: path.to_owned(), file, packet: Vec::new() };
        let magic_number = NANOSECONDS;
        let network = Linktype::RAW;
        let header = PcapHeader { magic_number, network, snaplen: LONGEST, ..PcapHeader::new() };
        writer.put(header)?;
        Ok(writer)
    }

    /// Writes a datagram as the packet that carried it.
    ///
    /// # Errors
    /// [`CaptureError`].
    pub(crate) fn write(
        &mut self,
        time: Wall,
        datagram: &Datagram<'_>,
    ) -> Result<(), CaptureError> {
        let mut packet = std::mem::take(&mut self.packet);
        packet.clear();
        frame::wrap(datagram, &mut packet).map_err(|_| CaptureError::Long(datagram.len))?;
        let len = packet.len() as u32;
        let (seconds, rest) = (time.0 / 1_000_000_000, time.0 % 1_000_000_000);
        let (ts_sec, ts_usec) = (seconds as u32, rest as u32);
        let data = &packet[..];
        let written =
            self.put(LegacyPcapBlock { ts_sec, ts_usec, caplen: len, origlen: len, data });
        self.packet = packet;
        written
    }

    /// Writes what is held back.
    ///
    /// # Errors
    /// [`CaptureError::File`].
    pub(crate) fn flush(&mut self) -> Result<(), CaptureError> {
        self.file.flush().map_err(|error| CaptureError::File { path: self.path.clone(), error })
    }

    fn put(&mut self, block: impl ToVec) -> Result<(), CaptureError> {
        let failed = |error| CaptureError::File { path: self.path.clone(), error };
        // Only a full disk could refuse bytes, and these go to memory.
        let bytes = block.to_vec_raw().map_err(|_| failed(io::ErrorKind::OutOfMemory.into()))?;
        self.file.write_all(&bytes).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::frame::datagram;
    use super::*;

    fn datagram_of(payload: &[u8]) -> Datagram<'_> {
        let (source, destination) = ("10.0.0.1:7", "239.1.1.1:5000");
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        Datagram { source, destination, hops: 1, vlan: None, payload, len: payload.len() }
    }

    type Frames = Vec<(Option<Wall>, Vec<u8>)>;

    /// All frames of a capture, and how it ends.
    fn read(path: &Path) -> (Frames, Result<(), CaptureError>) {
        let mut frames = Vec::new();
        let mut reader = match Reader::open(path) {
            Ok(reader) => reader,
            Err(error) => return (frames, Err(error)),
        };
        loop {
            match reader.next() {
                Ok(Some(frame)) => frames.push((frame.time, frame.bytes.to_vec())),
                Ok(None) => return (frames, Ok(())),
                Err(error) => return (frames, Err(error)),
            }
        }
    }

    fn written(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    /// Proves that what is written is read again, to the nanosecond, however much it is.
    #[test]
    fn captures_are_read_as_they_were_written() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let payloads: Vec<_> = (0..3_000usize).map(|at| vec![at as u8; at % 2_000]).collect();
        let mut writer = Writer::create(file.path()).unwrap();
        for (payload, at) in payloads.iter().zip(0..) {
            writer.write(Wall(1_796_054_400_000_000_001 + at), &datagram_of(payload)).unwrap();
        }
        writer.flush().unwrap();
        let (frames, end) = read(file.path());
        end.unwrap();
        assert_eq!(frames.len(), payloads.len());
        for ((time, bytes), (payload, at)) in frames.iter().zip(payloads.iter().zip(0..)) {
            assert_eq!(*time, Some(Wall(1_796_054_400_000_000_001 + at)));
            assert_eq!(datagram(Linktype::RAW, bytes), Ok(datagram_of(payload)));
        }
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
            let file = written(&legacy(magic, big));
            let (frames, end) = read(file.path());
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
        let file = written(capture);
        let mut reader = Reader::open(file.path()).unwrap();
        let mut told = Vec::new();
        while let Some(frame) = reader.next().unwrap() {
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

    /// Proves that what is no capture, and one that ends too early, are told apart, and that what is
    /// before the damage is read.
    #[test]
    fn bad_captures_say_what_is_wrong() {
        let message = |path: &Path| read(path).1.unwrap_err().to_string();
        let none = message(Path::new("/nowhere/a.pcap"));
        assert!(none.starts_with("/nowhere/a.pcap: No such file"), "{none}");
        assert!(message(Path::new("/")).contains("directory"));
        for foreign in [&b""[..], b"hello", &[0; 100]] {
            let file = written(foreign);
            assert!(message(file.path()).contains("no capture: write the name"), "{foreign:?}");
        }
        for whole in [legacy([0xd4, 0xc3, 0xb2, 0xa1], false), newer(Order::Little)] {
            let twice = [&whole[..], &whole[whole.len() - 20..whole.len() - 1]].concat();
            let file = written(&twice);
            let (frames, end) = read(file.path());
            let (frames, end) = (frames.len() as u64, end.unwrap_err().to_string());
            assert!(
                frames >= 1 && end.contains(&format!("damaged behind packet {frames}: ")),
                "{end}"
            );
        }
        let orphan = [newer(Order::Big), Order::Big.enhanced(9, 1)].concat();
        assert!(message(written(&orphan).path()).contains("interface that is not described"));
    }

    proptest! {
        /// Proves that a capture may be damaged anywhere without harm: it is read to the damage or to
        /// its end.
        #[test]
        fn captures_may_be_damaged_anywhere(at in 0..300usize, with in any::<u8>(), new in any::<bool>()) {
            let mut bytes = if new { newer(Order::Little) } else { legacy([0x4d, 0x3c, 0xb2, 0xa1], false) };
            let at = at % bytes.len();
            bytes[at] = with;
            let file = written(&bytes);
            let (frames, _) = read(file.path());
            prop_assert!(frames.len() <= 8, "{}", frames.len());
        }
    }
}
