//! What a directory tells after the process is gone.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tautline_bus::record::{Record, Remains, RemainsError};
use thiserror::Error;

use crate::directory::{self, Owner, SiteEntry, Told as Index};
use crate::format::Template;
use crate::output::{self, Known, Told};
use crate::record::{self, FOREIGN, Malformed, Read};
use crate::timeline::Timeline;
use crate::{Level, Line};

/// Why a directory, or a part of it, tells nothing.
#[derive(Debug, Error)]
pub enum RecoverError {
    /// It cannot be read.
    #[error("cannot read {path}: {cause}")]
    Read {
        /// What cannot.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// There is no run in it.
    #[error("{0} holds no run: name the directory that was configured, or one of the runs in it")]
    NoRun(PathBuf),
    /// The index of a run is none.
    #[error("{path} is damaged or no index: {what}")]
    Index {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The file of a ring tells nothing.
    #[error(transparent)]
    Ring(#[from] RemainsError),
    /// A part of a file is damaged: what stands before and behind it is told.
    #[error("{path} is damaged in {}: what stood there is lost", places(*count))]
    Places {
        /// The file.
        path: PathBuf,
        /// How many.
        count: usize,
    },
    /// The file of a ring that a thread had is empty: it was cut off.
    #[error("{path} is damaged: it is empty, and what stood there is lost")]
    Emptied {
        /// The file.
        path: PathBuf,
    },
    /// The index does not name the call sites of some lines: it is damaged, or there was no room on
    /// the disk for it. They are shown without their texts.
    #[error("{path}: lines whose call sites are unknown, so that what they said is lost: {count}")]
    Sites {
        /// The file of the ring.
        path: PathBuf,
        /// How many lines.
        count: usize,
    },
}

fn places(count: usize) -> String {
    if count == 1 { "1 place".to_owned() } else { format!("{count} places") }
}

/// What had become of a line before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Was {
    /// The sinks had got it.
    HandedOn,
    /// It was only in the ring.
    Waiting,
}

/// What is left of the runs in a directory.
#[derive(Debug)]
pub struct Recovered {
    runs: Vec<Run>,
    problems: Vec<RecoverError>,
}

/// What is left of one run: of one log, from its start on.
#[derive(Debug)]
pub struct Run {
    folder: PathBuf,
    index: Index,
    rings: Vec<Ring>,
}

#[derive(Debug)]
struct Ring {
    path: PathBuf,
    number: u64,
    remains: Remains,
    /// Whose records they are, in order.
    owners: Vec<Owner>,
}

/// Reads what is left in a directory ([`Config::directory`](crate::Config::directory)), or of one of
/// the runs in it: what the rings hold, also lines that the sinks had got and that were not written
/// over yet. It needs neither the program that wrote them nor its process; that may still run.
///
/// Nothing in the directory is trusted, and nothing is changed: what is no regular file is not read,
/// nor what is larger than it can be. What is damaged is passed over, and is among the
/// [`problems`](Recovered::problems).
///
/// # Errors
/// [`RecoverError`], if nothing can be told.
///
/// ```
/// # let directory = tempfile::tempdir().unwrap();
/// # let directory = directory.path();
/// use tautline_log::{Config, Logger, info, recover};
///
/// let config = Config { directory: Some(directory.to_owned()), ..Config::default() };
/// let guard = Logger::start(config)?;
/// info!("about to do something daring");
/// // Another process may do this, whether or not this one still lives.
/// let mut lines = Vec::new();
/// recover(directory)?.visit(|line, _| lines.push(line.message.to_owned()));
/// assert_eq!(lines, ["about to do something daring"]);
/// # drop(guard);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn recover(directory: &Path) -> Result<Recovered, RecoverError> {
    let mut problems = Vec::new();
    let read = |cause| RecoverError::Read { path: directory.to_owned(), cause };
    let folders = if directory.join("index").exists() {
        vec![directory.to_owned()]
    } else {
        directory::runs(directory).map_err(read)?
    };
    if folders.is_empty() {
        return Err(RecoverError::NoRun(directory.to_owned()));
    }
    let mut runs = Vec::new();
    for folder in folders {
        match Run::read(&folder, &mut problems) {
            Ok(run) => runs.push(run),
            Err(error) => problems.push(error),
        }
    }
    match problems.pop() {
        Some(error) if runs.is_empty() => Err(error),
        last => {
            problems.extend(last);
            Ok(Recovered { runs, problems })
        }
    }
}

impl Recovered {
    /// The runs, the oldest first.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Shows all lines, the oldest run first, and within a run in the order of their times.
    pub fn visit(&self, mut show: impl FnMut(&Line<'_>, Was)) {
        for run in &self.runs {
            run.show(&mut show);
        }
    }

    /// What could not be read, and how much of it: records that are none are counted as damaged
    /// places of their ring; lines whose call sites are unknown are shown, as lines that say so.
    pub fn problems(&self) -> &[RecoverError] {
        &self.problems
    }

    /// Lines that were dropped by their threads, by the threads' own counts.
    pub fn dropped(&self) -> u64 {
        let rings = self.runs.iter().flat_map(|run| &run.rings);
        rings.map(|ring| ring.remains.dropped()).fold(0, u64::saturating_add)
    }
}

impl Run {
    /// The folder that it is in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The number of its process.
    pub fn process(&self) -> u64 {
        self.index.process
    }

