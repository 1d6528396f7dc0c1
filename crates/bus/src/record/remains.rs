//! What is in the file of a ring, whoever wrote it and whatever became of him.
//!
//! The file is read, not mapped, and may be written at the same time: what could have been written
//! over in the meantime is left out. All that it says is checked before it is used.

use std::error::Error;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::mem::offset_of;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::kept::{Standing, Words};
use super::page::{Intro, MAGIC, VERSION, WORDS_AT};
use crate::ring::MAX_CAPACITY;
use crate::ring::stream::{self, HEADER, Stream};

/// The records that are in the file of a ring.
#[derive(Debug)]
pub struct Remains {
    /// Bytes of the ring, and its first once more, for a record that goes round the end.
    bytes: Vec<u8>,
    capacity: u64,
    longest: u64,
    /// Where the oldest record may begin.
    start: u64,
    /// Before it the reader had given the records up.
    head: u64,
    /// Where the last record ends.
    tail: u64,
    dropped: u64,
    closed: bool,
}

/// A record that is in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Where it begins: a count of bytes since the ring was made, and so their order.
    pub position: u64,
    /// Whether the reader had taken it and given its room back, which was not yet used again.
    pub released: bool,
    /// Whether something that is no record stands between it and the one before.
    pub after_damage: bool,
    /// What was written.
    pub bytes: &'a [u8],
}

/// Why a file tells nothing.
#[derive(Debug)]
pub enum RemainsError {
    /// It cannot be read.
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is not the file of a ring, or not as a ring leaves it.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Nobody has finished making it: nothing was ever written to it.
    Unmade {
        /// The file.
        path: PathBuf,
    },
    /// It was written by another version of this library.
    Version {
        /// The file.
        path: PathBuf,
        /// The version of its layout.
        found: u64,
    },
}

impl fmt::Display for RemainsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, source } => write!(f, "cannot read {}: {source}", path.display()),
            Self::Damaged { path, what } => {
                write!(f, "{} is damaged or no file of records: {what}", path.display())
            }
            Self::Unmade { path } => {
                write!(f, "{} was being made when its process ended: it is empty", path.display())
            }
            Self::Version { path, found } => write!(
                f,
                "{} is of version {found}, and this program reads version {VERSION}: read it with \
                 the one that wrote it",
                path.display()
            ),
        }
    }
}

impl Error for RemainsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Read { source, .. } => Some(source),
            Self::Damaged { .. } | Self::Unmade { .. } | Self::Version { .. } => None,
        }
    }
}

impl Remains {
    /// Reads the file of a ring. What is no regular file, or a link to one, is not read, nor is more
    /// than a ring can hold.
    ///
    /// # Errors
    /// [`RemainsError`].
    pub fn read(path: &Path) -> Result<Self, RemainsError> {
        let read = |source| RemainsError::Read { path: path.to_owned(), source };
        let damaged = |what| RemainsError::Damaged { path: path.to_owned(), what };
        // A pipe would not be opened before somebody writes to it.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let mut options = OpenOptions::new();
        let options = options.read(true).custom_flags(flags.bits() as i32);
        let mut file = options.open(path).map_err(read)?;
        let metadata = file.metadata().map_err(read)?;
        if !metadata.is_file() {
            return Err(damaged("it is no regular file"));
        }
        let unmade = || RemainsError::Unmade { path: path.to_owned() };
        if metadata.len() == 0 {
            return Err(unmade());
        }
        let page = first_page(&mut file).map_err(read)?;
        let intro = Intro::of([0, 1, 2, 3, 4].map(|index| word(&page, 8 * index)));
        // What it is comes last, before anything can be committed.
        if intro.magic == 0 && word(&page, TAIL_AT) == 0 {
            return Err(unmade());
        }
        if intro.magic == MAGIC && intro.version != VERSION {
            return Err(RemainsError::Version { path: path.to_owned(), found: intro.version });
        }
        check(intro).map_err(damaged)?;
        // Before memory is taken for it.
        if metadata.len() < intro.head + intro.capacity {
            return Err(damaged("it is shorter than it says"));
        }
        let mut bytes = vec![0; intro.capacity as usize];
        file.seek(SeekFrom::Start(intro.head)).map_err(read)?;
        file.read_exact(&mut bytes).map_err(read)?;
        // Once more: what the writer may have written over since is not told.
        let later = first_page(&mut file).map_err(read)?;
        Self::of(intro, &page, &later, bytes).map_err(damaged)
    }

