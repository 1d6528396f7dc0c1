//! The shape of a byte channel: one stream of bytes for each sender, all of one receiver.

use std::fmt;

use super::Config;
use crate::bells::{Bells, Rings};
use crate::error::CreateError;
use crate::object::{Object, Parts, Role};
use crate::policy::Full;
use crate::ring::MAX_CAPACITY;
use crate::ring::stream::{Giver, Memory, Stream, Taker};
use crate::scope::{Scope, Store};

/// The shape of it, with the mapped memory.
pub(crate) struct Streams {
    config: Config,
    /// For each sender.
    memory: Box<[Memory]>,
}

const KIND: &str = "byte channel";

impl Streams {
    /// The shape, with its memory out of that store.
    pub(super) fn new<S: Scope>(config: Config, store: &mut S::Store) -> Result<Self, CreateError> {
        let asked = config.capacity;
        if asked == 0 || asked > MAX_CAPACITY {
            return Err(CreateError::Capacity { kind: KIND, asked, limit: MAX_CAPACITY });
        }
        if config.full == Full::Overwrite {
            return Err(CreateError::Conflict {
                what: "a byte channel cannot overwrite what is being read: let the sender wait, or \
                       refuse",
            });
        }
        let memory = store.mirrors(KIND, config.senders, asked, config.memory)?;
        let capacity = memory.first().map_or(0, Memory::capacity);
        Ok(Self { config: Config { capacity, ..config }, memory })
    }

    #[inline(always)]
    pub(super) fn config(&self) -> Config {
        self.config
    }

    /// The giving end of the stream of that seat.
    ///
    /// # Safety
    /// The caller has the seat, and keeps the object.
    pub(super) unsafe fn giver<S: Scope>(&self, parts: &Parts<Self, S>, seat: usize) -> Giver<S> {
        // SAFETY: as promised; neither the parts nor the shape moves while the object is there.
        unsafe { Giver::new(&parts.rows[seat], &self.memory[seat]) }
    }

    /// The taking end of the stream of that sender's seat.
    ///
    /// # Safety
    /// The caller has the one receiver's seat, and keeps the object.
    pub(super) unsafe fn taker<S: Scope>(&self, parts: &Parts<Self, S>, seat: usize) -> Taker<S> {
        // SAFETY: as promised; neither the parts nor the shape moves while the object is there.
        unsafe { Taker::new(&parts.rows[seat], &self.memory[seat]) }
    }
}

impl<S: Scope> Object<S> for Streams {
    const KIND: &'static str = KIND;
    const USERS: [&'static str; 2] = ["sender", "receiver"];
    type Head = Bells<S>;
    type Row = Stream<S>;
    type Slot = ();

    fn limits(&self) -> [usize; 2] {
        [self.config.senders, 1]
    }

    fn head(&self) -> Bells<S> {
        Bells::new(self.config.wait)
    }

    fn rows(&self) -> usize {
        self.config.senders
    }

    fn row(&self, _: usize) -> Stream<S> {
        Stream::new()
    }

    fn slots(&self) -> usize {
        0
    }

    fn slot(&self, _: usize) {}

    fn gone(&self, parts: &Parts<Self, S>, role: Role) {
        Self::tell(parts, role);
    }
}

impl<S: Scope> Rings<S> for Streams {}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}
