//! The folder of a run: its rings, and an index that says what their numbers mean.
//!
//! ```text
//!   DIR/run-<nanoseconds>-<process>/index     what rings and records refer to
//!                                   ring-0    the records of a thread (bus::record)
//!                                   ring-1
//! ```
//!
//! The index begins with a head of fixed length, in which the clock is told anew from time to time,
//! in two places in turn. Entries follow, each written before the first record that needs it, and
//! never changed. A run that ends in peace removes its folder; what is there is of runs that live,
//! or that were killed.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, flock};

use crate::Level;
use crate::core::DirectoryError;
use crate::output;
use crate::site::Site;
use crate::sync::{AtomicBool, Mutex, Ordering, lock};
use crate::timeline::{Moment, Timeline};

/// What an index begins with.
const MAGIC: &[u8; 8] = b"TLlogidx";
const VERSION: u64 = 1;
/// Where the two places for the clock lie, and where the entries begin.
const CLOCKS_AT: u64 = 64;
const CLOCK_BYTES: usize = 40;
const ENTRIES_AT: u64 = 192;
/// The longest entry.
const MOST_BYTES: u32 = 1 << 20;

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A call site.
    Site(SiteEntry),
    /// From that position of a ring on, its records are of that thread.
    Thread { ring: u64, position: u64, name: String },
}

/// What is known of a call site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SiteEntry {
    pub(crate) number: u64,
    pub(crate) level: Level,
    pub(crate) target: String,
    pub(crate) file: String,
    pub(crate) line: u32,
    pub(crate) template: String,
    pub(crate) names: Vec<(u8, String)>,
}

// ------------------------------------------------------------------------------------- writing

/// The folder of this run.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    index: Mutex<Index>,
    /// Whether writing has failed, which is told once.
    failed: AtomicBool,
}

#[derive(Debug)]
struct Index {
    file: File,
    /// Where the next entry goes.
    end: u64,
    /// Entries that could not be written yet.
    waiting: Vec<u8>,
    /// Clocks that were told.
    clocks: u64,
}

impl Directory {
    /// A folder in `parent`, which is made if it is not there. Of runs that were killed, the `keep`
    /// youngest stay.
    pub(crate) fn create(
        parent: &Path,
        keep: usize,
        timeline: Timeline,
    ) -> Result<Self, DirectoryError> {
        let made = Self::try_create(parent, keep, timeline);
        made.map_err(|source| DirectoryError { path: parent.to_owned(), source })
    }

    fn try_create(parent: &Path, keep: usize, timeline: Timeline) -> io::Result<Self> {
        let mut owner_only = DirBuilder::new();
        owner_only.recursive(true).mode(0o700).create(parent)?;
        remove_old(parent, keep)?;
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("run-{:020}-{}", time.as_nanos(), std::process::id());
        let path = parent.join(name);
        owner_only.recursive(false).create(&path)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(path.join("index"))?;
        // Held for as long as the process lives: that is how others see whether it does.
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        let directory = Self {
            path,
            index: Mutex::new(Index { file, end: ENTRIES_AT, waiting: Vec::new(), clocks: 0 }),
            failed: AtomicBool::new(false),
        };
        directory.begin(timeline)?;
        Ok(directory)
    }

    fn begin(&self, timeline: Timeline) -> io::Result<()> {
        let mut index = lock(&self.index);
        index.file.set_len(ENTRIES_AT)?;
        let mut head = VERSION.to_le_bytes().to_vec();
        head.extend(u64::from(std::process::id()).to_le_bytes());
        index.file.write_all_at(&head, 8)?;
        index.clock(timeline)?;
        // The magic last: an index that begins with it is whole.
        index.file.write_all_at(MAGIC, 0)
    }

    /// Where the folder is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file of a ring.
    pub(crate) fn ring(&self, number: usize) -> PathBuf {
        self.path.join(format!("ring-{number}"))
    }

    pub(crate) fn remove_ring(&self, number: usize) {
        // What cannot be removed now is with the folder.
        drop(fs::remove_file(self.ring(number)));
    }

    /// Tells what a number of a site means.
    pub(crate) fn site(&self, number: usize, site: &Site) {
        let names = site.names().iter().map(|(index, name)| (*index, (*name).to_owned()));
        self.entry(&Entry::Site(SiteEntry {
            number: number as u64,
            level: site.level(),
            target: site.target().to_owned(),
            file: site.file().to_owned(),
            line: site.line(),
            template: site.template().to_owned(),
            names: names.collect(),
        }));
    }

    /// Tells whose records a ring holds from now on.
    pub(crate) fn thread(&self, ring: usize, position: u64, name: &str) {
        let name = name.to_owned();
        self.entry(&Entry::Thread { ring: ring as u64, position, name });
    }

    /// Tells how the clock goes.
    pub(crate) fn clock(&self, timeline: Timeline) {
        let mut index = lock(&self.index);
        let told = index.clock(timeline).and(index.write_waiting());
        drop(index);
        self.tell_failure(told);
    }

