//! Names that are kept for objects which are not there yet.
//!
//! Who reserves a name stands under it as one who is joining: it holds the key, and a presence without
//! a segment, for which newcomers wait (`names.rs`). When the object is opened here, by the same name,
//! it is bound to what was kept.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::shared::access::{Guests, Namespace, Stance};
use crate::shared::error::OpenError;
use crate::shared::names::{Found, Name, Standing, enter};
use crate::sync::{Arc, AtomicU64, Ordering};

/// How long somebody who would reserve waits for others to come or go.
const PATIENCE: Duration = Duration::from_millis(100);

/// What this process keeps.
static KEPT: Mutex<Vec<Kept>> = Mutex::new(Vec::new());

struct Kept {
    /// Tells it from others of that name, before and after.
    number: u64,
    /// The process that keeps it: a child made by a bare fork has a copy of this list.
    process: u32,
    name: Name,
    guests: Guests,
    /// `None` while somebody makes the object.
    standing: Option<Arc<Standing>>,
}

/// A name that this process keeps for an object that it will open.
///
/// Processes that open the object meanwhile wait for it, up to [`Namespace::patience`]. It is bound by
/// opening it in this process, under the same name and with the same guests, in whatever thread; an
/// open that fails leaves it reserved. Dropping this gives the name back if that has not happened; so
/// does the end of the process, however it ends.
///
/// ```
/// use tautline_bus::{OpenError, Shared, channel::{Channel, Config}, shared::Namespace};
///
/// # let feeds = &format!("reserve{}", std::process::id());
/// let feeds = Namespace::new(feeds);
/// let reservation = feeds.reserve("prices")?;
/// // ... whatever takes time before there are prices; subscribers may be started meanwhile
/// let prices = Channel::<u64, Shared>::open(&feeds, "prices", Config::default())?;
/// assert!(reservation.is_bound());
/// # Ok::<(), OpenError>(())
/// ```
#[derive(Debug)]
pub struct Reservation {
    number: u64,
}

impl Namespace {
    /// Keeps a name for an object that this process will open.
    ///
    /// # Errors
    /// [`OpenError::Taken`]: the object is there already. [`OpenError::Reserved`],
    /// [`OpenError::Squatted`]: another has the name. [`OpenError::NotOurs`]: in the namespace of
    /// another user nothing can be made. Others of opening.
    pub fn reserve(&self, name: &str) -> Result<Reservation, OpenError> {
        let (namespace, stance) = self.clone().into_parts()?;
        let Stance::Host(guests) = &stance else {
            return Err(OpenError::NotOurs { name: name.to_owned() });
        };
        let name = Name::new(crate::shared::names::own_user(), &namespace, name)?;
        let (standing, found) = enter(&name, &stance, PATIENCE)?;
        if matches!(found, Found::Segment(_)) {
            return Err(OpenError::Taken { name: name.to_string() });
        }
        static COUNT: AtomicU64 = AtomicU64::new(0);
        // Relaxed: the number stands for itself.
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let (guests, standing) = (guests.clone(), Some(Arc::new(standing)));
        kept().push(Kept { number, process: std::process::id(), name, guests, standing });
        Ok(Reservation { number })
    }
}

impl Reservation {
    /// Whether the object was opened.
    pub fn is_bound(&self) -> bool {
        !kept().iter().any(|kept| kept.number == self.number)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // Dropped after the lock is given back.
        let _given_back = remove(self.number);
    }
}

/// What was reserved for an object that is being opened.
#[derive(Debug)]
pub(crate) struct Taken {
    number: u64,
    standing: Arc<Standing>,
}

impl Taken {
    /// What stands under the name, if it was reserved, and nobody else is about to use that.
    ///
    /// # Errors
    /// It was reserved for other guests.
    pub(crate) fn of(name: &Name, stance: &Stance) -> Result<Option<Self>, OpenError> {
        // Who looks for what is there waits for it as all others do.
        let Stance::Host(guests) = stance else { return Ok(None) };
        let own = std::process::id();
        let mut kept = kept();
        let mut of_name = kept.iter_mut().filter(|kept| kept.process == own && kept.name == *name);
        let Some(found) = of_name.next() else { return Ok(None) };
        if *guests != found.guests {
            let wanted = format!("{name}, open to {guests}");
            return Err(OpenError::Mismatch {
                wanted,
                found: format!("{name}, reserved for {}", found.guests),
            });
        }
        let number = found.number;
        Ok(found.standing.take().map(|standing| Self { number, standing }))
    }

    pub(crate) fn standing(&self) -> &Arc<Standing> {
        &self.standing
    }

    /// What was to be opened is there.
    pub(crate) fn be_bound(self) {
        let _bound = remove(self.number);
    }
}

/// Opening has failed: it is reserved as before.
impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(found) = kept().iter_mut().find(|kept| kept.number == self.number) {
            found.standing = Some(self.standing.clone());
        }
    }
}

fn remove(number: u64) -> Option<Kept> {
    let mut kept = kept();
    let at = kept.iter().position(|kept| kept.number == number)?;
    Some(kept.swap_remove(at))
}

fn kept() -> MutexGuard<'static, Vec<Kept>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}
