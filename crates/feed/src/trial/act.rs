//! What may happen to a sequencer.

use std::time::Duration;

use arbitrary::{Result, Unstructured};

use crate::format::Kind;
use crate::sequence::{Config, HoldOff, Requests, Start};

/// Something that may happen.
#[derive(Clone, Debug)]
pub enum Act {
    /// A packet comes.
    Packet {
        /// On line 0 or 1, or, if 2, as a replay.
        from: u8,
        /// Its session.
        session: u32,
        /// Its number.
        number: Number,
        /// What is in it.
        kind: Kind,
        /// Its last byte is missing, if it has messages.
        is_cut: bool,
    },
    /// So many milliseconds pass.
    Wait(u64),
    /// Nothing is handed on until there is a snapshot.
    WaitForSnapshot,
    /// A snapshot of all before that number.
    Snapshot(Number),
}

/// A number: so far from the end of what was seen, or any.
#[derive(Clone, Copy, Debug)]
pub enum Number {
    /// So far.
    Near(i64),
    /// Any.
    Any(u64),
}

impl Number {
    pub(super) fn of(self, end: u64) -> u64 {
        match self {
            Self::Near(ahead) => end.saturating_add_signed(ahead),
            Self::Any(number) => number,
        }
    }

    fn read(bytes: &mut Unstructured<'_>) -> Result<Self> {
        Ok(match bytes.arbitrary::<u8>()? {
            way @ 0..200 => Self::Near(i64::from(way % 40) - 10),
            200..240 => Self::Near(i64::from(bytes.arbitrary::<i8>()?)),
            240..250 => Self::Near(i64::from(bytes.arbitrary::<i16>()?)),
            250..253 => Self::Any(u64::from(bytes.arbitrary::<u8>()?)),
            _ => Self::Any(bytes.arbitrary()?),
        })
    }
}

impl Act {
    pub(super) fn of(bytes: &mut Unstructured<'_>) -> Result<Self> {
        Ok(match bytes.arbitrary::<u8>()? {
            // The lowest bits are those of a packet's line.
            way @ 0..210 => Self::Packet {
                from: way % 3,
                session: if way < 200 { 0 } else { u32::from(way - 200) },
                number: Number::read(bytes)?,
                kind: kind(bytes)?,
                is_cut: way % 32 == 31,
            },
            210..235 => Self::Wait(u64::from(bytes.arbitrary::<u8>()? % 40)),
            235..240 => Self::Wait(u64::from(bytes.arbitrary::<u16>()? % 5000)),
            240..243 => Self::WaitForSnapshot,
            _ => Self::Snapshot(Number::read(bytes)?),
        })
    }
}

fn kind(bytes: &mut Unstructured<'_>) -> Result<Kind> {
    Ok(match bytes.arbitrary::<u8>()? {
        way @ 0..200 => Kind::Messages(u16::from(way % 12) + 1),
        way @ 200..225 => Kind::Messages(u16::from(way - 199) * 6),
        225..250 => Kind::Heartbeat,
        _ => Kind::End,
    })
}

/// A small one, so that all of its bounds are met.
pub(super) fn config(bytes: &mut Unstructured<'_>) -> Result<Config> {
    let millis = |bytes: &mut Unstructured<'_>| {
        Ok(Duration::from_millis(u64::from(bytes.arbitrary::<u8>()?)))
    };
    let start = |bytes: &mut Unstructured<'_>| {
        Ok(match bytes.arbitrary::<u8>()? % 4 {
            0 => Start::Live,
            1 => Start::Snapshot,
            2 => Start::At(1),
            _ => Start::At(u64::from(bytes.arbitrary::<u16>()?)),
        })
    };
    let hold_off = match bytes.arbitrary()? {
        false => HoldOff::Fixed(millis(bytes)?),
        true => HoldOff::Measured { least: millis(bytes)?, most: millis(bytes)? },
    };
    let requests = match bytes.arbitrary()? {
        false => None,
        true => Some(Requests {
            most: bytes.int_in_range(1..=40)?,
            merge_within: bytes.int_in_range(0..=10)?,
            spacing: millis(bytes)? / 16,
            retry_after: millis(bytes)?,
            retry_most: millis(bytes)?,
            attempts: bytes.int_in_range(1..=5)?,
        }),
    };
    Ok(Config {
        lines: 2,
        start: start(bytes)?,
        restart: start(bytes)?,
        window: 64 << bytes.int_in_range(0..=2)?,
        gaps: bytes.int_in_range(1..=6)?,
        hold_off,
        requests,
        deadline: millis(bytes)?,
        silence: millis(bytes)? * 8,
        jump: u64::from(bytes.arbitrary::<u16>()? % 1000),
        jump_after: bytes.int_in_range(0..=3)?,
    })
}
