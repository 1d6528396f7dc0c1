//! Other processes for the tests of what processes share: each runs a part of the same test
//! program.

#![allow(dead_code, reason = "each test program takes what it needs")]

pub(crate) mod scribbler;
pub(crate) mod squatter;
pub(crate) mod storm;
pub(crate) mod users;

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A namespace that no other test has.
pub(crate) fn namespace(test: &str) -> String {
    format!("{test}-{}", std::process::id())
}

/// The part that this process is to play, and its namespace; `None` where the tests are run.
pub(crate) fn part() -> Option<(String, String)> {
    let part = std::env::var("TAUTLINE_BUS_PART").ok()?;
    Some((part, std::env::var("TAUTLINE_BUS_NAMESPACE").unwrap()))
}

/// Says that the part is where the test waits for it, and stays there.
pub(crate) fn stay() -> ! {
    println!("\nready");
    std::thread::sleep(Duration::from_secs(60));
    std::process::exit(1)
}

/// A process that plays a part, and is killed at the end.
pub(crate) struct Other(Child);

impl Other {
    /// Starts it.
    pub(crate) fn play(part: &str, namespace: &str) -> Self {
        Self::play_in(Command::new(std::env::current_exe().unwrap()), part, namespace)
    }

    /// Starts it by a command that runs this program.
    pub(crate) fn play_in(mut command: Command, part: &str, namespace: &str) -> Self {
        let child = command
            .args(["--exact", "the_other_process", "--nocapture"])
            .env("TAUTLINE_BUS_PART", part)
            .env("TAUTLINE_BUS_NAMESPACE", namespace)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// Starts it, and waits until it says that it is there.
    pub(crate) fn at(part: &str, namespace: &str) -> Self {
        Self::play(part, namespace).ready()
    }

    /// Waits until it says that it is there.
    pub(crate) fn ready(mut self) -> Self {
        self.told("ready");
        self
    }

    /// Waits until it prints a line that begins so, and returns the rest of it.
    pub(crate) fn told(&mut self, word: &str) -> String {
        // Byte by byte, so that nothing of the next line is taken.
        let output = self.0.stdout.as_mut().unwrap();
        loop {
            let mut line = Vec::new();
            while !line.ends_with(b"\n") {
                let mut byte = [0];
                assert_ne!(output.read(&mut byte).unwrap(), 0, "it ended before '{word}'");
                line.push(byte[0]);
            }
            let line = String::from_utf8(line).unwrap();
            if let Some(rest) = line.strip_prefix(word) {
                return rest.trim().to_owned();
            }
        }
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: i32) {
        // SAFETY: it takes two numbers, and the process is a child that was not waited for.
        assert_eq!(unsafe { libc::kill(self.0.id().cast_signed(), signal) }, 0);
    }

    /// Kills it.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Waits until it has ended well.
    pub(crate) fn done(mut self) {
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// Does something again and again until it brings something.
pub(crate) fn until<R>(what: &str, mut act: impl FnMut() -> Option<R>) -> R {
    let begun = Instant::now();
    loop {
        if let Some(result) = act() {
            return result;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "in vain: {what}");
    }
}
