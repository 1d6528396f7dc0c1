//! Channels between processes.

use std::marker::PhantomData;

use crate::channel::{Channel, Config, Order, Orphans};
use crate::error::CreateError;
use crate::layout::{Layout, Told};
use crate::ring::many::Stamped;
use crate::ring::mortal::MAX_SEATS;
use crate::scope::Carries;
use crate::shared::{
    self, Carried, Description, Kind, Namespace, OpenError, Opened, SegmentStore, Shared,
    word_of_full, word_of_wait,
};

impl<T: Layout> Channel<T, Shared>
where
    Shared: Carries<T>,
{
    /// Opens the channel of that name, or makes it if nobody has it.
    ///
    /// Both sides must agree about the type of the messages and about `config`, but for
    /// [`Config::patience`] and the time in [`Full::Block`](crate::Full::Block), which are each side's own.
    ///
    /// # Errors
    /// [`OpenError`].
    ///
    /// ```
    /// use tautline_bus::{OpenError, Shared, channel::{Channel, Config}};
    /// # let namespace = &format!("open{}", std::process::id());
    /// let orders = Channel::<u64, Shared>::open(namespace, "orders", Config::default())?;
    /// let other = Channel::<i64, Shared>::open(namespace, "orders", Config::default());
    /// assert!(matches!(other, Err(OpenError::Mismatch { .. })));
    /// # Ok::<(), OpenError>(())
    /// ```
    pub fn open(
        namespace: impl Into<Namespace>,
        name: &str,
        config: Config,
    ) -> Result<Self, OpenError> {
        if config.is_ringed() && config.senders.saturating_add(config.receivers) > MAX_SEATS {
            let what = "a shared channel whose users share one ring has at most 65,536 of them";
            return Err(CreateError::Conflict { what }.into());
        }
        shared::open(namespace.into(), name, &Wanted::<T> { config, messages: PhantomData })
    }
}

impl<T> Channel<T, Shared>
where
    Shared: Carries<T>,
{
    /// Bytes before the message in a slot.
    pub(crate) fn message_at(config: &Config) -> usize {
        if config.is_ringed() { Stamped::<T, Shared>::PLACE_AT } else { 0 }
    }
}

/// What somebody who opens a channel wants.
struct Wanted<T> {
    config: Config,
    messages: PhantomData<T>,
}

impl<T: Layout> Opened for Wanted<T>
where
    Shared: Carries<T>,
{
    type Object = Channel<T, Shared>;

    fn in_store(&self, store: &mut SegmentStore) -> Result<Channel<T, Shared>, CreateError> {
        Channel::create_in(self.config, store)
    }

    fn description(&self) -> Description {
        let Config { capacity, senders, receivers, order, full, patience: _, wait, orphans } =
            self.config;
        let capacity = capacity.next_power_of_two();
        let limits = [
            capacity as u64,
            senders as u64,
            receivers as u64,
            u64::from(order == Order::Total),
            word_of_full(full),
            word_of_wait(wait),
            u64::from(orphans == Orphans::Lose),
        ];
        let text = format!(
            "channel of {}, capacity {capacity}, senders {senders}, receivers {receivers}, \
             {order:?}, {full:?}, {wait:?}, {orphans:?}",
            Told::<T>::new()
        );
        let at = Channel::<T, Shared>::message_at(&self.config);
        Description::new(Kind::Channel, T::HASH, &limits, text).carrying(Carried::of::<T>(at))
    }
}
