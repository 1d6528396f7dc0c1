//! Lossy broadcasts between processes.

use std::marker::PhantomData;

use super::{Config, Lossy};
use crate::error::CreateError;
use crate::layout::{Layout, Told};
use crate::plain::Plain;
use crate::ring::tape;
use crate::shared::{
    self, Carried, Description, Kind, Namespace, OpenError, Opened, SegmentStore, Shared,
    word_of_wait,
};

impl<T: Plain + Layout> Lossy<T, Shared> {
    /// Opens the lossy broadcast of that name, or makes it if nobody has it.
    ///
    /// Both sides must agree about the type of the messages and about `config`, but for
    /// [`Config::patience`], which is each side's own. A publisher that dies in the midst of a
    /// message leaves none; the next goes on in its place.
    ///
    /// # Errors
    /// [`OpenError`].
    ///
    /// ```
    /// use tautline_bus::{Shared, broadcast::lossy::{Config, Lossy}};
    /// # let namespace = &format!("lossy{}", std::process::id());
    /// let quotes = Lossy::<[u64; 2], Shared>::open(namespace, "quotes", Config::default())?;
    /// let mut subscriber = quotes.subscriber()?;
    /// quotes.publisher()?.send([1, 2])?;
    /// assert_eq!(subscriber.receive(), Ok([1, 2]));
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

/// What somebody who opens a lossy broadcast wants.
struct Wanted<T> {
    config: Config,
    messages: PhantomData<T>,
}

impl<T: Plain + Layout> Opened for Wanted<T> {
    type Object = Lossy<T, Shared>;

    fn in_store(&self, store: &mut SegmentStore) -> Result<Lossy<T, Shared>, CreateError> {
        Lossy::create_in(self.config, store)
    }

    fn description(&self) -> Description {
        let Config { capacity, subscribers, patience: _, wait } = self.config;
        let capacity = capacity.next_power_of_two();
        let limits = [capacity as u64, subscribers as u64, word_of_wait(wait)];
        let text = format!(
            "lossy broadcast of {}, capacity {capacity}, subscribers {subscribers}, {wait:?}",
            Told::<T>::new()
        );
        let carried = Carried::of::<T>(tape::MESSAGE_AT);
        Description::new(Kind::Lossy, T::HASH, &limits, text).carrying(carried)
    }
}
