//! Question and answer over a stream, before there are frames.

use std::io::{self, IoSlice};

use tautline_net::{Link, Received};

use super::OpenError;

/// Bytes that one receive takes.
const PIECE: usize = 4096;

/// What has come of a head that was not understood whole.
pub(super) struct Heard {
    bytes: Vec<u8>,
}

impl Heard {
    pub(super) fn nothing() -> Self {
        Self { bytes: Vec::new() }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Waits for more.
    pub(super) async fn more(&mut self, link: &mut Link) -> Result<(), OpenError> {
        let held = self.bytes.len();
        self.bytes.resize(held + PIECE, 0);
        loop {
            match link.receive(&mut self.bytes[held..])? {
                Received::Bytes { count, .. } => {
                    self.bytes.truncate(held + count);
                    return Ok(());
                }
                Received::Nothing => link.readable().await?,
                Received::End => return Err(OpenError::Ended),
            }
        }
    }
}

/// Sends a head, which is short enough to be queued whole.
pub(super) fn say(link: &mut Link, bytes: &[u8]) -> io::Result<()> {
    let taken = link.send(&[IoSlice::new(bytes)])?;
    if taken < bytes.len() {
        let text =
            format!("{taken} of {} bytes of the handshake fit: raise `write_limit`", bytes.len());
        return Err(io::Error::other(text));
    }
    Ok(())
}
