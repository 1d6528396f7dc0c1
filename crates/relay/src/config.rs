//! What a relay is asked to do.

use core::str::FromStr;
use core::time::Duration;

use crate::endpoint::{Destination, Source};

/// Everything a relay needs to know before it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayConfig {
    /// Where the feed comes from.
    pub from: Source,
    /// Where it goes; at least one.
    pub to: Vec<Destination>,
    /// When to end by itself; `None` runs until a signal or the source's end.
    pub run_for: Option<Duration>,
    /// How the loop runs.
    pub host: HostConfig,
    /// Packet slots shared by all endpoints. One takes the size of its packet, or of the datagrams
    /// that came joined (64 KiB at most), rounded up to the page, from its first use on.
    pub slots: usize,
}

/// What the built-in demonstration is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemoConfig {
    /// Rate and packet size of the feed.
    pub feed: crate::endpoint::DemoFeed,
    /// Subscribers, each over a loopback socket of its own.
    pub subscribers: u32,
    /// When to end.
    pub run_for: Duration,
    /// How the relay's loop runs; the subscribers have a thread of their own.
    pub host: HostConfig,
}

/// How the loop runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HostConfig {
    /// How the loop talks to the kernel.
    pub driver: DriverChoice,
    /// What it does when nothing is to do.
    pub wait: WaitChoice,
    /// The core to pin to; `None` leaves the thread to the scheduler.
    pub core: Option<usize>,
    /// Whether SIGINT and SIGTERM end the run in order. They belong to the whole process, so that
    /// only its program should ask for them; they keep their new meaning after the run.
    pub signals: bool,
}

/// How the loop talks to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DriverChoice {
    /// io_uring where the kernel grants it, else readiness; one log line says why.
    #[default]
    Auto,
    /// io_uring or an error.
    Uring,
    /// epoll.
    Readiness,
}

/// What the loop does when nothing is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WaitChoice {
    /// Never sleep: lowest latency, one core at 100 %.
    Spin,
    /// Spin for a while, then sleep.
    Warm,
    /// Sleep at once.
    #[default]
    Sleep,
}

/// A word that is none of the choices.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no choice; write {known}")]
pub struct ChoiceError {
    text: String,
    known: &'static str,
}

impl FromStr for DriverChoice {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        match text {
            "auto" => Ok(Self::Auto),
            "uring" => Ok(Self::Uring),
            "readiness" => Ok(Self::Readiness),
            _ => Err(ChoiceError { text: text.to_owned(), known: "auto, uring or readiness" }),
        }
    }
}

impl FromStr for WaitChoice {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        match text {
            "spin" => Ok(Self::Spin),
            "warm" => Ok(Self::Warm),
            "sleep" => Ok(Self::Sleep),
            _ => Err(ChoiceError { text: text.to_owned(), known: "spin, warm or sleep" }),
        }
    }
}
