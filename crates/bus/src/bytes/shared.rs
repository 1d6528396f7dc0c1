//! Byte channels between processes.

use super::{Bytes, Config, Orphans};
use crate::error::CreateError;
use crate::shared::{
    self, Description, Kind, Namespace, OpenError, Opened, SegmentStore, Shared, mirror_size,
    word_of_full, word_of_wait,
};

impl Bytes<Shared> {
    /// Opens the byte channel of that name, or makes it if nobody has it.
    ///
    /// Both sides must agree about `config`, but for [`Config::patience`], [`Config::memory`] and
    /// the time in [`Full::Block`](crate::Full), which are each side's own. Huge pages cannot be
    /// had.
    ///
    /// # Errors
    /// [`OpenError`].
    ///
    /// ```
    /// use tautline_bus::{Shared, bytes::{Bytes, Config}};
    /// # let namespace = &format!("bytes{}", std::process::id());
    /// let frames = Bytes::<Shared>::open(namespace, "frames", Config::default())?;
    /// frames.sender()?.send(b"hello")?;
    /// // ... and in the same process or any other of this user:
    /// let frames = Bytes::<Shared>::open(namespace, "frames", Config::default())?;
    /// let mut receiver = frames.receiver()?;
    /// assert_eq!(receiver.receive()?.view().to_vec(), b"hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(
        namespace: impl Into<Namespace>,
        name: &str,
        config: Config,
    ) -> Result<Self, OpenError> {
        shared::open(namespace.into(), name, &Wanted(config))
    }
}

/// What somebody who opens a byte channel wants.
struct Wanted(Config);

impl Opened for Wanted {
    type Object = Bytes<Shared>;

    fn in_store(&self, store: &mut SegmentStore) -> Result<Bytes<Shared>, CreateError> {
        Bytes::create_in(self.0, store)
    }

    fn description(&self) -> Description {
        let Config { capacity, senders, full, patience: _, wait, memory: _, orphans } = self.0;
        let capacity = mirror_size(capacity);
        let limits = [
            capacity as u64,
            senders as u64,
            word_of_full(full),
            word_of_wait(wait),
            u64::from(orphans == Orphans::Lose),
        ];
        let text = format!(
            "byte channel, capacity {capacity} bytes, senders {senders}, {full:?}, {wait:?}, \
             {orphans:?}"
        );
        Description::new(Kind::Bytes, 0, &limits, text)
    }
}
