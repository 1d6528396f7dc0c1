//! The index of a run: what the numbers of call sites mean, and how the clock goes.
//!
//! It begins with a head of fixed length, in which the clock is told anew from time to time, in two
//! places in turn. Entries follow, one for each call site, each written before the first record that
//! needs it, and never changed.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::entry::{self, Bytes, checksum, put_text};
use crate::Level;
use crate::site::Site;
use crate::timeline::{Moment, Timeline};

/// What an index begins with.
const MAGIC: &[u8; 8] = b"TLlogidx";
/// Of the layout of the folder.
const VERSION: u64 = 2;
/// Where the two places for the clock lie, and where the entries begin.
const CLOCKS_AT: u64 = 64;
const CLOCK_BYTES: usize = 40;
/// Where the name of the program lies, filled up with zeros, and how much of it is kept.
const PROGRAM_AT: usize = 24;
const PROGRAM_BYTES: usize = 40;
const ENTRIES_AT: u64 = 192;

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

/// An index that is written.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) file: File,
    /// Where the next entry goes.
    end: u64,
    /// Entries that could not be written yet.
    waiting: Vec<u8>,
    /// Clocks that were told.
    clocks: u64,
}

impl Index {
    /// Begins one in a new file.
    pub(super) fn begin(file: File, timeline: Timeline) -> io::Result<Self> {
        let mut index = Self { file, end: ENTRIES_AT, waiting: Vec::new(), clocks: 0 };
        index.file.set_len(ENTRIES_AT)?;
        let mut head = VERSION.to_le_bytes().to_vec();
        head.extend(u64::from(std::process::id()).to_le_bytes());
        let program = program();
        head.extend(&program.as_bytes()[..program.floor_char_boundary(PROGRAM_BYTES)]);
        index.file.write_all_at(&head, 8)?;
        index.clock(timeline)?;
        // The magic last: an index that begins with it is whole.
        index.file.write_all_at(MAGIC, 0)?;
        Ok(index)
    }

    /// Tells of a call site.
    pub(super) fn site(&mut self, site: &SiteEntry) -> io::Result<()> {
        entry::put(&mut self.waiting, &site.to_bytes());
        self.write_waiting()
    }

    /// Writes entries; what fails is written with the next one, or when the clock is told.
    pub(super) fn write_waiting(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.waiting, self.end)?;
        self.end += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }

    /// Tells how the clock goes.
    pub(super) fn clock(&mut self, timeline: Timeline) -> io::Result<()> {
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

/// The name of this program's file.
fn program() -> String {
    let path = std::env::current_exe().unwrap_or_default();
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl SiteEntry {
    pub(super) fn of(number: usize, site: &Site) -> Self {
        let names = site.names().iter().map(|(index, name)| (*index, (*name).to_owned()));
        Self {
            number: number as u64,
            level: site.level(),
            target: site.target().to_owned(),
            file: site.file().to_owned(),
            line: site.line(),
            template: site.template().to_owned(),
            names: names.collect(),
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.level as u8];
        bytes.extend(self.number.to_le_bytes());
        bytes.extend(self.line.to_le_bytes());
        for text in [&self.target, &self.file, &self.template] {
            put_text(&mut bytes, text);
        }
        bytes.push(self.names.len() as u8);
        for (index, name) in &self.names {
            bytes.push(*index);
            put_text(&mut bytes, name);
        }
        bytes
    }
}

// ------------------------------------------------------------------------------------- reading

/// What an index says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) process: u64,
    /// The name of the program's file, as far as it is kept.
    pub(crate) program: String,
    pub(crate) timeline: Timeline,
    pub(crate) sites: Vec<SiteEntry>,
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
    let process = head.word().unwrap_or_default();
    let program = bytes.get(PROGRAM_AT..PROGRAM_AT + PROGRAM_BYTES).unwrap_or_default();
    let program = String::from_utf8_lossy(program).trim_end_matches('\0').to_owned();
    let timeline = read_clock(bytes).ok_or("it tells no time")?;
    let entries = bytes.get(ENTRIES_AT as usize..).unwrap_or_default();
    let (sites, damaged) = entry::read_all(entries, read_site);
    Ok(Told { process, program, timeline, sites, damaged })
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

fn read_site(bytes: &mut Bytes<'_>) -> Option<SiteEntry> {
    let level = Level::from_number(bytes.byte()?)?;
    let (number, line) = (bytes.word()?, bytes.half()?);
    let (target, file, template) = (bytes.text()?, bytes.text()?, bytes.text()?);
    let mut names = Vec::new();
    for _ in 0..bytes.byte()? {
        names.push((bytes.byte()?, bytes.text()?));
    }
    Some(SiteEntry { number, level, target, file, line, template, names })
}

#[cfg(test)]
mod tests {
    use super::*;

    static SITE: Site = Site::new(Level::Warn, "target", "file.rs", 7, "{0} und {1}", &[(1, "b")]);

    fn timeline(n: u64) -> Timeline {
        let moment = |n| Moment { ticks: n, time: n * 1000 };
        Timeline { first: moment(n), last: moment(n + 1) }
    }

    /// An index with so many sites.
    fn index(sites: usize) -> (tempfile::NamedTempFile, Index) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut index = Index::begin(file.reopen().unwrap(), timeline(1)).unwrap();
        (0..sites).for_each(|number| index.site(&SiteEntry::of(number, &SITE)).unwrap());
        (file, index)
    }

    fn told(file: &tempfile::NamedTempFile) -> Told {
        read_index(&entry::read_file(file.path()).unwrap()).unwrap()
    }

    /// What is told is read again, with the latest time.
    #[test]
    fn the_index_says_what_was_told() {
        let (file, mut index) = index(2);
        index.clock(timeline(9)).unwrap();
        let told = told(&file);
        assert_eq!((told.timeline, told.damaged), (timeline(9), false));
        let site = &told.sites[1];
        assert_eq!((site.number, site.line, site.level), (1, 7, Level::Warn));
        assert_eq!((&*site.template, &*site.target), ("{0} und {1}", "target"));
        assert_eq!(site.names, [(1, "b".to_owned())]);
    }

    /// What could not be written, as on a full disk, is written later.
    #[test]
    fn what_failed_is_written_later() {
        let (file, mut index) = index(1);
        let full = File::options().write(true).open("/dev/full").unwrap();
        let good = std::mem::replace(&mut index.file, full);
        for number in 1..4 {
            assert!(index.site(&SiteEntry::of(number, &SITE)).is_err());
        }
        index.file = good;
        assert_eq!(told(&file).sites.len(), 1);
        index.write_waiting().unwrap();
        index.site(&SiteEntry::of(4, &SITE)).unwrap();
        let told = told(&file);
        assert!(told.sites.iter().map(|site| site.number).eq(0..5) && !told.damaged);
    }

    /// A torn or scribbled index gives an error, or the entries before the damage; no panic.
    #[test]
    fn a_damaged_index_is_no_danger() {
        let (file, _index) = index(20);
        let whole = entry::read_file(file.path()).unwrap();
        let all = told(&file).sites;
        for cut in 0..whole.len() {
            if let Ok(told) = read_index(&whole[..cut]) {
                assert_eq!(told.sites, all[..told.sites.len()]);
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
                assert!(told.sites.len() <= all.len());
            }
        }
    }
}