    /// The name of its program's file, cut at 40 bytes.
    pub fn program(&self) -> &str {
        &self.index.program
    }

    /// When its log started, in nanoseconds since 1970.
    pub fn started(&self) -> u64 {
        self.index.timeline.first.time
    }

    /// Shows its lines, in the order of their times.
    pub fn visit(&self, mut show: impl FnMut(&Line<'_>, Was)) {
        self.show(&mut show);
    }

    fn read(folder: &Path, problems: &mut Vec<RecoverError>) -> Result<Self, RecoverError> {
        let fail = |path: &Path| {
            let path = path.to_owned();
            move |cause| RecoverError::Read { path, cause }
        };
        // The rings first: what their records need was in the index before.
        let mut rings = Vec::new();
        for entry in fs::read_dir(folder).map_err(fail(folder))? {
            let path = entry.map_err(fail(folder))?.path();
            let Some(number) = ring_number(&path) else { continue };
            match Remains::read(&path) {
                Ok(remains) => rings.push(Ring { path, number, remains, owners: Vec::new() }),
                Err(RemainsError::Unmade { .. }) => {
                    // A thread had it, and is told beside it, only once it was made.
                    if !owners(folder, number, &mut Vec::new()).is_empty() {
                        problems.push(RecoverError::Emptied { path });
                    }
                }
                Err(error) => problems.push(error.into()),
            }
        }
        rings.sort_by_key(|ring| ring.number);
        for ring in &mut rings {
            ring.owners = owners(folder, ring.number, problems);
        }
        let path = folder.join("index");
        let bytes = directory::read_file(&path).map_err(fail(&path))?;
        let index = directory::read_index(&bytes)
            .map_err(|what| RecoverError::Index { path: path.clone(), what })?;
        let run = Self { folder: folder.to_owned(), index, rings };
        run.look_for_damage(path, problems);
        Ok(run)
    }

    fn look_for_damage(&self, index: PathBuf, problems: &mut Vec<RecoverError>) {
        let teller = Teller::new(&self.index);
        if self.index.damaged {
            problems.push(RecoverError::Places { path: index, count: 1 });
        }
        for ring in &self.rings {
            let (mut places, mut unknown) = (0, 0);
            for record in ring.remains.records() {
                places += usize::from(record.after_damage);
                match teller.knows(record.bytes) {
                    Ok(true) => {}
                    Ok(false) => unknown += 1,
                    Err(Malformed) => places += 1,
                }
            }
            let path = || ring.path.clone();
            if places > 0 {
                problems.push(RecoverError::Places { path: path(), count: places });
            }
            if unknown > 0 {
                problems.push(RecoverError::Sites { path: path(), count: unknown });
            }
        }
    }

    fn show(&self, show: &mut impl FnMut(&Line<'_>, Was)) {
        let mut teller = Teller::new(&self.index);
        let mut rings: Vec<_> = self.rings.iter().map(InOrder::new).collect();
        let mut due: BinaryHeap<_> = BinaryHeap::new();
        for (index, ring) in rings.iter_mut().enumerate() {
            due.extend(ring.next().map(|ticks| Reverse((ticks, index))));
        }
        while let Some(Reverse((_, index))) = due.pop() {
            let ring = &mut rings[index];
            if let Some(record) = ring.held.take() {
                let was = if record.released { Was::HandedOn } else { Was::Waiting };
                // A record that is none was counted as damage.
                teller.tell(&ring.thread, record.bytes, |line| show(line, was)).ok();
            }
            due.extend(ring.next().map(|ticks| Reverse((ticks, index))));
        }
    }
}

fn ring_number(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix("ring-")?.parse().ok()
}

/// Whose records are in a ring. Without such a file, which a full disk may have prevented, the ring
/// itself tells of those whose first record is still there.
fn owners(folder: &Path, ring: u64, problems: &mut Vec<RecoverError>) -> Vec<Owner> {
    let path = folder.join(format!("threads-{ring}"));
    match directory::read_file(&path) {
        Ok(bytes) => {
            let (owners, damaged) = directory::read_threads(&bytes);
            if damaged {
                problems.push(RecoverError::Places { path, count: 1 });
            }
            return owners;
        }
        Err(source) if source.kind() == io::ErrorKind::NotFound => {}
        Err(cause) => problems.push(RecoverError::Read { path, cause }),
    }
    Vec::new()
}

/// The records of a ring, one after the other.
struct InOrder<'a> {
    records: Box<dyn Iterator<Item = Record<'a>> + 'a>,
    held: Option<Record<'a>>,
    /// Owners whose records are still to come.
    owners: std::iter::Peekable<std::slice::Iter<'a, Owner>>,
    thread: String,
    /// The time of the last one: within a thread the order is that of the records.
    latest: u64,
}

impl<'a> InOrder<'a> {
    fn new(ring: &'a Ring) -> Self {
        let records = Box::new(ring.remains.records());
        let owners = ring.owners.iter().peekable();
        Self { records, held: None, owners, thread: String::new(), latest: 0 }
    }

