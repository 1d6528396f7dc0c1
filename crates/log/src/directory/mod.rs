//! The folder of a run: its rings, and what their numbers mean.
//!
//! ```text
//!   DIR/run-<nanoseconds>-<process>/index      call sites, and how the clock goes
//!                                   ring-0     the records of a thread (bus::record)
//!                                   threads-0  whose they are, if several had it in turn
//! ```
//!
//! What a record needs is there before it. A run whose guard is dropped, and whose lines were all
//! written, removes its folder; what is there is of runs that live, or that ended otherwise.

mod entry;
mod index;
mod threads;

pub(crate) use self::entry::read_file;
pub(crate) use self::index::{SiteEntry, Told, read_index};
pub(crate) use self::threads::{Owner, read_threads};

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, flock};

use self::index::Index;
use self::threads::Threads;
use crate::core::DirectoryError;
use crate::output;
use crate::site::Site;
use crate::sync::{AtomicBool, Mutex, Ordering, lock};
use crate::timeline::Timeline;

/// How the names of folders begin; behind that stand the time and the process.
const RUN: &str = "run-";
/// The same while one is made.
const HALF_MADE: &str = "new-";
/// Whoever makes a folder takes less than so many nanoseconds.
const MAKING: u128 = 60_000_000_000;

/// The folder of this run.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    index: Mutex<Index>,
    /// By the numbers of their rings.
    threads: Mutex<BTreeMap<usize, Threads>>,
    /// Whether writing has failed, which is told once.
    failed: AtomicBool,
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
        let (time, process) = (now(), std::process::id());
        let path = parent.join(format!("{RUN}{time:020}-{process}"));
        // Under another name until it is locked: others would take it for that of one who was killed.
        let half_made = parent.join(half_made(time));
        owner_only.recursive(false).create(&half_made)?;
        let begun = Self::begin(&half_made, timeline);
        let index = begun.and_then(|index| fs::rename(&half_made, &path).map(|()| index));
        let index = index.inspect_err(|_| {
            // What failed first tells more than if that fails too.
            drop(fs::remove_dir_all(&half_made));
        })?;
        let (index, threads) = (Mutex::new(index), Mutex::default());
        Ok(Self { path, index, threads, failed: AtomicBool::new(false) })
    }

    fn begin(path: &Path, timeline: Timeline) -> io::Result<Index> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(path.join("index"))?;
        // Held for as long as the process lives: that is how others see whether it does.
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Index::begin(file, timeline)
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
        if lock(&self.threads).remove(&number).is_some() {
            drop(fs::remove_file(self.threads(number)));
        }
    }

    fn threads(&self, ring: usize) -> PathBuf {
        self.path.join(format!("threads-{ring}"))
    }

    /// Tells what a number of a site means.
    pub(crate) fn site(&self, number: usize, site: &Site) {
        let written = lock(&self.index).site(&SiteEntry::of(number, site));
        self.tell_failure(written);
    }

    /// Tells whose records a ring of that many bytes holds from `position` on.
    pub(crate) fn thread(&self, ring: usize, capacity: u64, position: u64, name: &str) {
        let owner = Owner { position, name: name.to_owned() };
        let path = self.threads(ring);
        let told = lock(&self.threads).entry(ring).or_default().tell(&path, capacity, owner);
        self.tell_failure(told);
    }

    /// Tells how the clock goes.
    pub(crate) fn clock(&self, timeline: Timeline) {
        let mut index = lock(&self.index);
        let told = index.clock(timeline).and(index.write_waiting());
        drop(index);
        self.tell_failure(told);
    }

    /// There is nobody to return an error to: the line goes to the log all the same.
    fn tell_failure(&self, result: io::Result<()>) {
        if let Err(error) = result
            && !self.failed.swap(true, Ordering::Relaxed)
        {
            let path = self.path.display();
            output::say(format_args!(
                "cannot write what belongs to the rings in {path}, and tries again; until it can, \
                 lines of new call sites and threads cannot be recovered in full: {error}"
            ));
        }
    }

    /// Removes the folder.
    pub(crate) fn remove(&self) -> io::Result<()> {
        fs::remove_dir_all(&self.path)
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
    let old = half_made(now().saturating_sub(MAKING));
    for folder in folders(parent, HALF_MADE)? {
        if folder.file_name().is_some_and(|name| *name < *old) {
            drop(fs::remove_dir_all(folder));
        }
    }
    Ok(())
}

/// What a folder is called while it is made.
fn half_made(time: u128) -> String {
    format!("{HALF_MADE}{time:020}-{}", std::process::id())
}

/// Nanoseconds since 1970.
fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
}

/// Folders of runs in `parent`, the oldest first.
pub(crate) fn runs(parent: &Path) -> io::Result<Vec<PathBuf>> {
    folders(parent, RUN)
}

/// Those whose names begin so, in the order of their names.
fn folders(parent: &Path, prefix: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Whether the process still runs whose run that is.
pub(crate) fn is_alive(run: &Path) -> bool {
    let Ok(file) = entry::open(&run.join("index")) else { return false };
    flock(&file, FlockOperation::NonBlockingLockShared).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::Moment;

    fn directory(parent: &Path) -> Directory {
        let moment = |n| Moment { ticks: n, time: n * 1000 };
        let timeline = Timeline { first: moment(1), last: moment(2) };
        Directory::create(parent, 2, timeline).unwrap()
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

    /// Runs that start at once in one folder, and clear it, do not take each other for dead.
    #[test]
    fn runs_that_start_at_once_leave_each_other_alone() {
        let parent = tempfile::tempdir().unwrap();
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    for _ in 0..50 {
                        let moment = |n| Moment { ticks: n, time: n * 1000 };
                        let timeline = Timeline { first: moment(1), last: moment(2) };
                        let run = Directory::create(parent.path(), 0, timeline).unwrap();
                        assert!(is_alive(run.path()));
                    }
                });
            }
        });
    }

    /// What is left of a start that was cut off goes when it is old.
    #[test]
    fn half_made_folders_go_when_they_are_old() {
        let parent = tempfile::tempdir().unwrap();
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let [old, young] = [nanos - 100_000_000_000, nanos].map(|time| {
            let path = parent.path().join(half_made(time));
            fs::create_dir(&path).unwrap();
            path
        });
        let run = directory(parent.path());
        assert_eq!((old.exists(), young.exists(), run.path().exists()), (false, true, true));
    }
}
