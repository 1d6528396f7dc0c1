//! Entries of files: length, checksum, and what they say. Who reads them trusts nothing in there.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// The longest entry, in bytes.
const MOST_BYTES: u32 = 1 << 20;
/// The longest file of entries that is read, in bytes.
const LONGEST_FILE: u64 = 256 << 20;

/// Appends an entry.
pub(super) fn put(out: &mut Vec<u8>, payload: &[u8]) {
    out.extend((payload.len() as u32).to_le_bytes());
    out.extend(checksum(payload).to_le_bytes());
    out.extend(payload);
}

/// Appends a text, cut if it would make the entry too long.
pub(super) fn put_text(bytes: &mut Vec<u8>, text: &str) {
    let text = &text[..text.floor_char_boundary(MOST_BYTES as usize / 8)];
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text.as_bytes());
}

/// Tells bytes that were written from others (FNV-1a, folded).
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    (hash ^ hash >> 32) as u32
}

/// Takes entries apart by `read`, until there are no more; says too whether something stands behind
/// the last that is none.
pub(super) fn read_all<T>(
    bytes: &[u8],
    read: impl Fn(&mut Bytes<'_>) -> Option<T>,
) -> (Vec<T>, bool) {
    let mut rest = Bytes(bytes);
    let mut entries = Vec::new();
    while let Some((entry, behind)) = next(rest, &read) {
        entries.push(entry);
        rest = behind;
    }
    (entries, !rest.0.is_empty())
}

fn next<'a, T>(
    mut bytes: Bytes<'a>,
    read: impl Fn(&mut Bytes<'_>) -> Option<T>,
) -> Option<(T, Bytes<'a>)> {
    let len = bytes.half().filter(|len| *len <= MOST_BYTES)?;
    let check = bytes.half()?;
    let payload = bytes.take(len as usize)?;
    let entry = (checksum(payload) == check).then(|| read(&mut Bytes(payload))).flatten()?;
    Some((entry, bytes))
}

/// Bytes that are left to be read.
#[derive(Clone, Copy)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    pub(super) fn half(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    pub(super) fn word(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    pub(super) fn text(&mut self) -> Option<String> {
        let len = self.half()?;
        String::from_utf8(self.take(len as usize)?.to_vec()).ok()
    }
}

/// Opens a file that is a file, and no link to one: nothing else is of the log, and a pipe would not
/// be opened before somebody writes to it.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is no regular file"));
    }
    Ok(file)
}

/// Reads such a file, if it is no longer than one of the log can be.
pub(crate) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(LONGEST_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST_FILE {
        return Err(io::Error::new(ErrorKind::FileTooLarge, "it is longer than any of a log"));
    }
    Ok(bytes)
}