    /// Holds the next record, and says when it is due.
    fn next(&mut self) -> Option<u64> {
        let record = self.records.find(|record| record::ticks(record.bytes).is_ok())?;
        while let Some(owner) = self.owners.next_if(|owner| owner.position <= record.position) {
            self.thread.clone_from(&owner.name);
        }
        if let Some(name) = output::thread_name(record.bytes) {
            self.thread = name;
        }
        self.latest = self.latest.max(record::ticks(record.bytes).unwrap_or_default());
        self.held = Some(record);
        Some(self.latest)
    }
}

/// Makes records of a run lines.
struct Teller<'a> {
    timeline: Timeline,
    sites: BTreeMap<u64, Known<'a>>,
    message: String,
    latest: u64,
}

impl<'a> Teller<'a> {
    fn new(index: &'a Index) -> Self {
        let sites = index.sites.iter().map(|site| (site.number, known(site))).collect();
        Self { timeline: index.timeline, sites, message: String::new(), latest: 0 }
    }

    /// Whether a record can be told in full, or its call site is unknown.
    fn knows(&self, record: &[u8]) -> Result<bool, Malformed> {
        if output::thread_name(record).is_some() {
            return Ok(true);
        }
        let read = Read::of(record)?;
        match read.site {
            FOREIGN => output::foreign(&Told { time: 0, thread: "" }, &read).map(|_| true),
            site => Ok(self.sites.contains_key(&u64::from(site))),
        }
    }

    fn tell(
        &mut self,
        thread: &str,
        record: &[u8],
        show: impl FnOnce(&Line<'_>),
    ) -> Result<(), Malformed> {
        if output::thread_name(record).is_some() {
            return Ok(());
        }
        let read = Read::of(record)?;
        self.latest = self.latest.max(self.timeline.time(read.ticks));
        let told = Told { time: self.latest, thread };
        if read.site == FOREIGN {
            show(&output::foreign(&told, &read)?);
            return Ok(());
        }
        match self.sites.get(&u64::from(read.site)) {
            Some(known) => known.tell(&told, &read, &mut self.message, show),
            None => show(&unknown(&told, read.site, &mut self.message)),
        }
        Ok(())
    }
}

/// A line whose call site the index does not name: that there was one is worth to be told.
fn unknown<'a>(told: &Told<'a>, site: u32, message: &'a mut String) -> Line<'a> {
    message.clear();
    let _ = write!(message, "(call site {site} is unknown)"); // a text takes everything
    Line {
        time: told.time,
        level: Level::Error,
        target: "",
        file: "",
        line: 0,
        thread: told.thread,
        message,
        truncated: true,
        fields: &[],
    }
}

fn known(site: &SiteEntry) -> Known<'_> {
    Known {
        level: site.level,
        target: &site.target,
        file: &site.file,
        line: site.line,
        template: Template::parse(&site.template).ok(),
        names: site.names.iter().map(|(index, name)| (*index, name.as_str())).collect(),
    }
}
