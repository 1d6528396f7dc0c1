//! A bus object of one's own: the latest value of something, from one writer to many readers.
//!
//! Readers never hold the writer up, and get a whole value or none: the words of the value lie
//! between two looks at a version, which is odd while they change (a sequence lock). What the bus
//! adds: handles, a limit on writers and readers with errors that name them, memory that is made
//! once, and both scopes from one source.
//!
//! ```text
//! cargo run -p tautline-bus --example own_object
//! ```

use std::error::Error;
use std::sync::atomic::Ordering;
use std::thread;

use tautline_bus::object::{Attachment, Handle, Object, Parts, Role};
use tautline_bus::{AttachError, CreateError, InProcess, Local, Private, Scope, Word};

/// The shape of it: a value is `N` words.
#[derive(Debug)]
struct Latest<const N: usize> {
    readers: usize,
}

/// What all share.
struct Head<S: Scope> {
    /// Counts twice for each value; odd while one is written.
    version: S::Word,
    /// Not zero: nobody will write again.
    ended: S::Word32,
}

impl<const N: usize, S: Scope> Object<S> for Latest<N> {
    const KIND: &'static str = "latest value";
    const USERS: [&'static str; 2] = ["writer", "reader"];
    type Head = Head<S>;
    /// The version that each reader has seen.
    type Row = S::Word;
    /// A word of the value.
    type Slot = S::Word;

    fn limits(&self) -> [usize; 2] {
        [1, self.readers]
    }

    fn head(&self) -> Head<S> {
        Head { version: S::Word::new(0), ended: S::Word32::new(0) }
    }

    fn rows(&self) -> usize {
        self.readers
    }

    fn row(&self, _: usize) -> S::Word {
        S::Word::new(0)
    }

    fn slots(&self) -> usize {
        N
    }

    fn slot(&self, _: usize) -> S::Word {
        S::Word::new(0)
    }

    fn attached(&self, parts: &Parts<Self, S>, role: Role, seat: usize) {
        if role == Role::Taker {
            // Relaxed: a row is its reader's own; the seat hands it over.
            parts.rows[seat].store(0, Ordering::Relaxed);
        }
    }

    fn gone(&self, parts: &Parts<Self, S>, role: Role) {
        if role == Role::Giver {
            // Release pairs with the Acquire in `Reader::has_ended`.
            parts.head.ended.store(1, Ordering::Release);
        }
    }
}

/// The name of a value: what a program gives to its parts.
struct Value<const N: usize, S: Scope>(Handle<Latest<N>, S>);

impl<const N: usize, S: InProcess> Value<N, S> {
    fn new(readers: usize) -> Result<Self, CreateError> {
        Handle::create(Latest { readers }).map(Self)
    }

    fn writer(&self) -> Result<Writer<N, S>, AttachError> {
        self.0.attach(Role::Giver).map(Writer)
    }

    fn reader(&self, name: &str) -> Result<Reader<N, S>, AttachError> {
        self.0.attach_as(Role::Taker, Some(name)).map(Reader)
    }
}

struct Writer<const N: usize, S: Scope>(Attachment<Latest<N>, S>);

impl<const N: usize, S: Scope> Writer<N, S> {
    fn write(&mut self, value: [u64; N]) {
        let parts = self.0.parts();
        // Relaxed: written by the one writer alone.
        let version = parts.head.version.load(Ordering::Relaxed);
        parts.head.version.store(version + 1, Ordering::Relaxed);
        for (slot, word) in parts.slots.iter().zip(value) {
            // Release pairs with the Acquire in `read`: who sees the word sees the odd version.
            slot.store(word, Ordering::Release);
        }
        // Release pairs with the Acquire in `read`: who sees the version sees all words.
        parts.head.version.store(version + 2, Ordering::Release);
    }
}

struct Reader<const N: usize, S: Scope>(Attachment<Latest<N>, S>);

impl<const N: usize, S: Scope> Reader<N, S> {
    /// The latest value, if it is one that this reader has not seen and that is not just changing.
    fn read(&mut self) -> Option<[u64; N]> {
        let parts = self.0.parts();
        let seen = &parts.rows[self.0.seat()];
        // Acquire pairs with the Release at the end of `write`.
        let version = parts.head.version.load(Ordering::Acquire);
        // Relaxed: this reader's own.
        if version % 2 == 1 || version == seen.load(Ordering::Relaxed) {
            return None;
        }
        // Acquire pairs with the Release of each word: the look below comes after.
        let value = std::array::from_fn(|at| parts.slots[at].load(Ordering::Acquire));
        // Relaxed: ordered by the loads above.
        if parts.head.version.load(Ordering::Relaxed) != version {
            return None;
        }
        seen.store(version, Ordering::Relaxed);
        Some(value)
    }

    fn has_ended(&self) -> bool {
        // Acquire pairs with the Release in `gone`: the last value is there.
        self.0.parts().head.ended.load(Ordering::Acquire) != 0
    }
}

/// Reads until nobody writes any more: how many values, and the last.
fn follow(mut reader: Reader<4, Local>) -> (u64, u64) {
    let (mut count, mut last) = (0, 0);
    loop {
        let ended = reader.has_ended();
        while let Some(value) = reader.read() {
            assert!(value.iter().all(|word| *word == value[0]), "torn: {value:?}");
            assert!(value[0] > last, "{} after {last}", value[0]);
            (count, last) = (count + 1, value[0]);
        }
        if ended {
            return (count, last);
        }
        thread::yield_now();
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    // On one thread.
    let value = Value::<2, Private>::new(1)?;
    let (mut writer, mut reader) = (value.writer()?, value.reader("only")?);
    assert_eq!(reader.read(), None);
    writer.write([1, 2]);
    writer.write([3, 4]);
    assert_eq!((reader.read(), reader.read()), (Some([3, 4]), None));
    println!("private: the latest value is [3, 4]");

    // The same on three.
    let value = Value::<4, Local>::new(2)?;
    let mut writer = value.writer()?;
    let readers = [value.reader("left")?, value.reader("right")?];
    println!("local: {}", value.reader("third").map(drop).unwrap_err());
    let readers = readers.map(|reader| thread::spawn(|| follow(reader)));
    drop(value);
    let last = 1_000_000;
    (1..=last).for_each(|n| writer.write([n; 4]));
    drop(writer);
    for reader in readers {
        let (count, latest) = reader.join().expect("a reader panics when a value is torn");
        assert!(latest == last && (1..=last).contains(&count));
    }
    println!("local: two readers met whole values only, in order, and the last one");
    Ok(())
}
