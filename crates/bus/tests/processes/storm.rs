//! Processes that are killed at random, again and again, while others come.
//!
//! Users note what they do in files, which outlast them. `TAUTLINE_STORM` says how many are killed
//! around channels (default 1,000); around each other kind of object a tenth of that.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::until;
use super::users::{program_of, segments_of};

/// So many are killed.
pub(crate) fn strikes() -> usize {
    std::env::var("TAUTLINE_STORM").map_or(1000, |n| n.parse().unwrap())
}

/// What this process is in a storm; `None` where the tests are run.
pub(crate) struct Part {
    pub(crate) role: String,
    /// The folder, whose name is the namespace.
    pub(crate) folder: PathBuf,
    note: File,
}

impl Part {
    pub(crate) fn of_this_process() -> Option<Self> {
        let role = std::env::var("TAUTLINE_STORM_ROLE").ok()?;
        let folder = PathBuf::from(std::env::var("TAUTLINE_STORM_FOLDER").unwrap());
        let note = File::create(folder.join(format!("{role}-{}", std::process::id()))).unwrap();
        Some(Self { role, folder, note })
    }

    /// The part of the test itself.
    pub(crate) fn of_the_test(role: &str, folder: &Path) -> Self {
        let note = File::create(folder.join(format!("{role}-0"))).unwrap();
        Self { role: role.to_owned(), folder: folder.to_owned(), note }
    }

    pub(crate) fn namespace(&self) -> &str {
        self.folder.file_name().unwrap().to_str().unwrap()
    }

    /// Says that it has opened the object.
    pub(crate) fn joined(&self) {
        println!("\njoined");
    }

    pub(crate) fn note(&mut self, words: &[u64]) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.note.write_all(&bytes).unwrap();
    }

    /// Whether the storm is over.
    pub(crate) fn is_over(&self) -> bool {
        self.folder.join("stop").exists()
    }
}

pub(crate) fn attach<U>(try_to: impl Fn() -> Option<U>) -> U {
    loop {
        if let Some(user) = try_to() {
            return user;
        }
        std::thread::sleep(Duration::from_micros(300));
    }
}

pub(crate) struct Storm {
    pub(crate) folder: tempfile::TempDir,
    users: Vec<User>,
    /// As which user those of a role run; `None`: as that of the test.
    user_of: fn(&str) -> Option<u32>,
    seed: u64,
}

struct User {
    process: Child,
    role: &'static str,
}

