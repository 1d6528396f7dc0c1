//! What a segment says of itself, in its first page. Made of words: all of it may be anything, and
//! each word is read once, checked, and then used.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use crate::policy::{Full, Wait};
use crate::shared::error::OpenError;
use crate::shared::identity::Identity;
use crate::shared::segment::Segment;
use crate::sync::{AtomicU32, AtomicU64, Ordering, load_bytes, store_bytes};

/// Bytes that it takes.
pub(super) const HEADER_BYTES: usize = 4096;

/// "TAUTLINE", in the byte order of the machine.
const MAGIC: u64 = 0x5441_5554_4c49_4e45;

/// Raised whenever the layout of any object changes.
const VERSION: u32 = 1;

/// Words in which an object tells its shape.
const SHAPE_WORDS: usize = 16;

/// The most bytes of the text.
const TEXT_BYTES: usize = 2048;

#[repr(C)]
struct Header {
    magic: AtomicU64,
    version: AtomicU32,
    /// Not zero once all parts are made.
    ready: AtomicU32,
    /// The process that makes it.
    maker: AtomicU64,
    pid_namespace: AtomicU64,
    /// The layout of the messages.
    layout: AtomicU64,
    shape: [AtomicU64; SHAPE_WORDS],
    text_bytes: AtomicU64,
    /// Words too: others may write to what this process only borrows.
    text: [AtomicU64; TEXT_BYTES / 8],
}

const _: () = assert!(size_of::<Header>() <= HEADER_BYTES);

/// What an object says of itself: what two sides compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Description {
    /// [`crate::Layout::HASH`] of its messages, and what it is.
    pub(crate) layout: u64,
    /// Its shape, in words.
    pub(crate) shape: [u64; SHAPE_WORDS],
    /// The same for people.
    pub(crate) text: String,
}

/// What an object is, in the first word of its shape.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Channel = 1,
    Bytes = 2,
    Signal = 3,
    Pool = 4,
    Broadcast = 5,
    Lossy = 6,
    Requests = 7,
}

impl Description {
    /// Of an object of that kind, with what else two sides must agree about, in words.
    pub(crate) fn new(kind: Kind, layout: u64, limits: &[u64], text: String) -> Self {
        let mut shape = [0; SHAPE_WORDS];
        shape[0] = kind as u64;
        shape[1..=limits.len()].copy_from_slice(limits);
        Self { layout, shape, text }
    }
}

/// A policy in a word, without the time in it, which is each side's own.
pub(crate) fn word_of_full(full: Full) -> u64 {
    match full {
        Full::Block(_) => 0,
        Full::Refuse => 1,
        Full::Overwrite => 2,
    }
}

/// The same of how users wait.
pub(crate) fn word_of_wait(wait: Wait) -> u64 {
    match wait {
        Wait::Spin => 0,
        Wait::Yield => 1,
        Wait::Park { .. } => 2,
    }
}

/// The header of a segment.
pub(super) struct Heading<'s> {
    segment: &'s Segment,
}

impl<'s> Heading<'s> {
    /// # Errors
    /// [`OpenError::Damaged`], if the segment has no room for one.
    pub(super) fn of(segment: &'s Segment) -> Result<Self, OpenError> {
        if segment.len() < HEADER_BYTES {
            return Err(OpenError::Damaged { what: "it is shorter than its header" });
        }
        Ok(Self { segment })
    }

    fn words(&self) -> &Header {
        // SAFETY: the segment has room for it, is aligned to a page and mapped while it is
        // borrowed; the header consists of words, which may hold anything.
        unsafe { self.segment.base().cast::<Header>().as_ref() }
    }

    fn text(&self) -> *mut u8 {
        (&raw const self.words().text).cast::<u8>().cast_mut()
    }

    /// Says that this process is about to make the object.
    pub(super) fn begin(&self, what: &Description) -> Result<(), OpenError> {
        let words = self.words();
        let own = Identity::own()?;
        // Relaxed, all of them: `declare_ready` publishes them.
        words.maker.store(own.word(), Ordering::Relaxed);
        words.version.store(VERSION, Ordering::Relaxed);
        words.pid_namespace.store(pid_namespace()?, Ordering::Relaxed);
        words.layout.store(what.layout, Ordering::Relaxed);
        for (word, value) in words.shape.iter().zip(what.shape) {
            word.store(value, Ordering::Relaxed);
        }
        let bytes = what.text.len().min(TEXT_BYTES);
        words.text_bytes.store(bytes as u64, Ordering::Relaxed);
        // SAFETY: the header has room for so many bytes, and the text has them.
        unsafe { store_bytes(self.text(), what.text.as_ptr(), bytes) };
        // Release: who sees the magic number sees the maker.
        words.magic.store(MAGIC, Ordering::Release);
        Ok(())
    }

    /// Says that all parts are made.
    pub(super) fn declare_ready(&self) {
        // Release pairs with the Acquire in `is_ready`.
        self.words().ready.store(1, Ordering::Release);
    }

    /// Whether all parts are made.
    pub(super) fn is_ready(&self) -> bool {
        // Acquire pairs with the Release in `declare_ready`: who sees it sees the parts.
        self.words().ready.load(Ordering::Acquire) != 0
    }

    /// The process that makes or made it; `None`: it has not begun.
    pub(super) fn maker(&self) -> Option<Identity> {
        let words = self.words();
        // Acquire pairs with the Release in `begin`.
        (words.magic.load(Ordering::Acquire) == MAGIC)
            .then(|| Identity::of_word(words.maker.load(Ordering::Relaxed)))
    }

    /// Reads what the segment says of itself, once it is ready.
    ///
    /// # Errors
    /// [`OpenError::Damaged`], [`OpenError::Version`], [`OpenError::PidNamespace`].
    pub(super) fn read(&self) -> Result<Description, OpenError> {
        let words = self.words();
        if words.magic.load(Ordering::Relaxed) != MAGIC {
            return Err(OpenError::Damaged { what: "it does not begin as a segment does" });
        }
        let version = words.version.load(Ordering::Relaxed);
        if version != VERSION {
            return Err(OpenError::Version { found: version, own: VERSION });
        }
        let (found, own) = (words.pid_namespace.load(Ordering::Relaxed), pid_namespace()?);
        if found != own {
            return Err(OpenError::PidNamespace { found, own });
        }
        Ok(Description {
            layout: words.layout.load(Ordering::Relaxed),
            shape: std::array::from_fn(|at| words.shape[at].load(Ordering::Relaxed)),
            text: self.read_text(),
        })
    }

    fn read_text(&self) -> String {
        let bytes = self.words().text_bytes.load(Ordering::Relaxed).min(TEXT_BYTES as u64) as usize;
        let mut text = vec![0; bytes];
        // SAFETY: the copy has room for so many bytes, and the header has them.
        unsafe { load_bytes(text.as_mut_ptr(), self.text(), bytes) };
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// The number of this process's PID namespace (`pid_namespaces(7)`).
fn pid_namespace() -> io::Result<u64> {
    fs::metadata("/proc/self/ns/pid").map(|of| of.ino())
}
