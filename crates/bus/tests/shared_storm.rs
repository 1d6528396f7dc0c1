//! A channel whose users are killed at random, again and again, while others come: there is one
//! segment all the time, what was committed arrives once, seats come back, and nothing is left.
//!
//! Users note what they do in files, which outlast them: a sender each message that it has sent, a
//! receiver each one that it has on loan, before it gives it back. `TAUTLINE_STORM` says how many
//! are killed (default 1,000).

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tautline_bus::channel::{Channel, Config};
use tautline_bus::{SendError, Shared};

type Numbers = Channel<[u64; 2], Shared>;

const SENDERS: usize = 3;
const RECEIVERS: usize = 2;

/// A lane for each sender, or one ring for all, as the namespace begins.
fn open(namespace: &str) -> Numbers {
    let receivers = if namespace.starts_with("ring") { RECEIVERS } else { 1 };
    let config = Config { capacity: 32, senders: SENDERS + 1, receivers, ..Config::default() };
    Numbers::open(namespace, "storm", config).unwrap()
}

// --------------------------------------------------------------------------------- the users

/// What a user does; nothing where the test itself is run.
#[test]
fn a_user_of_the_storm() {
    let Ok(role) = std::env::var("TAUTLINE_STORM_ROLE") else { return };
    let folder = PathBuf::from(std::env::var("TAUTLINE_STORM_FOLDER").unwrap());
    let channel = open(folder.file_name().unwrap().to_str().unwrap());
    let note = File::create(folder.join(format!("{role}-{}", std::process::id()))).unwrap();
    println!("\njoined");
    match role.as_str() {
        "sender" => send(channel, &folder, note),
        _ => receive(&channel, note),
    }
    // Not back into the harness, whose output nobody reads any more.
    std::process::exit(0);
}