impl Storm {
    /// With so many users of each role.
    pub(crate) fn new(kind: &str, roles: &[(&'static str, usize)]) -> Self {
        Self::within(tempfile::Builder::new().prefix(kind).tempdir().unwrap(), roles)
    }

    /// The same in a folder that is there already.
    pub(crate) fn within(folder: tempfile::TempDir, roles: &[(&'static str, usize)]) -> Self {
        Self::among(folder, roles, |_| None)
    }

    /// The same among several users of the system.
    pub(crate) fn among(
        folder: tempfile::TempDir,
        roles: &[(&'static str, usize)],
        user_of: fn(&str) -> Option<u32>,
    ) -> Self {
        // All note what they do in there.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let mut storm = Self { folder, users: Vec::new(), user_of, seed: 0x5eed };
        for &(role, count) in roles {
            for _ in 0..count {
                storm.start(role);
                wait_until_joined(&mut storm.users.last_mut().unwrap().process);
            }
        }
        storm
    }

    /// Kills so many, while there is one segment all the time.
    pub(crate) fn rage(&mut self, strikes: usize) {
        let begun = Instant::now();
        for strike in 0..strikes {
            self.strike();
            assert_eq!(self.segments().len(), 1, "after strike {strike}");
        }
        println!("{}: {strikes} strikes in {:?}", self.namespace(), begun.elapsed());
    }

    pub(crate) fn namespace(&self) -> &str {
        self.folder.path().file_name().unwrap().to_str().unwrap()
    }

    /// A small generator (xorshift64*), so that a run can be repeated.
    fn random(&mut self, below: u64) -> u64 {
        self.seed ^= self.seed >> 12;
        self.seed ^= self.seed << 25;
        self.seed ^= self.seed >> 27;
        (self.seed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below
    }

    fn start(&mut self, role: &'static str) {
        let mut command = match (self.user_of)(role) {
            Some(user) => program_of(user, &[user], || Ok(())),
            None => Command::new(std::env::current_exe().unwrap()),
        };
        let process = command
            .args(["--exact", "a_user_of_the_storm", "--nocapture"])
            .env("TAUTLINE_STORM_ROLE", role)
            .env("TAUTLINE_STORM_FOLDER", self.folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        self.users.push(User { process, role });
    }

    /// Kills one at random and starts another like it; now and then before the next has come.
    fn strike(&mut self) {
        let victim = self.random(self.users.len() as u64) as usize;
        let mut user = self.users.swap_remove(victim);
        user.process.kill().unwrap();
        if self.random(2) == 0 {
            user.process.wait().unwrap();
        }
        self.start(user.role);
        if self.random(4) == 0 {
            let newest = self.users.len() - 1;
            std::thread::sleep(Duration::from_micros(self.random(3000)));
            self.users[newest].process.kill().unwrap();
            self.users[newest].process.wait().unwrap();
            self.users.pop();
            self.start(user.role);
        }
        user.process.wait().unwrap();
        let newest = self.users.last_mut().unwrap();
        wait_until_joined(&mut newest.process);
        std::thread::sleep(Duration::from_micros(self.random(3000)));
    }

    /// Kills all of those roles at once, and starts as many again at once.
    pub(crate) fn replace(&mut self, is_meant: impl Fn(&str) -> bool) {
        let (mut meant, others) = std::mem::take(&mut self.users)
            .into_iter()
            .partition::<Vec<_>, _>(|u| is_meant(u.role));
        self.users = others;
        for user in &mut meant {
            user.process.kill().unwrap();
        }
        let first = self.users.len();
        for user in &mut meant {
            self.start(user.role);
            user.process.wait().unwrap();
        }
        for user in &mut self.users[first..] {
            wait_until_joined(&mut user.process);
        }
    }

    /// The segments that users have open, by their numbers.
    pub(crate) fn segments(&self) -> HashSet<u64> {
        let of = |user: &User| segments_of(user.process.id(), self.namespace(), "storm");
        self.users.iter().flat_map(of).collect()
    }

    /// Tells all to stop, waits until those have whose role begins so, and kills the others.
    pub(crate) fn end(&mut self, orderly: &str) {
        File::create(self.folder.path().join("stop")).unwrap();
        let is_orderly = |user: &&mut User| user.role.starts_with(orderly);
        for user in self.users.iter_mut().filter(is_orderly) {
            assert!(user.process.wait().unwrap().success());
        }
        for user in self.users.iter_mut().filter(|user| !is_orderly(user)) {
            user.process.kill().unwrap();
            user.process.wait().unwrap();
        }
    }

    /// What users have noted whose role begins so, in words.
    pub(crate) fn notes(&self, role: &str) -> Vec<(u64, Vec<u64>)> {
        let mut notes = Vec::new();
        for file in fs::read_dir(self.folder.path()).unwrap().flatten() {
            let name = file.file_name().into_string().unwrap();
            let parts = name.rsplit_once('-');
            let Some((_, pid)) = parts.filter(|(of, _)| of.starts_with(role)) else { continue };
            let bytes = fs::read(file.path()).unwrap();
            let words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
            notes.push((pid.parse().unwrap(), words.collect()));
        }
        notes
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        for user in &mut self.users {
            _ = user.process.kill();
            _ = user.process.wait();
        }
    }
}

fn wait_until_joined(process: &mut Child) {
    let output = BufReader::new(process.stdout.take().unwrap());
    assert!(output.lines().any(|line| line.unwrap().ends_with("joined")), "a user ended");
}

/// No socket and no segment has outlasted the users; but those that other tests start have copies of
/// this process's until they run their program.
pub(crate) fn nothing_is_left(namespace: &str) {
    let sockets = || fs::read_to_string("/proc/net/unix").unwrap();
    let is_there = || sockets().contains(&format!("/{namespace}/storm"));
    until("all sockets are gone", || (!is_there()).then_some(()));
}
