//! What a segment says of itself, in its first pages. Made of words: all of it may be anything, and
//! each word is read once, checked, and then used.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use crate::layout::{Layout, Told};
use crate::policy::{Full, Wait};
use crate::shared::access::{Guests, MAX_USERS};
use crate::shared::error::OpenError;
use crate::shared::identity::Identity;
use crate::shared::segment::Segment;
use crate::sync::{AtomicU32, AtomicU64, Ordering, load_bytes, store_bytes};

/// Bytes that it takes.
pub(super) const HEADER_BYTES: usize = 8192;

/// "TAUTLINE", in the byte order of the machine.
const MAGIC: u64 = 0x5441_5554_4c49_4e45;

/// Raised whenever the layout of any object changes.
const VERSION: u32 = 3;

/// Words in which an object tells its shape.
const SHAPE_WORDS: usize = 16;

/// The most bytes of the text.
const TEXT_BYTES: usize = 2048;

/// The most bytes of the text of a message's layout.
const TOLD_BYTES: usize = 4096;

/// The most parts of an object: five of each that it is made of, and its streams.
const PARTS: usize = 12;

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
    /// Where the parts of the object lie, for those who only look.
    parts: [PartWords; PARTS],
    /// Where the message lies within its slot, and its bytes.
    message: [AtomicU64; 2],
    guests: GuestWords,
    text_bytes: AtomicU64,
    /// Words too: others may write to what this process only borrows.
    text: [AtomicU64; TEXT_BYTES / 8],
    told_bytes: AtomicU64,
    /// The layout of a message as text.
    told: [AtomicU64; TOLD_BYTES / 8],
}

/// Who may have the segment besides its owner.
#[repr(C)]
struct GuestWords {
    /// [`NO_GUESTS`], [`USERS`] or [`GROUP`].
    kind: AtomicU32,
    /// How many users.
    count: AtomicU32,
    /// The users, or the group.
    who: [AtomicU32; MAX_USERS],
}

const NO_GUESTS: u32 = 0;
const USERS: u32 = 1;
const GROUP: u32 = 2;

#[repr(C)]
struct PartWords {
    /// The first bytes of what it is called.
    what: AtomicU64,
    /// Bytes from the start of the segment.
    at: AtomicU64,
    count: AtomicU64,
    /// Bytes of each item.
    size: AtomicU64,
}

/// A part of an object: so many items of so many bytes, from there on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    /// What it is, by [`part_name`]; zero: there is none.
    pub(super) what: u64,
    pub(super) at: u64,
    pub(super) count: u64,
    pub(super) size: u64,
}

/// What a part is called, as a word.
pub(super) const fn part_name(what: &str) -> u64 {
    let (bytes, mut word, mut at) = (what.as_bytes(), 0, 0);
    while at < bytes.len() && at < 8 {
        word |= (bytes[at] as u64) << (8 * at);
        at += 1;
    }
    word
}

/// What a message is and where it lies within a slot of its ring.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Carried {
    /// Bytes before it in its slot.
    pub(crate) at: u64,
    /// Its bytes.
    pub(crate) size: u64,
    /// Its layout, as text.
    pub(crate) told: String,
}

impl Carried {
    /// A message of that type, behind so many bytes.
    pub(crate) fn of<T: Layout>(at: usize) -> Self {
        Self { at: at as u64, size: size_of::<T>() as u64, told: Told::<T>::new().to_string() }
    }
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
    /// What goes through it, for those who only look.
    pub(crate) carried: Carried,
}

/// What an object is, in the first word of its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Channel = 1,
    Bytes = 2,
    Signal = 3,
    Pool = 4,
    Broadcast = 5,
    Lossy = 6,
    Requests = 7,
}

impl Kind {
    /// All of them.
    const ALL: [Self; 7] = [
        Self::Channel,
        Self::Bytes,
        Self::Signal,
        Self::Pool,
        Self::Broadcast,
        Self::Lossy,
        Self::Requests,
    ];

    /// The kind of that word.
    pub(super) fn of_word(word: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u64 == word)
    }
}

impl Description {
    /// Of an object of that kind, with what else two sides must agree about, in words.
    pub(crate) fn new(kind: Kind, layout: u64, limits: &[u64], text: String) -> Self {
        let mut shape = [0; SHAPE_WORDS];
        shape[0] = kind as u64;
        shape[1..=limits.len()].copy_from_slice(limits);
        Self { layout, shape, text, carried: Carried::default() }
    }

