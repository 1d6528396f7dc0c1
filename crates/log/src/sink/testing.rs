//! What the tests of all sinks need.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use crate::{Level, Line};

/// 2025-11-30 04:51:19.123456789 UTC.
pub(super) const TIME: u64 = 1_764_478_279_123_456_789;

/// A line like others.
pub(super) fn line(message: &str) -> Line<'_> {
    Line {
        time: TIME,
        level: Level::Info,
        target: "app::feed",
        file: "src/feed.rs",
        line: 7,
        thread: "main",
        message,
        truncated: false,
        fields: &[],
    }
}

/// A writer that keeps each piece it is given, and takes only so many bytes while it is full.
#[derive(Clone, Default)]
pub(super) struct Disk(Arc<Mutex<DiskState>>);

#[derive(Default)]
struct DiskState {
    pieces: Vec<Vec<u8>>,
    /// Bytes that it still takes, if there is an end.
    room: Option<usize>,
}

impl Disk {
    /// From now on there is room for so many bytes, or without end.
    pub(super) fn set_room(&self, room: Option<usize>) {
        self.0.lock().unwrap().room = room;
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().pieces.concat()).unwrap()
    }

    /// How many writes it took.
    pub(super) fn writes(&self) -> usize {
        self.0.lock().unwrap().pieces.len()
    }
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock().unwrap();
        let taken = state.room.map_or(bytes.len(), |room| room.min(bytes.len()));
        if taken == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.room = state.room.map(|room| room - taken);
        state.pieces.push(bytes[..taken].to_vec());
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