    fn entry(&self, entry: &Entry) {
        let written = lock(&self.index).entry(&entry.to_bytes());
        self.tell_failure(written);
    }

    /// There is nobody to return an error to: the line goes to the log all the same.
    fn tell_failure(&self, result: io::Result<()>) {
        if let Err(error) = result
            && !self.failed.swap(true, Ordering::Relaxed)
        {
            let path = self.path.display();
            output::say(format_args!(
                "cannot write the index in {path}, and tries again; until it can, lines of new \
                 call sites cannot be recovered: {error}"
            ));
        }
    }

    /// Removes the folder.
    pub(crate) fn remove(&self) -> io::Result<()> {
        fs::remove_dir_all(&self.path)
    }
}

impl Index {
    fn entry(&mut self, payload: &[u8]) -> io::Result<()> {
        self.waiting.extend((payload.len() as u32).to_le_bytes());
        self.waiting.extend(checksum(payload).to_le_bytes());
        self.waiting.extend(payload);
        self.write_waiting()
    }

    /// Writes entries; what fails is written with the next one, or when the clock is told.
    fn write_waiting(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.waiting, self.end)?;
        self.end += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }

    fn clock(&mut self, timeline: Timeline) -> io::Result<()> {
        let at = CLOCKS_AT + self.clocks % 2 * CLOCK_BYTES as u64;
        self.clocks += 1;
        let Timeline { first, last } = timeline;
        let mut bytes = Vec::with_capacity(CLOCK_BYTES);
        for word in [first.ticks, first.time, last.ticks, last.time] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(u64::from(checksum(&bytes)).to_le_bytes());
        self.file.write_all_at(&bytes, at)
    }
}

/// Removes folders of runs that were killed, but for the `keep` youngest.
fn remove_old(parent: &Path, keep: usize) -> io::Result<()> {
    let mut dead = runs(parent)?;
    dead.retain(|run| !is_alive(run));
    for run in dead.iter().rev().skip(keep) {
        // Another process may be at it too.
        drop(fs::remove_dir_all(run));
    }
    Ok(())
}

// ------------------------------------------------------------------------------------- reading

/// Folders of runs in `parent`, the oldest first.
pub(crate) fn runs(parent: &Path) -> io::Result<Vec<PathBuf>> {
    let mut runs = Vec::new();
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("run-") {
            runs.push(entry.path());
        }
    }
    runs.sort();
    Ok(runs)
}

/// Whether the process still runs whose run that is.
pub(crate) fn is_alive(run: &Path) -> bool {
    let Ok(file) = File::open(run.join("index")) else { return false };
    flock(&file, FlockOperation::NonBlockingLockShared).is_err()
}

/// What an index says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) timeline: Timeline,
    pub(crate) entries: Vec<Entry>,
    /// Whether something stands after the last entry that is none.
    pub(crate) damaged: bool,
}

/// Reads an index from its bytes.
pub(crate) fn read_index(bytes: &[u8]) -> Result<Told, &'static str> {
    let mut head = Bytes(bytes);
    if head.take(MAGIC.len()) != Some(MAGIC) {
        return Err("it begins with something else");
    }
    if head.word() != Some(VERSION) {
        return Err("it is of another version: read it with the program that wrote it");
    }
    let timeline = read_clock(bytes).ok_or("it tells no time")?;
    let mut entries = Vec::new();
    let mut rest = Bytes(bytes.get(ENTRIES_AT as usize..).unwrap_or_default());
    while let Some(entry) = read_entry(&mut rest) {
        entries.push(entry);
    }
    Ok(Told { timeline, entries, damaged: !rest.0.is_empty() })
}

/// The later one of the two that are whole.
fn read_clock(bytes: &[u8]) -> Option<Timeline> {
    let clock = |index: usize| {
        let place = bytes.get(CLOCKS_AT as usize + index * CLOCK_BYTES..)?.get(..CLOCK_BYTES)?;
        let mut words = Bytes(place);
        let [a, b, c, d] = [words.word()?, words.word()?, words.word()?, words.word()?];
        let whole = words.word()? == u64::from(checksum(&place[..32]));
        let first = Moment { ticks: a, time: b };
        whole.then_some(Timeline { first, last: Moment { ticks: c, time: d } })
    };
    [clock(0), clock(1)].into_iter().flatten().max_by_key(|timeline| timeline.last.ticks)
}

fn read_entry(bytes: &mut Bytes<'_>) -> Option<Entry> {
    let mut ahead = Bytes(bytes.0);
    let len = ahead.half()?;
    let check = ahead.half()?;
    if len > MOST_BYTES {
        return None;
    }
    let payload = ahead.take(len as usize)?;
    let entry = (checksum(payload) == check).then(|| Entry::of(payload)).flatten()?;
    *bytes = ahead;
    Some(entry)
}

