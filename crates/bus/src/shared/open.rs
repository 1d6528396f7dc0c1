//! Opening an object under a name: finding it, or making it.

use std::thread;
use std::time::{Duration, Instant};

use crate::error::CreateError;
use crate::shared::access::{Guests, Namespace, Stance};
use crate::shared::error::OpenError;
use crate::shared::header::{Description, Heading};
use crate::shared::identity::{Identity, Watcher};
use crate::shared::names::{Found, Name, Standing, enter, enter_kept, own_user};
use crate::shared::reservation::Taken;
use crate::shared::segment::Segment;
use crate::shared::store::SegmentStore;
use crate::sync::{self, Arc};

/// How long somebody waits before it looks again.
const PAUSE: Duration = Duration::from_millis(1);

/// What makes an object of a store.
pub(crate) trait Opened: Sized {
    /// Makes the object in the memory of that store, or finds it there.
    fn in_store(&self, store: &mut SegmentStore) -> Result<Self::Object, CreateError>;
    /// What is made.
    type Object;
    /// What two sides compare.
    fn description(&self) -> Description;
}

/// Finds the object of that name, or makes it.
///
/// # Errors
/// [`OpenError`].
pub(crate) fn open<O: Opened>(
    namespace: Namespace,
    name: &str,
    wanted: &O,
) -> Result<O::Object, OpenError> {
    let due = namespace.due();
    let (namespace, stance) = namespace.into_parts()?;
    let owner = match &stance {
        Stance::Host(_) => own_user(),
        Stance::Guest(owner) => *owner,
    };
    let name = Name::new(owner, &namespace, name)?;
    // Once for each process: the kernel was seen to take a second for it on a busy machine, which is
    // better spent here than in the first message. Who is refused has fences of its own.
    _ = sync::barrier_in_all_processes();
    let Some(reserved) = Taken::of(&name, &stance)? else {
        return find_or_make(&name, &stance, wanted, due);
    };
    let standing = reserved.standing().clone();
    let found = enter_kept(&name, &stance, &standing, left(due))?;
    let object = bind(&name, &stance, standing, found, wanted, due)?;
    reserved.be_bound();
    match object {
        Some(object) => Ok(object),
        None => find_or_make(&name, &stance, wanted, due),
    }
}

fn find_or_make<O: Opened>(
    name: &Name,
    stance: &Stance,
    wanted: &O,
    due: Instant,
) -> Result<O::Object, OpenError> {
    loop {
        let (standing, found) = enter(name, stance, left(due))?;
        if let Some(object) = bind(name, stance, Arc::new(standing), found, wanted, due)? {
            return Ok(object);
        }
        // Its maker died over it: begin again.
    }
}

/// Uses what was found, or makes it; `None`: its maker has died before it was ready.
fn bind<O: Opened>(
    name: &Name,
    stance: &Stance,
    standing: Arc<Standing>,
    found: Found,
    wanted: &O,
    due: Instant,
) -> Result<Option<O::Object>, OpenError> {
    match (found, stance) {
        (Found::Segment(segment), _) => join(name, segment, standing, stance, wanted, due),
        (Found::Nobody, Stance::Host(guests)) => make(name, guests, standing, wanted).map(Some),
        (Found::Nobody, Stance::Guest(_)) => Err(OpenError::NotFound { name: name.to_string() }),
    }
}

fn left(due: Instant) -> Duration {
    due.saturating_duration_since(Instant::now())
}

/// Makes the segment, which others find from the moment at which there is one.
fn make<O: Opened>(
    name: &Name,
    guests: &Guests,
    standing: Arc<Standing>,
    wanted: &O,
) -> Result<O::Object, OpenError> {
    let mut measure = SegmentStore::measure();
    drop(wanted.in_store(&mut measure)?);
    let segment = Arc::new(Segment::create(&name.label(), measure.bytes())?);
    Heading::of(&segment)?.begin(&wanted.description(), guests)?;
    let object = wanted.in_store(&mut SegmentStore::of(segment.clone(), standing.clone(), true))?;
    Heading::of(&segment)?.declare_ready();
    // At the door there is what is whole.
    standing.hand_out(&segment, guests.clone())?;
    Ok(object)
}

/// Uses a segment that another has made; `None`: its maker has died before it was ready.
fn join<O: Opened>(
    name: &Name,
    segment: Segment,
    standing: Arc<Standing>,
    stance: &Stance,
    wanted: &O,
    due: Instant,
) -> Result<Option<O::Object>, OpenError> {
    let mut watcher = Watcher::default();
    let heading = Heading::of(&segment)?;
    while !heading.is_ready() {
        if heading.maker().is_some_and(|maker| watcher.has_ended(maker)) && !heading.is_ready() {
            return Ok(None);
        }
        if Instant::now() >= due {
            let (name, pid) = (name.to_string(), heading.maker().map(Identity::pid));
            return Err(OpenError::Unfinished { name, pid });
        }
        thread::sleep(PAUSE);
    }
    let (own, found) = (wanted.description(), heading.read()?);
    if (own.layout, own.shape) != (found.layout, found.shape) {
        return Err(OpenError::Mismatch { wanted: own.text, found: found.text });
    }
    let guests = heading.guests()?;
    if let Stance::Host(own) = stance
        && *own != guests
    {
        let told = |guests: &Guests| format!("{}, open to {guests}", found.text);
        return Err(OpenError::Mismatch { wanted: told(own), found: told(&guests) });
    }
    standing.hand_out(&segment, guests)?;
    let mut store = SegmentStore::of(Arc::new(segment), standing, false);
    match wanted.in_store(&mut store) {
        Err(CreateError::NoMemory { .. }) => Err(OpenError::Damaged { what: "it is too short" }),
        done => Ok(Some(done?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{Channel, Config};
    use crate::shared::{Shared, look};

    /// Somebody who comes while a large object is made waits, and is told who makes it; whoever only
    /// looks is told the same.
    #[test]
    fn what_is_being_made_is_not_damaged() {
        let namespace = format!("made-{}", std::process::id());
        let (name, stance) =
            (Name::new(own_user(), &namespace, "big").unwrap(), Stance::Host(Guests::Nobody));
        let (_standing, found) = enter(&name, &stance, Duration::from_secs(2)).unwrap();
        assert!(matches!(found, Found::Nobody));
        let segment = Segment::create(&name.label(), 1 << 20).unwrap();
        let told = |pid: Option<u32>| {
            let hasty = Namespace::new(&namespace).patience(Duration::from_millis(20));
            let opened = Channel::<u64, Shared>::open(hasty, "big", Config::default());
            let looked = look(&name.to_string());
            for error in [opened.map(drop).unwrap_err(), looked.map(drop).unwrap_err()] {
                assert!(
                    matches!(&error, OpenError::Unfinished { pid: told, .. } if *told == pid),
                    "{error}"
                );
            }
        };
        told(None);
        let carried = crate::shared::Carried::default();
        let what = Description { layout: 0, shape: [0; 16], text: String::new(), carried };
        Heading::of(&segment).unwrap().begin(&what, &Guests::Nobody).unwrap();
        told(Some(std::process::id()));
    }
}