    fn of(
        intro: Intro,
        page: &Page,
        later: &Page,
        mut bytes: Vec<u8>,
    ) -> Result<Self, &'static str> {
        let [head, tail] = [HEAD_AT, TAIL_AT].map(|at| word(page, at));
        let [head_later, tail_later] = [HEAD_AT, TAIL_AT].map(|at| word(later, at));
        let whole = [head, tail, head_later, tail_later].iter().all(|n| n.is_multiple_of(HEADER));
        if !whole || head > tail || tail - head > intro.capacity {
            return Err("its positions cannot be");
        }
        if head_later < head || tail_later < tail {
            return Err("its positions went back while it was read");
        }
        // Behind the tail a record may lie that is being written, over the oldest ones; never over
        // one that was not released.
        let written = tail_later.saturating_add(stream::record(intro.longest));
        let start = written.saturating_sub(intro.capacity).min(head_later);
        bytes.extend_from_within(..stream::record(intro.longest) as usize);
        Ok(Self {
            bytes,
            capacity: intro.capacity,
            longest: intro.longest,
            start: start.min(tail),
            head,
            tail,
            dropped: word(page, DROPPED_AT),
            closed: word(page, CLOSED_AT) == 1,
        })
    }

    /// The records, the oldest first, also those that the reader had released, as far as they were
    /// not written over.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let mut at = self.start;
        let mut sure = false;
        std::iter::from_fn(move || {
            let mut after_damage = false;
            while at < self.tail {
                let position = at;
                if let Some(len) = self.length(position) {
                    at += stream::record(len);
                    sure = true;
                    let released = position < self.head;
                    let bytes = self.message(position, len);
                    return Some(Record { position, released, after_damage, bytes });
                }
                // The oldest bytes may be the rest of a record; after that there are no gaps.
                after_damage |= sure || position >= self.head;
                at += HEADER;
            }
            None
        })
    }

    /// Records that the writer had given up.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether the writer had gone as one does that ends in peace.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// How long the record is that begins there, if one does.
    fn length(&self, position: u64) -> Option<u64> {
        let len = stream::length(word(&self.bytes, self.offset(position)), position)?;
        let fits = len <= self.longest && stream::record(len) <= self.tail - position;
        fits.then_some(len)
    }

    fn offset(&self, position: u64) -> usize {
        (position % self.capacity) as usize
    }

    fn message(&self, position: u64, len: u64) -> &[u8] {
        let first = self.offset(position) + HEADER as usize;
        &self.bytes[first..first + len as usize]
    }
}

type Page = [u8; WORDS_AT + size_of::<Words>()];

const ENDS_AT: usize = WORDS_AT + offset_of!(Words, stream);
const TAIL_AT: usize = ENDS_AT + offset_of!(Stream<super::kept::Kind>, tail);
const HEAD_AT: usize = ENDS_AT + offset_of!(Stream<super::kept::Kind>, head);
const STANDING_AT: usize = WORDS_AT + offset_of!(Words, standing);
const CLOSED_AT: usize = STANDING_AT + offset_of!(Standing, closed);
const DROPPED_AT: usize = STANDING_AT + offset_of!(Standing, dropped);

fn first_page(file: &mut File) -> io::Result<Page> {
    let mut page = [0; size_of::<Page>()];
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut page)?;
    Ok(page)
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let (word, _) = bytes[at..].split_first_chunk().expect("words lie within what was read");
    u64::from_ne_bytes(*word)
}

fn check(intro: Intro) -> Result<(), &'static str> {
    let capacity = intro.capacity;
    if intro.magic != MAGIC {
        return Err("it begins with something else");
    }
    if !capacity.is_power_of_two() || !(4096..=MAX_CAPACITY as u64).contains(&capacity) {
        return Err("its size cannot be");
    }
    if !intro.head.is_power_of_two() || !(4096..=1 << 20).contains(&intro.head) {
        return Err("its head cannot be");
    }
    if intro.longest > stream::limit(capacity as usize) as u64 {
        return Err("its longest record cannot be");
    }
    Ok(())
}
