//! Opening files, pipes and the standard streams.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use tautline_runtime::Descriptor;

/// An open file or pipe.
pub(super) struct Opened {
    pub(super) descriptor: Descriptor,
    /// Where to go on in a regular file, in bytes; `None` for whatever has no positions.
    pub(super) offset: Option<u64>,
    /// A named pipe, which has an end only once somebody has written to it.
    pub(super) named_pipe: bool,
}

/// Opens a file, named pipe or device to read.
pub(super) fn open_source(path: &Path) -> io::Result<Opened> {
    let file = OpenOptions::new().read(true).custom_flags(nonblock()).open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    adopt(file.into(), Some(0))
}

/// Opens a file to write from its start, or a named pipe or device.
pub(super) fn open_destination(path: &Path) -> io::Result<Opened> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).custom_flags(nonblock());
    adopt(file.open(path)?.into(), Some(0))
}

/// Standard input.
pub(super) fn stdin() -> io::Result<Opened> {
    standard(io::stdin(), 0, OpenOptions::new().read(true))
}

/// Standard output.
pub(super) fn stdout() -> io::Result<Opened> {
    standard(io::stdout(), 1, OpenOptions::new().write(true))
}

/// A standard stream as a descriptor of our own. What it shares with other programs must not
/// become non-blocking for them, so that pipes and terminals are opened anew; what cannot be is
/// shared nevertheless.
fn standard(stream: impl AsFd, number: u32, options: &mut OpenOptions) -> io::Result<Opened> {
    let shared = stream.as_fd().try_clone_to_owned()?;
    let file = File::from(shared);
    let kind = file.metadata()?.file_type();
    if kind.is_file() || kind.is_block_device() {
        let position = rustix::fs::tell(&file)?;
        return adopt(file.into(), Some(position));
    }
    let anew = options.custom_flags(nonblock()).open(format!("/proc/self/fd/{number}"));
    let mut opened = adopt(anew.unwrap_or(file).into(), None)?;
    // Whoever gave us the pipe has opened its other end.
    opened.named_pipe = false;
    Ok(opened)
}

/// A named pipe must not make the open wait for its other end.
fn nonblock() -> i32 {
    OFlags::NONBLOCK.bits() as i32
}

fn adopt(fd: OwnedFd, start: Option<u64>) -> io::Result<Opened> {
    let file = File::from(fd);
    let kind: fs::FileType = file.metadata()?.file_type();
    let regular = kind.is_file() || kind.is_block_device();
    Ok(Opened {
        descriptor: Descriptor::new(file.into())?,
        offset: start.filter(|_| regular),
        named_pipe: kind.is_fifo(),
    })
}
