//! Whose records a ring holds: a file beside it, in which each thread that gets the ring is told with
//! the position of its first record.
//!
//! A ring is handed from thread to thread for as long as the log runs. Of those whose records were all
//! written over nobody wants to know: when they are more than the others, the file is written anew.

use std::collections::VecDeque;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use super::entry::{self, Bytes};

/// From that position of a ring on, its records are of that thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) position: u64,
    pub(crate) name: String,
}

/// So many that are not wanted any more are not worth to be written anew.
const FEW: usize = 16;

/// The owners of a ring.
#[derive(Debug, Default)]
pub(super) struct Threads {
    /// Those whose records may still be there, the oldest first.
    owners: VecDeque<Owner>,
    /// Entries in the file, and its length, if it is whole.
    entries: usize,
    len: Option<u64>,
}

impl Threads {
    /// Tells the next owner of a ring of at most `capacity` bytes, in the file at `path`.
    pub(super) fn tell(&mut self, path: &Path, capacity: u64, owner: Owner) -> io::Result<()> {
        let from = owner.position.saturating_sub(capacity);
        self.owners.push_back(owner);
        // An owner's records end where those of the next begin.
        while self.owners.get(1).is_some_and(|next| next.position <= from) {
            self.owners.pop_front();
        }
        let unwanted = (self.entries + 1).saturating_sub(self.owners.len());
        match (self.len, self.owners.back()) {
            (Some(len), Some(last)) if unwanted <= self.owners.len() + FEW => {
                self.len = None; // until it is written
                let bytes = bytes_of([last]);
                let file = OpenOptions::new().write(true).open(path)?;
                file.write_all_at(&bytes, len)?;
                self.entries += 1;
                self.len = Some(len + bytes.len() as u64);
            }
            _ => self.write_anew(path)?,
        }
        Ok(())
    }

    /// Puts another file in the place of the one that is there, if one is.
    fn write_anew(&mut self, path: &Path) -> io::Result<()> {
        self.len = None;
        let bytes = bytes_of(&self.owners);
        let new = path.with_extension("new");
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all_at(&bytes, 0)?;
        fs::rename(&new, path)?;
        (self.entries, self.len) = (self.owners.len(), Some(bytes.len() as u64));
        Ok(())
    }
}

fn bytes_of<'a>(owners: impl IntoIterator<Item = &'a Owner>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for Owner { position, name } in owners {
        let mut payload = position.to_le_bytes().to_vec();
        entry::put_text(&mut payload, name);
        entry::put(&mut bytes, &payload);
    }
    bytes
}

/// The owners that the bytes of such a file name, in order, and whether something else is in there.
pub(crate) fn read_threads(bytes: &[u8]) -> (Vec<Owner>, bool) {
    let read = |bytes: &mut Bytes<'_>| Some(Owner { position: bytes.word()?, name: bytes.text()? });
    let (mut owners, damaged) = entry::read_all(bytes, read);
    owners.sort_by_key(|owner| owner.position);
    (owners, damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However many threads had a ring, its file names those whose records may be in there, and not
    /// many more; after a write that failed too.
    #[test]
    fn the_file_names_who_may_be_in_the_ring() {
        const CAPACITY: u64 = 4096;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("threads-0");
        let mut threads = Threads::default();
        let mut random = fastrand::Rng::with_seed(7);
        let (mut position, mut all) = (0, Vec::new());
        for n in 0..3000_u32 {
            let owner = Owner { position, name: format!("thread {n}") };
            all.push(owner.clone());
            if random.u8(..10) == 0 {
                let nowhere = folder.path().join("nowhere/threads-0");
                assert!(threads.tell(&nowhere, CAPACITY, owner).is_err());
                continue;
            }
            threads.tell(&path, CAPACITY, owner).unwrap();
            let (told, damaged) = read_threads(&fs::read(&path).unwrap());
            assert!(!damaged && all.ends_with(&told), "{told:?}");
            let oldest = position.saturating_sub(CAPACITY);
            assert!(told[0].position <= oldest, "the owner of the oldest record is told");
            let within = all.iter().filter(|owner| owner.position > oldest).count();
            assert!(told.len() <= 2 * (within + 1) + FEW + 1, "{} of {within}", told.len());
            position += random.u64(1..100) * 8;
        }
    }
}