/// Sends numbers, each noted when it is sent, until it is told to stop.
fn send(channel: Numbers, folder: &Path, mut note: File) {
    let mut sender = attach(|| channel.sender().ok());
    let id = u64::from(std::process::id());
    let mut next = 0;
    while !folder.join("stop").exists() {
        for _ in 0..50 {
            match sender.send_timeout([id, next], Duration::from_millis(2)) {
                Ok(()) => {
                    note.write_all(&next.to_le_bytes()).unwrap();
                    next += 1;
                }
                Err(SendError::TimedOut(_)) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Takes messages, each noted while it is on loan, until it is killed.
fn receive(channel: &Numbers, mut note: File) {
    let mut receiver = attach(|| channel.receiver().ok());
    loop {
        receive_some(&mut receiver, &mut note);
    }
}

fn receive_some(receiver: &mut tautline_bus::channel::Receiver<[u64; 2], Shared>, note: &mut File) {
    _ = receiver.wait(Some(Duration::from_millis(2)));
    while let Ok(loan) = receiver.take() {
        let [id, number] = loan.read().unwrap();
        let words = [id, number, u64::from(loan.is_redelivered())];
        note.write_all(words.map(u64::to_le_bytes).as_flattened()).unwrap();
    }
}

fn attach<U>(try_to: impl Fn() -> Option<U>) -> U {
    loop {
        if let Some(user) = try_to() {
            return user;
        }
        std::thread::sleep(Duration::from_micros(300));
    }
}

// ---------------------------------------------------------------------------------- the storm

struct Storm {
    folder: tempfile::TempDir,
    users: Vec<User>,
    seed: u64,
}

struct User {
    process: Child,
    role: &'static str,
}

impl Storm {
    fn new(kind: &str) -> Self {
        let folder = tempfile::Builder::new().prefix(kind).tempdir().unwrap();
        Self { folder, users: Vec::new(), seed: 0x5eed }
    }

    fn namespace(&self) -> &str {
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
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_user_of_the_storm", "--nocapture"])
            .env("TAUTLINE_STORM_ROLE", role)
            .env("TAUTLINE_STORM_FOLDER", self.folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        self.users.push(User { process, role });
    }

    /// Starts the first users.
    fn gather(&mut self) {
        let senders = std::iter::repeat_n("sender", SENDERS);
        for role in senders.chain(std::iter::repeat_n("receiver", RECEIVERS)) {
            self.start(role);
            wait_until_joined(&mut self.users.last_mut().unwrap().process);
        }
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

    /// The segments that users have open, by their numbers.
    fn segments(&self) -> HashSet<u64> {
        let label = format!("/memfd:tautline-bus/{}/storm (deleted)", self.namespace());
        let mut found = HashSet::new();
        for user in &self.users {
            let Ok(files) = fs::read_dir(format!("/proc/{}/fd", user.process.id())) else {
                continue;
            };
            for file in files.flatten() {
                if fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == label.as_str())
                    && let Ok(file) = fs::metadata(file.path())
                {
                    found.insert(file.ino());
                }
            }
        }
        found
    }

    /// Ends all users: the senders in order, the receivers by force.
    fn end(&mut self) {
        File::create(self.folder.path().join("stop")).unwrap();
        for user in &mut self.users {
            if user.role == "sender" {
                assert!(user.process.wait().unwrap().success());
            }
        }
        for user in &mut self.users {
            if user.role == "receiver" {
                user.process.kill().unwrap();
                user.process.wait().unwrap();
            }
        }
    }

    /// What users of that role have noted, in words.
    fn notes(&self, role: &str) -> Vec<(u64, Vec<u64>)> {
        let mut notes = Vec::new();
        for file in fs::read_dir(self.folder.path()).unwrap().flatten() {
            let name = file.file_name().into_string().unwrap();
            let Some(pid) = name.strip_prefix(role).and_then(|rest| rest.strip_prefix('-')) else {
                continue;
            };
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

/// A thousand users are killed, half of them around a channel of lanes and half around one of one
/// ring, and the books balance.
#[test]
fn the_killed_lose_nothing_and_leave_nothing() {
    let strikes = std::env::var("TAUTLINE_STORM").map_or(1000, |n| n.parse().unwrap());
    for kind in ["lanes-", "ring-"] {
        let mut storm = Storm::new(kind);
        storm.gather();
        for strike in 0..strikes / 2 {
            storm.strike();
            assert_eq!(storm.segments().len(), 1, "after strike {strike}");
        }
        drain_the_rest(&mut storm);
        balance(&storm);
        nothing_is_left(storm.namespace());
    }
}

/// Takes part until all others have ended and what they have sent is received.
fn drain_the_rest(storm: &mut Storm) {
    let channel = open(storm.namespace());
    storm.end();
    let mut note = File::create(storm.folder.path().join("receiver-0")).unwrap();
    let begun = Instant::now();
    let mut receiver = attach(|| channel.receiver().ok());
    while !channel.is_empty() || channel.users() != [0, 1] {
        receive_some(&mut receiver, &mut note);
        assert!(begun.elapsed() < Duration::from_secs(10), "{channel:?}");
    }
    // All seats can be taken: none has leaked.
    let seats: Vec<_> = (0..=SENDERS).map(|_| channel.sender().unwrap()).collect();
    drop(seats);
}

/// What was sent was received, once, or again with a mark; each sender's in order.
fn balance(storm: &Storm) {
    let mut received: BTreeMap<u64, BTreeMap<u64, (u32, u32)>> = BTreeMap::new();
    for (receiver, words) in storm.notes("receiver") {
        let mut last: BTreeMap<u64, u64> = BTreeMap::new();
        for &[id, number, again] in words.as_chunks::<3>().0 {
            // What comes again comes late.
            let before = if again == 0 { last.insert(id, number) } else { None };
            assert!(before < Some(number), "{receiver} got {number} of {id} after {before:?}");
            let counts = received.entry(id).or_default().entry(number).or_default();
            if again == 0 { counts.0 += 1 } else { counts.1 += 1 }
        }
    }
    let mut all = 0;
    for (sender, noted) in storm.notes("sender") {
        let of_it = received.remove(&sender).unwrap_or_default();
        let sent = noted.len() as u64;
        let arrived = of_it.len() as u64;
        // The last message may have been sent but not noted.
        assert!((sent..=sent + 1).contains(&arrived), "{sender}: {arrived} of {sent}");
        for (expected, (number, (plain, marked))) in (0..).zip(&of_it) {
            assert_eq!(expected, *number, "of {sender} is missing");
            assert!(*plain <= 1 && plain + marked >= 1, "{number} of {sender}: {plain}, {marked}");
        }
        all += arrived;
    }
    assert!(received.is_empty(), "from nobody: {received:?}");
    println!("{all} messages of {} senders balance", storm.notes("sender").len());
}

/// No socket and no segment has outlasted the users.
fn nothing_is_left(namespace: &str) {
    let sockets = fs::read_to_string("/proc/net/unix").unwrap();
    assert!(!sockets.contains(&format!("/{namespace}/storm")), "{sockets}");
}
