//! How much lies in an object, by the positions that its users publish.

use std::mem::offset_of;

use super::peek::{Group, Peek};
use crate::bells::Bells;
use crate::ring::fan::{CURSORS, NOBODY, TAIL};
use crate::ring::indices::Indices;
use crate::ring::many::Ends;
use crate::ring::mortal::{AGAIN, FREE, State};
use crate::shared::Shared;
use crate::shared::error::OpenError;
use crate::shared::header::Kind;

/// Of a lane or a stream.
pub(super) const TAIL_AT: usize = offset_of!(Indices<Shared>, tail);
pub(super) const HEAD_AT: usize = offset_of!(Indices<Shared>, head.0.released);
pub(super) const RING_TAIL: usize = offset_of!(Ends<Shared>, tail);
const RING_HEAD: usize = offset_of!(Ends<Shared>, head);
pub(super) const RING_AGAIN: usize = offset_of!(Ends<Shared>, again);

// By its size a row tells which ring it is of.
const _: () = assert!(size_of::<Indices<Shared>>() != size_of::<Ends<Shared>>());

/// Something with positions of its own: a lane, a ring, a cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Queue {
    /// What it is: "lane 0", the number being the sender's seat.
    pub name: String,
    /// What is counted: "messages", "bytes", "buffers" or "times".
    pub unit: &'static str,
    /// How much lies in it; `None`: its words make no sense, or nobody knows.
    pub depth: Option<u64>,
    /// How much there is room for; `None`: there is no limit.
    pub capacity: Option<u64>,
    /// How much was given so far, since the object was made.
    pub given: Option<u64>,
    /// How much was taken so far.
    pub taken: Option<u64>,
}

impl Queue {
    /// Between two positions.
    fn between(name: String, unit: &'static str, [given, taken]: [u64; 2], capacity: u64) -> Self {
        let depth = Some(given.wrapping_sub(taken)).filter(|depth| *depth <= capacity);
        let (given, taken) = (Some(given), Some(taken));
        Self { name, unit, depth, capacity: Some(capacity), given, taken }
    }
}

/// Whether messages go through one ring for all, and not through a lane for each sender.
pub(super) fn is_ringed(group: &Group) -> bool {
    group.rows.size == size_of::<Ends<Shared>>() as u64
}

/// Messages that were dropped, and that were lost with one who died.
pub(super) fn losses(peek: &Peek) -> Result<[u64; 2], OpenError> {
    let [_, group] = peek.ends()?;
    if peek.kind == Kind::Pool {
        return Ok([0, 0]);
    }
    let dropped = peek.word(&group.heads, 0, offset_of!(Bells<Shared>, dropped))?;
    Ok([dropped, peek.word(&group.heads, 0, offset_of!(Bells<Shared>, lost))?])
}

pub(super) fn queues(peek: &Peek) -> Result<Vec<Queue>, OpenError> {
    let [_, group] = peek.ends()?;
    match peek.kind {
        Kind::Channel | Kind::Requests if is_ringed(&group) => ring(peek, &group),
        Kind::Channel | Kind::Requests => {
            let capacity = group.slots.count / group.rows.count.max(1);
            lanes(peek, &group, "messages", capacity)
        }
        Kind::Bytes => {
            let capacity = peek.streams()?.size;
            lanes(peek, &group, "bytes", capacity)
        }
        Kind::Broadcast => cursors(peek, &group),
        Kind::Lossy => tape(peek, &group),
        Kind::Signal => signal(peek, &group),
        Kind::Pool => buffers(peek, &group),
    }
}

/// Those through which something has gone.
fn lanes(
    peek: &Peek,
    group: &Group,
    unit: &'static str,
    capacity: u64,
) -> Result<Vec<Queue>, OpenError> {
    let mut found = Vec::new();
    for lane in 0..group.rows.count {
        // The head first: it never passes a tail that was read after it.
        let taken = peek.word(&group.rows, lane, HEAD_AT)?;
        let given = peek.word(&group.rows, lane, TAIL_AT)?;
        if given != 0 || taken != 0 {
            found.push(Queue::between(format!("lane {lane}"), unit, [given, taken], capacity));
        }
    }
    Ok(found)
}

fn ring(peek: &Peek, group: &Group) -> Result<Vec<Queue>, OpenError> {
    let taken = peek.word(&group.rows, 0, RING_HEAD)?;
    let given = peek.word(&group.rows, 0, RING_TAIL)?;
    Ok(vec![Queue::between("ring".to_owned(), "messages", [given, taken], group.slots.count)])
}

/// What lies before each subscriber; and the ring itself, so that it is told when there is none.
fn cursors(peek: &Peek, group: &Group) -> Result<Vec<Queue>, OpenError> {
    let mut taken = Vec::new();
    for row in CURSORS as u64..group.rows.count {
        taken.push(peek.word(&group.rows, row, 0)?);
    }
    let given = peek.word(&group.rows, TAIL as u64, 0)?;
    let capacity = group.slots.count;
    let slowest = taken.iter().copied().filter(|cursor| *cursor != NOBODY).min();
    let name = "ring".to_owned();
    let mut found =
        vec![Queue::between(name, "messages", [given, slowest.unwrap_or(given)], capacity)];
    for (seat, taken) in taken.into_iter().enumerate().filter(|(_, cursor)| *cursor != NOBODY) {
        let name = format!("subscriber {seat}");
        found.push(Queue::between(name, "messages", [given, taken], capacity));
    }
    Ok(found)
}

/// Where its subscribers are they alone know.
fn tape(peek: &Peek, group: &Group) -> Result<Vec<Queue>, OpenError> {
    let given = peek.word(&group.rows, 0, 0)?;
    let capacity = peek.said.shape[1];
    Ok(vec![Queue {
        name: "ring".to_owned(),
        unit: "messages",
        depth: Some(given.min(capacity)),
        capacity: Some(capacity),
        given: Some(given),
        taken: None,
    }])
}

fn signal(peek: &Peek, group: &Group) -> Result<Vec<Queue>, OpenError> {
    let depth = Some(peek.word(&group.rows, 0, 0)?);
    let (name, unit) = ("count".to_owned(), "times");
    Ok(vec![Queue { name, unit, depth, capacity: None, given: None, taken: None }])
}

/// Buffers that are out.
fn buffers(peek: &Peek, group: &Group) -> Result<Vec<Queue>, OpenError> {
    let buffers = peek.said.shape[2].min(group.rows.count);
    let mut out = 0;
    for index in 0..buffers {
        let state = State(peek.word(&group.rows, index, 0)?);
        out += u64::from(!matches!(state.phase(), FREE | AGAIN));
    }
    Ok(vec![Queue {
        name: "lent".to_owned(),
        unit: "buffers",
        depth: Some(out),
        capacity: Some(buffers),
        given: None,
        taken: None,
    }])
}
