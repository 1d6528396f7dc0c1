//! Captures: packets with their times, read in both formats that are in use, and written in the older
//! one, which every tool reads.
//!
//! | file | what it does |
//! | --- | --- |
//! | `place` | where a capture is: a file, or a standard stream |
//! | `frames` | bytes in, frames out: pure |
//! | `reader`, `writer` | the same at a place |

mod frames;
mod place;
mod reader;
mod writer;

use std::io;

pub(crate) use self::frames::{Flaw, Frame};
pub(crate) use self::place::Place;
pub(crate) use self::reader::Reader;
pub(crate) use self::writer::Writer;

/// What is wrong with a capture.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CaptureError {
    /// It cannot be opened to be read.
    #[error("{name}: {error}; {}", to_read(error))]
    Open {
        name: String,
        #[source]
        error: io::Error,
    },
    /// It cannot be made.
    #[error("{name}: {error}; {}", to_make(error))]
    Create {
        name: String,
        #[source]
        error: io::Error,
    },
    /// Two who write would overwrite each other.
    #[error("{name}: somebody else writes it: write another name")]
    Busy { name: String },
    /// The system says so, in the midst of it.
    #[error("{name}: {error}")]
    File {
        name: String,
        #[source]
        error: io::Error,
    },
    /// Standard output takes no more.
    #[error("standard output: {0}")]
    Output(io::Error),
    /// Nobody can read a capture on a terminal, or type one.
    #[error(
        "{0} is a terminal, and a capture is not for the eye: write the name of a file, or a pipe"
    )]
    Terminal(&'static str),
    /// It begins otherwise.
    #[error("{name}: that is no capture: write the name of a pcap or pcapng file")]
    Foreign { name: String },
    /// It ends too early, or something stands in it that cannot.
    #[error("{name}: damaged behind packet {packets}: {why}")]
    Damaged {
        name: String,
        /// Packets before it.
        packets: u64,
        why: &'static str,
    },
    /// A datagram that no packet can hold.
    #[error("a datagram of {0} bytes goes into no packet of a capture")]
    Long(usize),
}

fn to_read(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "read it as a user who may, or change its permissions",
        io::ErrorKind::IsADirectory => "write the name of a file in it",
        _ => "write the name of a pcap or pcapng file, or - for standard input",
    }
}

fn to_make(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "make the folder first, or write a name in one that is there",
        io::ErrorKind::PermissionDenied => "write a name in a folder that you may write to",
        io::ErrorKind::IsADirectory => "write the name of a file in it",
        _ => "write another name, or - for standard output",
    }
}