/// Bytes that are left to be read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    fn half(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn word(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Option<String> {
        let len = self.half()?;
        String::from_utf8(self.take(len as usize)?.to_vec()).ok()
    }
}

impl Entry {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Self::Site(site) => {
                bytes.extend([1, site.level as u8]);
                bytes.extend(site.number.to_le_bytes());
                bytes.extend(site.line.to_le_bytes());
                for text in [&site.target, &site.file, &site.template] {
                    put_text(&mut bytes, text);
                }
                bytes.push(site.names.len() as u8);
                for (index, name) in &site.names {
                    bytes.push(*index);
                    put_text(&mut bytes, name);
                }
            }
            Self::Thread { ring, position, name } => {
                bytes.push(2);
                bytes.extend(ring.to_le_bytes());
                bytes.extend(position.to_le_bytes());
                put_text(&mut bytes, name);
            }
        }
        bytes
    }

    fn of(payload: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(payload);
        match bytes.byte()? {
            1 => {
                let level = Level::from_number(bytes.byte()?)?;
                let (number, line) = (bytes.word()?, bytes.half()?);
                let (target, file, template) = (bytes.text()?, bytes.text()?, bytes.text()?);
                let mut names = Vec::new();
                for _ in 0..bytes.byte()? {
                    names.push((bytes.byte()?, bytes.text()?));
                }
                let site = SiteEntry { number, level, target, file, line, template, names };
                Some(Self::Site(site))
            }
            2 => {
                let (ring, position) = (bytes.word()?, bytes.word()?);
                Some(Self::Thread { ring, position, name: bytes.text()? })
            }
            _ => None,
        }
    }
}

/// Appends a text, cut if it would make the entry too long.
fn put_text(bytes: &mut Vec<u8>, text: &str) {
    let text = &text[..text.floor_char_boundary(MOST_BYTES as usize / 8)];
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text.as_bytes());
}

/// Tells bytes that were written from others (FNV-1a, folded).
fn checksum(bytes: &[u8]) -> u32 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    (hash ^ hash >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(parent: &Path) -> Directory {
        let moment = |n| Moment { ticks: n, time: n * 1000 };
        let timeline = Timeline { first: moment(1), last: moment(2) };
        Directory::create(parent, 2, timeline).unwrap()
    }

    static SITE: Site = Site::new(Level::Warn, "target", "file.rs", 7, "{0} und {1}", &[(1, "b")]);

    fn told(directory: &Directory) -> Told {
        read_index(&fs::read(directory.path().join("index")).unwrap()).unwrap()
    }

    /// What is told is read again, with the latest time.
    #[test]
    fn the_index_says_what_was_told() {
        let parent = tempfile::tempdir().unwrap();
        let directory = directory(parent.path());
        directory.site(3, &SITE);
        directory.thread(0, 88, "näher");
        let later = Moment { ticks: 9, time: 9000 };
        let timeline = Timeline { first: later, last: later };
        directory.clock(timeline);
        let told = told(&directory);
        assert_eq!((told.timeline, told.damaged), (timeline, false));
        let thread = Entry::Thread { ring: 0, position: 88, name: "näher".to_owned() };
        assert_eq!(told.entries[1], thread);
        let Entry::Site(site) = &told.entries[0] else { panic!("{told:?}") };
        assert_eq!((site.number, site.line, site.level), (3, 7, Level::Warn));
        assert_eq!((&*site.template, &*site.target), ("{0} und {1}", "target"));
        assert_eq!(site.names, [(1, "b".to_owned())]);
    }

    /// A torn or scribbled index gives an error, or the entries before the damage; no panic.
    #[test]
    fn a_damaged_index_is_no_danger() {
        let parent = tempfile::tempdir().unwrap();
        let directory = directory(parent.path());
        for number in 0..20 {
            directory.site(number, &SITE);
        }
        let whole = fs::read(directory.path().join("index")).unwrap();
        let all = told(&directory).entries;
        for cut in 0..whole.len() {
            if let Ok(told) = read_index(&whole[..cut]) {
                assert_eq!(told.entries, all[..told.entries.len()]);
            }
        }
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..5000 {
            let mut bytes = whole.clone();
            for _ in 0..random.usize(1..5) {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
            if let Ok(told) = read_index(&bytes) {
                assert!(told.entries.len() <= all.len());
            }
        }
    }

    /// A run that lives is known by its lock; of those that were killed, the youngest stay.
    #[test]
    fn old_runs_are_removed() {
        let parent = tempfile::tempdir().unwrap();
        for _ in 0..4 {
            let killed = directory(parent.path());
            assert!(is_alive(killed.path()));
        }
        let left = runs(parent.path()).unwrap();
        assert_eq!(left.len(), 3, "two that were kept, and the last");
        assert!(left.iter().all(|run| !is_alive(run)));
        let living = directory(parent.path());
        assert!(is_alive(living.path()));
        living.remove().unwrap();
        assert_eq!(runs(parent.path()).unwrap(), left[1..]);
    }
}
