//! Clearing the seats of the dead, for an object whose users are all asleep: whoever attaches, sends
//! or waits does the same.

use super::depth::{RING_AGAIN, is_ringed};
use super::peek::{Group, Peek};
use super::users::{User, givers, seated};
use crate::bells::Bells;
use crate::event::Sleeps;
use crate::object::{REAPING, Role};
use crate::pool::RETURNED_AT;
use crate::ring::fan::{CURSORS, NOBODY};
use crate::ring::lot;
use crate::ring::many::Stamped;
use crate::ring::mortal::{FREE, State, VOID};
use crate::shared::Shared;
use crate::shared::error::OpenError;
use crate::shared::event::SharedEvent;
use crate::shared::header::{Kind, Part};
use crate::shared::identity::Identity;
use crate::shared::names::Name;
use crate::shared::segment::Access;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// What was done about the dead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cleaned {
    /// Those whose seats are free now.
    pub cleared: Vec<User>,
    /// Those whose seats the next must clear who attaches, sends or waits: what they have left half
    /// done only those can put in order who know the types.
    pub left: Vec<User>,
}

/// Clears the seats of users of an object whose processes have ended. The living are not touched.
///
/// An object vanishes with its last user, so that there is nothing else to be removed, ever.
///
/// # Errors
/// As [`super::look`].
///
/// ```
/// use tautline_bus::{Shared, channel::{Channel, Config}, shared};
/// # let namespace = &format!("clean{}", std::process::id());
/// let prices = Channel::<u64, Shared>::open(namespace, "prices", Config::default())?;
/// let sender = prices.sender()?;
/// assert!(shared::clean(&format!("{namespace}/prices"))?.cleared.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn clean(name: &str) -> Result<Cleaned, OpenError> {
    let peek = Peek::at_as(&Name::of_text(name)?, Access::Write)?;
    let [group, _] = peek.ends()?;
    let reaping = Identity::own()?.word() | REAPING;
    let mut cleaned = Cleaned::default();
    for (index, word, user) in seated(&peek)?.into_iter().filter(|(_, _, user)| user.is_dead) {
        if peek.kind == Kind::Requests {
            cleaned.left.push(user);
            continue;
        }
        let seat = peek.to_write::<AtomicU64>(&group.seats, index, 0)?;
        // Acquire: what the dead user has done is seen; only one of us clears its seat.
        if seat.compare_exchange(word, reaping, Ordering::Acquire, Ordering::Relaxed).is_ok() {
            put_in_order(&peek, &group, index)?;
            // Release pairs with the Acquire of whoever takes the seat.
            seat.store(0, Ordering::Release);
            cleaned.cleared.push(user);
        }
    }
    Ok(cleaned)
}

/// What the user of that seat has left half done.
fn put_in_order(peek: &Peek, group: &Group, index: u64) -> Result<(), OpenError> {
    let taker = index.checked_sub(givers(peek));
    match (peek.kind, taker) {
        (Kind::Channel, _) if is_ringed(group) => clear_ring(peek, group, index),
        (Kind::Broadcast, Some(seat)) => {
            let cursor: &AtomicU64 = peek.to_write(&group.rows, CURSORS as u64 + seat, 0)?;
            // Release: as a subscriber that leaves.
            cursor.store(NOBODY, Ordering::Release);
            bells(peek, group)?.freed.notify(&[]);
            Ok(())
        }
        (Kind::Pool, _) => {
            let change = |state| lot::without(state, index as usize);
            exchange_all(peek, &group.rows, change, |_, _| Ok(()))?;
            peek.to_write::<SharedEvent>(&group.heads, 0, RETURNED_AT)?.notify(&[]);
            Ok(())
        }
        // Positions are published when something is whole: nothing is half done.
        _ => Ok(()),
    }
}

/// What was not given is void, and what was on loan comes again, or is given up.
fn clear_ring(peek: &Peek, group: &Group, index: u64) -> Result<(), OpenError> {
    let shape = &peek.said.shape;
    let (receivers, loses) = (shape[3], shape[7] != 0);
    // Slots know the receivers first.
    let (role, user) = match index.checked_sub(givers(peek)) {
        Some(seat) => (Role::Taker, seat),
        None => (Role::Giver, receivers.wrapping_add(index)),
    };
    let redeliver = role == Role::Taker && !loses;
    let change = |state: State| state.without(user as usize, redeliver);
    let given_up = exchange_all(peek, &group.slots, change, |slot, from| {
        let at = Stamped::<u8, Shared>::VOID_AT;
        let void: &AtomicU32 = peek.to_write(&group.slots, slot, at)?;
        // Relaxed: the stamp takes it along.
        void.store((from.lap() as u32).wrapping_add(1), Ordering::Relaxed);
        Ok(())
    })?;
    if redeliver {
        let again: &AtomicU64 = peek.to_write(&group.rows, 0, RING_AGAIN)?;
        // Release: who finds it set finds the slots in their phase.
        again.store(1, Ordering::Release);
    }
    bells(peek, group)?.put_in_order(role, given_up, [&[], &[]]);
    Ok(())
}

fn bells<'p>(peek: &'p Peek, group: &Group) -> Result<&'p Bells<Shared>, OpenError> {
    peek.to_write(&group.heads, 0, 0)
}

/// Puts slots from one state into another, and tells of those that become void before they do.
/// Returns how many are free thereby.
fn exchange_all(
    peek: &Peek,
    slots: &Part,
    change: impl Fn(State) -> Option<State>,
    void: impl Fn(u64, State) -> Result<(), OpenError>,
) -> Result<u64, OpenError> {
    let mut freed = 0;
    for slot in 0..slots.count {
        let word: &AtomicU64 = peek.to_write(slots, slot, 0)?;
        // Acquire: what was done to the slot before is done.
        let from = State(word.load(Ordering::Acquire));
        let Some(to) = change(from) else { continue };
        if to.phase() == VOID {
            void(slot, from)?;
        }
        // AcqRel: who clears hands on what it found.
        let done = word.compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Relaxed);
        freed += u64::from(done.is_ok() && to.phase() == FREE);
    }
    Ok(freed)
}

#[cfg(test)]
mod tests;
