//! Byte channels of the bus, opened by what an endpoint says, and who is there.

use std::fmt::Display;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tautline_bus::bytes::{Bytes, Config};
use tautline_bus::{AttachError, OpenError, Shared};
use tautline_runtime::timer::{self, Timer};

use crate::endpoint::ShmChannel;

/// How those who find a seat taken are told of us.
pub(super) const SEAT: &str = "tautline relay";

/// Between two looks at who is there: users come and go without a message.
const LOOK: Duration = Duration::from_millis(100);

/// Opens the channel, or makes it if nobody has it. Other processes that have it need not be awake;
/// it may take 2 s if one dies while it opens, and so is for the start alone.
pub(super) fn open(channel: &ShmChannel) -> io::Result<Bytes<Shared>> {
    let ShmChannel { namespace, name, capacity, publishers } = channel;
    let (capacity, senders) = (*capacity, *publishers as usize);
    let config = Config { capacity, senders, ..Config::default() };
    Bytes::open(namespace, name, config).map_err(|error| match error {
        OpenError::Mismatch { wanted, found } => refused(&format_args!(
            "there is another object of that name: wanted a {wanted}, found a {found}; set \
             ?capacity= and ?publishers= as its maker has them, or choose another name"
        )),
        error => refused(&error),
    })
}

/// Others have the seats; `remedy` says what to do about it.
pub(super) fn taken(error: &AttachError, remedy: &str) -> io::Error {
    let AttachError { user, limit, holders } = error;
    let holders = holders.join(", ");
    io::Error::other(format!("it has {limit} {user} at most, and {holders} is there; {remedy}"))
}

/// What the bus has refused, in one line.
pub(super) fn refused(error: &dyn Display) -> io::Error {
    let lines = error.to_string();
    let lines: Vec<_> = lines.lines().map(str::trim).collect();
    io::Error::other(lines.join("; "))
}

/// Calls `look` again and again until the timer is cancelled, and once now.
pub(super) fn attend<T: 'static>(at: &Rc<T>, look: fn(&T)) -> io::Result<Timer> {
    look(at);
    let at = Rc::downgrade(at);
    Ok(timer::every(LOOK, move || at.upgrade().iter().for_each(|at| look(at)))?)
}
