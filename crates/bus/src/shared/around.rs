//! What is to be seen around a name, by somebody who comes to it or only looks.
//!
//! A process of the owner looks into the tables of descriptors of its like, which takes no help of
//! theirs. Whoever else has the object is asked at its door, after the kernel has told who listens
//! there: any process may bind any address. Of one that cannot be asked the kernel tells whose
//! socket it is, before its table is looked into, and which keeps foreign ones from being waited for.
//! What is believed of whom:
//!
//! - of the owner's processes, all that they answer;
//! - by a host, of the guests that it has named, the same: those who join are waited for. Others are
//!   nobody for it, whatever they have bound;
//! - by a guest, who does not know the others, of anybody, the segment alone: only if it belongs to
//!   the owner, is called as it should be, and names the one who has it among its guests. The
//!   owner's processes are asked first, and while one of them is joining nobody else is: what others
//!   have may be old, of a time when they were guests.
//!
//! Each answer is waited for, a little, and all of them a little more.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::shared::access::Stance;
use crate::shared::credentials::{Binder, Peer};
use crate::shared::door::{self, Answer, Called, Caller};
use crate::shared::error::OpenError;
use crate::shared::header::Heading;
use crate::shared::names::Name;
use crate::shared::presence::{Around, Presence, link_of};
use crate::shared::segment::{Access, Segment};

/// How long one answer is waited for: a door that works takes some microseconds.
const ANSWER: Duration = Duration::from_millis(200);
/// How long all answers are.
const ANSWERS: Duration = Duration::from_secs(1);

/// One look around a name.
pub(crate) struct Seeker<'n> {
    pub(crate) name: &'n Name,
    pub(crate) stance: &'n Stance,
    /// The address of one's own presence, which is not looked at.
    pub(crate) own: Option<&'n str>,
    pub(crate) access: Access,
}

/// Who is met under a name.
enum Met {
    /// No door, or nobody behind it: what is to be had.
    Told(Around),
    /// A process of the owner, and one that has called at its door.
    Owner(Peer, Caller),
    /// Any other process, and the same.
    Other(Peer, Caller),
}

