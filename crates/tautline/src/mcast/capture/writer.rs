//! Captures, written.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use pcap_parser::{LegacyPcapBlock, Linktype, PcapHeader, ToVec};

use super::super::frame::{self, Datagram};
use super::super::seen::Wall;
use super::{CaptureError, Place};

/// Bytes that are written in one call.
const ROOM: usize = 1 << 16;
/// Begins a file whose times are in nanoseconds.
const NANOSECONDS: u32 = 0xa1b2_3c4d;
/// Bytes of a packet that are written at most: all of the longest.
const LONGEST: u32 = 1 << 18;

/// Writes a capture of raw IP packets.
pub(crate) struct Writer {
    name: String,
    /// It goes to standard output, where somebody may read along.
    is_standard: bool,
    file: BufWriter<File>,
    packet: Vec<u8>,
}

impl Writer {
    /// Makes the file, or empties the one that is there.
    ///
    /// # Errors
    /// [`CaptureError::Create`], [`CaptureError::Terminal`], [`CaptureError::Output`].
    pub(crate) fn create(place: &Place) -> Result<Self, CaptureError> {
        let (file, name) = place.create()?;
        let file = BufWriter::with_capacity(ROOM, file);
        let is_standard = *place == Place::Standard;
        let mut writer = Self { name, is_standard, file, packet: Vec::new() };
        let magic_number = NANOSECONDS;
        let network = Linktype::RAW;
        let header = PcapHeader { magic_number, network, snaplen: LONGEST, ..PcapHeader::new() };
        writer.put(header)?;
        writer.rest()?;
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

    /// That was all for now: who reads along gets what is held back.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub(crate) fn rest(&mut self) -> Result<(), CaptureError> {
        if self.is_standard { self.flush() } else { Ok(()) }
    }

    /// Writes what is held back.
    ///
    /// # Errors
    /// [`CaptureError::File`], [`CaptureError::Output`].
    pub(crate) fn flush(&mut self) -> Result<(), CaptureError> {
        self.file.flush().map_err(|error| self.failed(error))
    }

    fn put(&mut self, block: impl ToVec) -> Result<(), CaptureError> {
        // Only a full disk could refuse bytes, and these go to memory.
        let full = |_| self.failed(io::ErrorKind::OutOfMemory.into());
        let bytes = block.to_vec_raw().map_err(full)?;
        self.file.write_all(&bytes).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> CaptureError {
        match self.is_standard {
            true => CaptureError::Output(error),
            false => CaptureError::File { name: self.name.clone(), error },
        }
    }
}

#[cfg(test)]
mod tests {
    use tautline_runtime::Runtime;

    use super::super::super::frame::datagram;
    use super::super::Reader;
    use super::*;

    fn datagram_of(payload: &[u8]) -> Datagram<'_> {
        let (source, destination) = ("10.0.0.1:7", "239.1.1.1:5000");
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        Datagram { source, destination, hops: 1, vlan: None, payload, len: payload.len() }
    }

    /// Proves that what is written is read again, to the nanosecond, however much it is.
    #[test]
    fn captures_are_read_as_they_were_written() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let place = Place::File(file.path().to_owned());
        let payloads: Vec<_> = (0..3_000usize).map(|at| vec![at as u8; at % 2_000]).collect();
        let mut writer = Writer::create(&place).unwrap();
        for (payload, at) in payloads.iter().zip(0..) {
            writer.write(Wall(1_796_054_400_000_000_001 + at), &datagram_of(payload)).unwrap();
        }
        writer.flush().unwrap();
        let runtime = Runtime::new(Default::default()).unwrap();
        let mut reader = Reader::open(&place).unwrap();
        let mut at = 0;
        while runtime.block_on(reader.more()).unwrap().unwrap() {
            while let Some(frame) = reader.next().unwrap() {
                assert_eq!(frame.time, Some(Wall(1_796_054_400_000_000_001 + at)));
                let payload = &payloads[at as usize];
                assert_eq!(datagram(Linktype::RAW, frame.bytes), Ok(datagram_of(payload)));
                at += 1;
            }
        }
        assert_eq!(at as usize, payloads.len());
    }
}
