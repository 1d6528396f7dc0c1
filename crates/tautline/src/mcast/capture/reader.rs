//! Captures, read.

use tautline_net::Stdin;

use super::frames::Frames;
use super::{CaptureError, Flaw, Frame, Place};

/// Bytes that are read at a time.
const ROOM: usize = 1 << 16;

/// Reads a capture, of a file or as it comes out of a pipe: the loop is not held up meanwhile, but by a
/// named pipe of which nobody has the other end until somebody has.
pub(crate) struct Reader {
    name: String,
    file: Stdin,
    chunk: Vec<u8>,
    frames: Frames,
    /// Frames so far.
    packets: u64,
}

impl Reader {
    /// Opens a capture, on a thread with a loop.
    ///
    /// # Errors
    /// [`CaptureError::Open`], [`CaptureError::Terminal`].
    pub(crate) fn open(place: &Place) -> Result<Self, CaptureError> {
        let (file, name) = place.open()?;
        let file = match Stdin::from_fd(&file) {
            Ok(file) => file,
            Err(error) => return Err(CaptureError::Open { name, error }),
        };
        Ok(Self { name, file, chunk: vec![0; ROOM], frames: Frames::default(), packets: 0 })
    }

    /// The next frame of what was read; `None`: [`more`](Self::more) is wanted.
    ///
    /// # Errors
    /// [`CaptureError::Foreign`], [`CaptureError::Damaged`]: nothing behind it can be read.
    pub(crate) fn next(&mut self) -> Result<Option<Frame<'_>>, CaptureError> {
        let name = &self.name;
        match self.frames.next() {
            Ok(frame) => {
                self.packets += u64::from(frame.is_some());
                Ok(frame)
            }
            Err(Flaw::Foreign) => Err(CaptureError::Foreign { name: name.clone() }),
            Err(Flaw::Damaged(why)) => {
                Err(CaptureError::Damaged { name: name.clone(), packets: self.packets, why })
            }
        }
    }

    /// Reads on; false: that was the end, and [`next`](Self::next) has said whether it was a good one.
    ///
    /// # Errors
    /// [`CaptureError::File`].
    pub(crate) async fn more(&mut self) -> Result<bool, CaptureError> {
        if self.frames.has_ended() {
            return Ok(false);
        }
        let (read, chunk) = self.file.read(std::mem::take(&mut self.chunk)).await;
        self.chunk = chunk;
        match read {
            Ok(0) => self.frames.end(),
            Ok(len) => self.frames.push(&self.chunk[..len]),
            Err(error) => return Err(CaptureError::File { name: self.name.clone(), error }),
        }
        Ok(true)
    }
}
