//! Looking at what is on the bus without taking part: who uses an object, how much lies in it, and
//! what passes.
//!
//! Nobody is disturbed: who looks takes no seat and has no presence, so that nobody finds the object
//! through it, and it maps the segment to read only. It knows no type: the header says where the
//! parts lie (`header.rs`), and what a position means is the rings' own matter.

mod clean;
mod depth;
mod peek;
mod tap;
mod users;
mod value;

use std::time::Instant;

pub use self::clean::{Cleaned, clean};
pub use self::depth::Queue;
pub use self::tap::{Passed, Tap, Tapped};
pub use self::users::User;
pub use self::value::Value;

use self::peek::Peek;
use crate::shared::error::OpenError;
use crate::shared::header::Kind;
use crate::shared::names::Name;

/// What is to be seen of an object at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Look {
    /// Its namespace and its name, `namespace/name`; in front of another user's, its number and `:`.
    pub name: String,
    /// The user that it belongs to; those of others who are attached are guests.
    pub owner: u32,
    /// What it is: "channel".
    pub kind: &'static str,
    /// Its kind, the layout of its messages and its limits, as text.
    pub what: String,
    /// Bytes of its segment.
    pub bytes: usize,
    /// Those who are attached, the dead among them.
    pub users: Vec<User>,
    /// What lies in it, one for each that has positions of its own.
    pub queues: Vec<Queue>,
    /// Messages that were overwritten, or were being written by one who died.
    pub dropped: u64,
    /// Messages that were given up with the user who had them on loan.
    pub lost: u64,
    /// When this was seen.
    pub when: Instant,
    number: u64,
}

impl Look {
    /// Whether it is of the same object as another: not of a later one of the same name.
    pub fn is_of_the_same(&self, other: &Self) -> bool {
        self.name == other.name && self.number == other.number
    }
}

/// Looks at the object of that name, `namespace/name`; at another user's, whose guest one is, by
/// `user:namespace/name` with its number.
///
/// Takes no part: when its users have gone meanwhile it is gone when this returns.
///
/// # Errors
/// [`OpenError::BadName`], [`OpenError::NotFound`], [`OpenError::NotAGuest`], and what is wrong with the segment.
///
/// ```
/// use tautline_bus::{Shared, channel::{Channel, Config}, shared};
/// # let namespace = &format!("look{}", std::process::id());
/// let prices = Channel::<u64, Shared>::open(namespace, "prices", Config::default())?;
/// let mut sender = prices.sender()?;
/// sender.send(7)?;
/// let look = shared::look(&format!("{namespace}/prices"))?;
/// assert_eq!((look.kind, look.users[0].role, look.users[0].process), ("channel", "sender", std::process::id()));
/// assert_eq!((look.queues[0].depth, look.queues[0].given), (Some(1), Some(1)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn look(name: &str) -> Result<Look, OpenError> {
    let name = Name::of_text(name)?;
    let peek = Peek::at(&name)?;
    let [dropped, lost] = depth::losses(&peek)?;
    Ok(Look {
        name: name.to_string(),
        owner: name.owner(),
        kind: kind_name(peek.kind),
        what: peek.said.text.clone(),
        bytes: peek.bytes(),
        users: users::users(&peek)?,
        queues: depth::queues(&peek)?,
        dropped,
        lost,
        when: Instant::now(),
        number: peek.number(),
    })
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Channel => "channel",
        Kind::Bytes => "byte channel",
        Kind::Signal => "signal",
        Kind::Pool => "pool",
        Kind::Broadcast => "broadcast",
        Kind::Lossy => "lossy broadcast",
        Kind::Requests => "place for requests",
    }
}
