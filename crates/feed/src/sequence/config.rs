//! What a sequencer is told beforehand.

use std::time::Duration;

/// How a sequencer goes about it. All of its memory is taken when it is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Lines on which the same packets come: 1 to 32.
    pub lines: usize,
    /// Where the first session begins.
    pub start: Start,
    /// Where a session begins that follows another.
    pub restart: Start,
    /// Numbers from the next one to the farthest that is kept: rounded up to a power of two, at least
    /// 64. When it is used up the oldest gap is given up.
    pub window: u64,
    /// Gaps that are open at once; more than the window has numbers are as good as that many. When they
    /// are used up the oldest is given up.
    pub gaps: usize,
    /// How long a gap is left to the other lines.
    pub hold_off: HoldOff,
    /// How a replay is asked for; `None`: there is nobody to ask.
    pub requests: Option<Requests>,
    /// A gap that is not repaired after so long is given up.
    pub deadline: Duration,
    /// After so long without a packet on any line the feed is stale: a few heartbeats.
    pub silence: Duration,
    /// Packets that are farther than so many numbers from all others are absurd, and left alone..
    pub jump: u64,
    /// ..unless so many follow each other that agree: then the sender has jumped.
    pub jump_after: u32,
}

impl Default for Config {
    /// One line, which is joined where it is; a window of 65,536; a hold-off that is measured;
    /// deadline 2 s, silence 3 s.
    fn default() -> Self {
        Self {
            lines: 1,
            start: Start::Live,
            restart: Start::At(1),
            window: 1 << 16,
            gaps: 1024,
            hold_off: HoldOff::default(),
            requests: Some(Requests::default()),
            deadline: Duration::from_secs(2),
            silence: Duration::from_secs(3),
            jump: 1 << 20,
            jump_after: 16,
        }
    }
}

/// Where a session begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Start {
    /// With the first packet that comes.
    Live,
    /// With that number: what lies before the first packet is a gap.
    At(u64),
    /// Nothing is handed on before a snapshot says where to begin: until then packets are kept.
    Snapshot,
}

/// How long a gap is left to the other lines before a replay is asked for. Not longer than until all
/// lines have passed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HoldOff {
    /// So long.
    Fixed(Duration),
    /// As long as the slowest line is usually behind the first: the mean and four times its deviation
    /// (as RFC 6298 has it for round trips), which is at least a quarter of the mean, but within these
    /// bounds.
    Measured {
        /// At least so long.
        least: Duration,
        /// At most, and as long as nothing was measured.
        most: Duration,
    },
}

impl Default for HoldOff {
    fn default() -> Self {
        Self::Measured { least: Duration::from_micros(50), most: Duration::from_millis(10) }
    }
}

/// How a replay is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Requests {
    /// Most messages of a request.
    pub most: u64,
    /// Ranges that are not farther apart than so many messages are asked for at once, with what lies
    /// between.
    pub merge_within: u64,
    /// From one request to the next at least so long.
    pub spacing: Duration,
    /// What was not answered after so long is asked for again; twice as long each time..
    pub retry_after: Duration,
    /// ..but not longer than that.
    pub retry_most: Duration,
    /// So often at most, in all.
    pub attempts: u32,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            most: 1000,
            merge_within: 8,
            spacing: Duration::from_micros(100),
            retry_after: Duration::from_millis(20),
            retry_most: Duration::from_millis(500),
            attempts: 8,
        }
    }
}

/// Why there is no sequencer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Too few, or too many lines.
    #[error("{0} lines: a feed has 1 to 32")]
    Lines(usize),
    /// A window that the numbers of the format do not allow.
    #[error(
        "a window of {window} numbers is more than a half of those that {format} has: at most {most}"
    )]
    Window {
        /// As many, rounded up.
        window: u64,
        /// The format.
        format: &'static str,
        /// The largest.
        most: u64,
    },
    /// A window for which there is no memory.
    #[error(
        "a window of {window} numbers needs {bytes} bytes of memory, which are not to be had: make it smaller"
    )]
    Memory {
        /// As many, rounded up.
        window: u64,
        /// The memory.
        bytes: usize,
    },
    /// A distance that the numbers of the format do not allow.
    #[error(
        "jump: {jump} and the window are together more than a half of the numbers of {format}: at most {most}"
    )]
    Jump {
        /// The distance.
        jump: u64,
        /// The format.
        format: &'static str,
        /// The largest.
        most: u64,
    },
    /// A session that begins farther than any feed comes.
    #[error("a session cannot begin at {0}: numbers go up to 2^62")]
    Start(u64),
    /// No gap at all.
    #[error("gaps: 0, but one at least is needed")]
    Gaps,
    /// A request for nothing.
    #[error("requests.most: 0, but one message at least is asked for")]
    Requests,
}