impl Seeker<'_> {
    /// What the others have: the segment, if any of them does.
    ///
    /// # Errors
    /// [`OpenError::NotAGuest`]: the owner does not let this user in. What is wrong with the
    /// segment; the list of sockets cannot be read.
    pub(crate) fn look(&self) -> Result<Around, OpenError> {
        let until = Instant::now() + ANSWERS;
        let present = self.name.presences()?;
        let others = present.iter().filter(|one| Some(one.address.as_str()) != self.own);
        let (mut around, mut foreign, mut owner_joins) = (Around::Nobody, Vec::new(), false);
        let mut keep = |found| match found {
            Around::Segment(segment) => Some(Around::Segment(segment)),
            Around::Nobody => None,
            waits => {
                around = waits;
                None
            }
        };
        for other in others {
            let found = match self.meet(other)? {
                Met::Told(found) => found,
                Met::Owner(peer, caller) => self.ask_owner(other, &peer, &caller, until)?,
                // Its connection is closed: there may be any number of them.
                Met::Other(..) => {
                    foreign.push(other);
                    continue;
                }
            };
            owner_joins |= matches!(found, Around::Joining);
            if let Some(segment) = keep(found) {
                return Ok(segment);
            }
        }
        if matches!(self.stance, Stance::Guest(_)) && owner_joins {
            return Ok(Around::Joining);
        }
        for other in foreign {
            let found = match self.meet(other)? {
                Met::Other(peer, caller) => self.ask_other(&peer, &caller, until),
                // It has ended, or the address is somebody else's since.
                Met::Told(_) | Met::Owner(..) => Around::Joining,
            };
            if let Some(segment) = keep(found) {
                return Ok(segment);
            }
        }
        Ok(around)
    }

    fn meet(&self, other: &Presence) -> Result<Met, OpenError> {
        if !other.is_door {
            return self.without_door(other).map(Met::Told);
        }
        Ok(match door::call(&other.address) {
            Ok(Called::Reached(peer, caller)) if peer.uid == self.name.owner() => {
                Met::Owner(peer, caller)
            }
            Ok(Called::Reached(peer, _)) if self.is_nobody(&peer) => Met::Told(Around::Nobody),
            Ok(Called::Reached(peer, caller)) => Met::Other(peer, caller),
            Ok(Called::Gone) => Met::Told(Around::Nobody),
            Ok(Called::Crowded) => Met::Told(self.without_call(other, None)?),
            Err(error) => Met::Told(self.without_call(other, Some(&error))?),
        })
    }

    /// What is to be had of one whose door is too crowded to be called at, or cannot be, for that
    /// reason.
    fn without_call(
        &self,
        other: &Presence,
        error: Option<&io::Error>,
    ) -> Result<Around, OpenError> {
        let unreachable = |uid| match (error, uid) {
            (None, Some(uid)) => Around::Unreachable(OpenError::NoAnswer { uid, pid: None }),
            (error, _) => {
                let crowded = || "too many call at its door".to_owned();
                let why = error.map_or_else(crowded, io::Error::to_string);
                Around::Unreachable(OpenError::Unreachable { pid: other.who.pid(), why })
            }
        };
        Ok(match other.binder() {
            Binder::Nobody => Around::Nobody,
            Binder::User(uid) if self.must_be_nobody(uid) => Around::Nobody,
            // It may be stopped, and its table is there all the same.
            Binder::User(uid) if uid == self.name.owner() && self.name.is_own() => {
                match other.by_table(self.name, self.access)? {
                    Around::Segment(segment) => Around::Segment(segment),
                    _ => unreachable(Some(uid)),
                }
            }
            Binder::User(uid) => unreachable(Some(uid)),
            Binder::Untold => unreachable(None),
        })
    }

    /// What is to be had of a participant that lets nobody but its like in: those of the owner.
    fn without_door(&self, other: &Presence) -> Result<Around, OpenError> {
        match other.binder() {
            Binder::Nobody => return Ok(Around::Nobody),
            Binder::User(user) if user != self.name.owner() => return Ok(Around::Nobody),
            Binder::User(_) | Binder::Untold => {}
        }
        if self.name.is_own() {
            other.by_table(self.name, self.access)
        } else {
            Ok(Around::Unreachable(self.no_guest()))
        }
    }

    /// Whether somebody who is not of the owner counts for nothing.
    fn is_nobody(&self, peer: &Peer) -> bool {
        matches!(self.stance, Stance::Host(guests) if !guests.include(peer))
    }

    /// The same of somebody of whom only the user is known.
    fn must_be_nobody(&self, user: u32) -> bool {
        let is_foreign = user != self.name.owner();
        is_foreign && matches!(self.stance, Stance::Host(guests) if !guests.may_include(user))
    }

    fn ask_owner(
        &self,
        other: &Presence,
        peer: &Peer,
        caller: &Caller,
        until: Instant,
    ) -> Result<Around, OpenError> {
        // It may be stopped, and its table is there all the same.
        if self.name.is_own()
            && let found @ Around::Segment(_) = other.by_table(self.name, self.access)?
        {
            return Ok(found);
        }
        match answer(caller, until) {
            Answer::File(file) => {
                Segment::adopt(file, self.access, self.name.owner()).map(Around::Segment)
            }
            Answer::Refused => Err(self.no_guest()),
            // Who hangs up dies, and is gone when one looks again.
            Answer::NoneYet | Answer::HungUp => Ok(Around::Joining),
            Answer::Silent => Ok(Around::Unreachable(no_answer(peer))),
        }
    }

    fn ask_other(&self, peer: &Peer, caller: &Caller, until: Instant) -> Around {
        match answer(caller, until) {
            Answer::File(file) => match self.adopt_from(file, peer) {
                Some(segment) => Around::Segment(segment),
                None => Around::Unreachable(self.squatted(peer)),
            },
            Answer::NoneYet | Answer::HungUp => Around::Joining,
            Answer::Refused => Around::Unreachable(self.no_guest()),
            Answer::Silent => Around::Unreachable(no_answer(peer)),
        }
    }

    /// The segment out of what another user has sent, if it is what it should be.
    fn adopt_from(&self, file: OwnedFd, peer: &Peer) -> Option<Segment> {
        let link = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
        if link.as_os_str() != link_of(&self.name.label()).as_str() {
            return None;
        }
        let segment = Segment::adopt(file, self.access, self.name.owner()).ok()?;
        let guests = Heading::of(&segment).ok()?.guests().ok()?;
        guests.include(peer).then_some(segment)
    }

    fn no_guest(&self) -> OpenError {
        OpenError::NotAGuest {
            name: self.name.to_string(),
            owner: self.name.owner(),
            own: rustix::process::geteuid().as_raw(),
        }
    }

    fn squatted(&self, peer: &Peer) -> OpenError {
        OpenError::Squatted { name: self.name.to_string(), uid: Some(peer.uid), pid: peer.pid }
    }
}

fn answer(caller: &Caller, until: Instant) -> Answer {
    caller.answer(until.saturating_duration_since(Instant::now()).min(ANSWER))
}

fn no_answer(peer: &Peer) -> OpenError {
    OpenError::NoAnswer { uid: peer.uid, pid: peer.pid }
}
