//! Who is attached to an object.

use std::fs;

use super::peek::Peek;
use crate::shared::error::OpenError;
use crate::shared::header::Kind;
use crate::shared::identity::{Identity, Watcher};

/// Somebody who is attached to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct User {
    /// What it is called: "sender".
    pub role: &'static str,
    /// Its seat among those of its role.
    pub seat: usize,
    /// Its process.
    pub process: u32,
    /// Its user, if the system tells.
    pub uid: Option<u32>,
    /// Its process has ended: the seat is cleared by whoever attaches next, sends or waits.
    pub is_dead: bool,
}

/// What users of both roles are called.
pub(super) fn roles(kind: Kind) -> [&'static str; 2] {
    match kind {
        Kind::Channel | Kind::Bytes => ["sender", "receiver"],
        Kind::Signal => ["raiser", "waiter"],
        Kind::Pool => ["", "borrower"],
        Kind::Broadcast | Kind::Lossy => ["publisher", "subscriber"],
        Kind::Requests => ["client", "server"],
    }
}

/// Seats of those who give; the others' lie behind.
pub(super) fn givers(peek: &Peek) -> u64 {
    let shape = &peek.said.shape;
    match peek.kind {
        Kind::Channel | Kind::Bytes | Kind::Requests => shape[2],
        Kind::Signal => shape[1],
        Kind::Pool => 0,
        Kind::Broadcast | Kind::Lossy => 1,
    }
}

/// The seats that are taken: the number of each in its table, its word, and its user.
pub(super) fn seated(peek: &Peek) -> Result<Vec<(u64, u64, User)>, OpenError> {
    let [group, _] = peek.ends()?;
    let (roles, givers) = (roles(peek.kind), givers(peek));
    let mut watcher = Watcher::default();
    let mut found = Vec::new();
    for index in 0..group.seats.count {
        let word = peek.word(&group.seats, index, 0)?;
        if word == 0 {
            continue;
        }
        let who = Identity::of_word(word);
        let (role, seat) =
            if index < givers { (roles[0], index) } else { (roles[1], index - givers) };
        let is_dead = watcher.has_ended(who);
        let (seat, process) = (seat as usize, who.pid());
        let uid = if is_dead { None } else { user_of(process) };
        found.push((index, word, User { role, seat, process, uid, is_dead }));
    }
    Ok(found)
}

/// The effective user of a process (`proc_pid_status(5)`); `None`: it has ended, or `/proc` hides it.
fn user_of(process: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    users.split_ascii_whitespace().nth(1)?.parse().ok()
}

pub(super) fn users(peek: &Peek) -> Result<Vec<User>, OpenError> {
    Ok(seated(peek)?.into_iter().map(|(_, _, user)| user).collect())
}