    /// The same of an object through which such messages go.
    pub(crate) fn carrying(self, carried: Carried) -> Self {
        Self { carried, ..self }
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

    /// Where a text is kept, and how many bytes of it there are.
    fn text(&self) -> Text<'_> {
        Text { len: &self.words().text_bytes, words: &self.words().text }
    }

    fn told(&self) -> Text<'_> {
        Text { len: &self.words().told_bytes, words: &self.words().told }
    }

    /// Says that this process is about to make the object.
    pub(super) fn begin(&self, what: &Description, guests: &Guests) -> Result<(), OpenError> {
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
        words.message[0].store(what.carried.at, Ordering::Relaxed);
        words.message[1].store(what.carried.size, Ordering::Relaxed);
        words.guests.store(guests);
        self.text().write(&what.text);
        self.told().write(&what.carried.told);
        // Release: who sees the magic number sees the maker.
        words.magic.store(MAGIC, Ordering::Release);
        Ok(())
    }

    /// Says where a part lies; those beyond the most are not told.
    pub(super) fn note_part(&self, index: usize, part: Part) {
        let Some(words) = self.words().parts.get(index) else { return };
        // Relaxed: `declare_ready` publishes them.
        words.what.store(part.what, Ordering::Relaxed);
        words.at.store(part.at, Ordering::Relaxed);
        words.count.store(part.count, Ordering::Relaxed);
        words.size.store(part.size, Ordering::Relaxed);
    }

    /// Where the parts lie, as the segment says: nothing of it is checked.
    pub(super) fn parts(&self) -> [Part; PARTS] {
        self.words().parts.each_ref().map(|words| Part {
            // Relaxed: who asks has seen that the segment is ready.
            what: words.what.load(Ordering::Relaxed),
            at: words.at.load(Ordering::Relaxed),
            count: words.count.load(Ordering::Relaxed),
            size: words.size.load(Ordering::Relaxed),
        })
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

    /// Who may have it besides its owner, once it is ready.
    ///
    /// # Errors
    /// [`OpenError::Damaged`].
    pub(super) fn guests(&self) -> Result<Guests, OpenError> {
        self.words().guests.load().ok_or(OpenError::Damaged { what: "its guests make no sense" })
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
            text: self.text().read(),
            carried: Carried {
                at: words.message[0].load(Ordering::Relaxed),
                size: words.message[1].load(Ordering::Relaxed),
                told: self.told().read(),
            },
        })
    }
}

impl GuestWords {
    fn store(&self, guests: &Guests) {
        let (kind, who) = match guests {
            Guests::Nobody => (NO_GUESTS, &[][..]),
            Guests::Users(users) => (USERS, &users[..]),
            Guests::Group(group) => (GROUP, std::slice::from_ref(group)),
        };
        // Relaxed, here and below: as the rest of the header.
        self.kind.store(kind, Ordering::Relaxed);
        self.count.store(who.len() as u32, Ordering::Relaxed);
        for (word, who) in self.who.iter().zip(who) {
            word.store(*who, Ordering::Relaxed);
        }
    }

    fn load(&self) -> Option<Guests> {
        let count = self.count.load(Ordering::Relaxed) as usize;
        let who = self.who.get(..count)?.iter().map(|word| word.load(Ordering::Relaxed));
        match self.kind.load(Ordering::Relaxed) {
            NO_GUESTS => Some(Guests::Nobody),
            USERS => Some(Guests::Users(who.collect())),
            GROUP => who.last().map(Guests::Group),
            _ => None,
        }
    }
}

/// Text in words.
struct Text<'h> {
    len: &'h AtomicU64,
    words: &'h [AtomicU64],
}

impl Text<'_> {
    fn bytes(&self) -> *mut u8 {
        self.words.as_ptr().cast::<u8>().cast_mut()
    }

    /// Keeps as much of the text as there is room for.
    fn write(&self, text: &str) {
        let bytes = text.len().min(size_of_val(self.words));
        self.len.store(bytes as u64, Ordering::Relaxed);
        // SAFETY: the words have room for so many bytes, and the text has them.
        unsafe { store_bytes(self.bytes(), text.as_ptr(), bytes) };
    }

    fn read(&self) -> String {
        let most = size_of_val(self.words) as u64;
        let bytes = self.len.load(Ordering::Relaxed).min(most) as usize;
        let mut text = vec![0; bytes];
        // SAFETY: the copy has room for so many bytes, and the words have them.
        unsafe { load_bytes(text.as_mut_ptr(), self.bytes(), bytes) };
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// The number of this process's PID namespace (`pid_namespaces(7)`).
fn pid_namespace() -> io::Result<u64> {
    fs::metadata("/proc/self/ns/pid").map(|of| of.ino())
}
