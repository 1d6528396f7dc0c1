//! Broadcasts between processes.

use std::marker::PhantomData;

use super::{Broadcast, Config};
use crate::error::CreateError;
use crate::layout::{Layout, Told};
use crate::plain::Plain;
use crate::shared::{
    self, Carried, Description, Kind, Namespace, OpenError, Opened, SegmentStore, Shared,
    word_of_full, word_of_wait,
};

impl<T: Plain + Layout> Broadcast<T, Shared> {
    /// Opens the broadcast of that name, or makes it if nobody has it.
    ///
    /// Both sides must agree about the type of the messages and about `config`, but for
    /// [`Config::patience`] and the time in [`Full::Block`](crate::Full), which are each side's
    /// own. A subscriber that dies holds the publisher up no more; what a publisher has sent stays
    /// when it dies, and the next goes on behind it.
    ///
    /// # Errors
    /// [`OpenError`].
    ///
    /// ```
    /// use tautline_bus::{Shared, broadcast::{Broadcast, Config}};
    /// # let namespace = &format!("broadcast{}", std::process::id());
    /// let ticks = Broadcast::<u64, Shared>::open(namespace, "ticks", Config::default())?;
    /// let (mut one, mut other) = (ticks.subscriber()?, ticks.subscriber()?);
    /// ticks.publisher()?.send(7)?;
    /// assert_eq!((one.receive()?, other.receive()?), (7, 7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(
        namespace: impl Into<Namespace>,
        name: &str,
        config: Config,
    ) -> Result<Self, OpenError> {
        shared::open(namespace.into(), name, &Wanted::<T> { config, messages: PhantomData })
    }
}

/// What somebody who opens a broadcast wants.
struct Wanted<T> {
    config: Config,
    messages: PhantomData<T>,
}

impl<T: Plain + Layout> Opened for Wanted<T> {
    type Object = Broadcast<T, Shared>;

    fn in_store(&self, store: &mut SegmentStore) -> Result<Broadcast<T, Shared>, CreateError> {
        Broadcast::create_in(self.config, store)
    }

    fn description(&self) -> Description {
        let Config { capacity, subscribers, full, patience: _, wait } = self.config;
        let capacity = capacity.next_power_of_two();
        let limits = [capacity as u64, subscribers as u64, word_of_full(full), word_of_wait(wait)];
        let text = format!(
            "broadcast of {}, capacity {capacity}, subscribers {subscribers}, {full:?}, {wait:?}",
            Told::<T>::new()
        );
        Description::new(Kind::Broadcast, T::HASH, &limits, text).carrying(Carried::of::<T>(0))
    }
}
