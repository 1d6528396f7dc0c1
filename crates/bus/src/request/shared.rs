//! Requests between processes.

use std::marker::PhantomData;
use std::mem::offset_of;

use super::slots::{Correlation, MAX_SERVERS};
use super::{Ask, Config, Exchanges, Orphans, Requests};
use crate::channel::Channel;
use crate::error::{Corrupt, CreateError};
use crate::layout::{Layout, Told};
use crate::plain::{self, Plain};
use crate::ring::mortal::MAX_SEATS;
use crate::scope::{Carries, Place};
use crate::shared::{
    self, Carried, Description, Kind, Namespace, OpenError, Opened, SegmentStore, Shared,
    word_of_full, word_of_wait,
};
use crate::sync::AtomicU64;

impl<Q: Plain + Layout, R: Plain + Layout> Requests<Q, R, Shared> {
    /// Opens the place for requests of that name, or makes it if nobody has it.
    ///
    /// Both sides must agree about the types and about `config`, but for [`Config::patience`] and
    /// the time in [`Full::Block`](crate::Full), which are each side's own.
    ///
    /// # Errors
    /// [`OpenError`].
    ///
    /// ```
    /// use tautline_bus::{Shared, request::{Config, Requests}};
    /// # let namespace = &format!("requests{}", std::process::id());
    /// let squares = Requests::<u64, u64, Shared>::open(namespace, "squares", Config::default())?;
    /// let mut server = squares.server()?;
    /// let thread = std::thread::spawn(move || server.serve(|n| n * n));
    /// // ... and in the same process or any other of this user:
    /// let squares = Requests::<u64, u64, Shared>::open(namespace, "squares", Config::default())?;
    /// assert_eq!(squares.client()?.request(7)?, 49);
    /// # thread.join().unwrap()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(
        namespace: impl Into<Namespace>,
        name: &str,
        config: Config,
    ) -> Result<Self, OpenError> {
        if config.servers > MAX_SERVERS || config.clients.saturating_add(config.servers) > MAX_SEATS
        {
            let what = "requests between processes have at most 65,536 clients and servers";
            return Err(CreateError::Conflict { what }.into());
        }
        shared::open(namespace.into(), name, &Wanted::<Q, R> { config, messages: PhantomData })
    }
}

/// What somebody who opens a place for requests wants.
struct Wanted<Q, R> {
    config: Config,
    messages: PhantomData<(Q, R)>,
}

impl<Q: Plain + Layout, R: Plain + Layout> Opened for Wanted<Q, R> {
    type Object = Requests<Q, R, Shared>;

    fn in_store(&self, store: &mut SegmentStore) -> Result<Requests<Q, R, Shared>, CreateError> {
        Requests::create_in(self.config, store)
    }

    fn description(&self) -> Description {
        let Config { clients, servers, outstanding, capacity, full, patience: _, wait, orphans } =
            self.config;
        let capacity = capacity.next_power_of_two();
        let limits = [
            R::HASH,
            clients as u64,
            servers as u64,
            outstanding as u64,
            capacity as u64,
            word_of_full(full),
            word_of_wait(wait),
            u64::from(orphans == Orphans::Lose),
        ];
        let text = format!(
            "requests of {}, replies of {}, clients {clients}, servers {servers}, outstanding \
             {outstanding}, capacity {capacity}, {full:?}, {wait:?}, {orphans:?}",
            Told::<Q>::new(),
            Told::<R>::new()
        );
        let place = Channel::<Ask<Q>, Shared>::message_at(&self.config.of_the_channel());
        let carried = Carried::of::<Q>(place + offset_of!(Ask<Q>, message));
        Description::new(Kind::Requests, Q::HASH, &limits, text).carrying(carried)
    }
}

// ---------------------------------------------------------------------------------- carrying

/// Where the two parts of a request lie.
fn parts<Q>(place: *mut Ask<Q>) -> (*mut [u32; 2], *mut Q) {
    let to = place.cast::<u8>().wrapping_add(offset_of!(Ask<Q>, to)).cast();
    let message = place.cast::<u8>().wrapping_add(offset_of!(Ask<Q>, message)).cast();
    (to, message)
}

// SAFETY: both parts are plain data, which are copied in and out, and checked when they come out;
// what lies between them is left alone.
unsafe impl<Q: Plain + Layout> Carries<Ask<Q>> for Shared {
    #[inline(always)]
    unsafe fn put(place: &Place<Ask<Q>>, ask: Ask<Q>) {
        let (to, message) = parts(place.to_write());
        // SAFETY: the place lies in a segment, is valid and aligned, and so are its parts.
        unsafe {
            plain::store(to, &ask.to.words());
            plain::store(message, &ask.message);
        }
    }

    #[inline(always)]
    unsafe fn get<E: From<Corrupt>>(place: &Place<Ask<Q>>) -> Result<Ask<Q>, E> {
        let (to, message) = parts(place.to_read().cast_mut());
        // SAFETY: as above.
        let (to, message) = unsafe { (plain::load_told(to)?, plain::load_told(message)?) };
        Ok(Ask { to: Correlation::of_words(to), message })
    }

    #[inline(always)]
    unsafe fn discard(_: &Place<Ask<Q>>) {}
}

impl<Q: Plain + Layout, R: Plain + Layout> Exchanges<Q, R> for Shared {
    const KEPT_WORDS: usize = size_of::<Q>().div_ceil(size_of::<u64>());

    fn keep(words: &[AtomicU64], message: &Q) {
        assert!(words.len() == <Self as Exchanges<Q, R>>::KEPT_WORDS);
        let place = words.as_ptr().cast_mut().cast::<Q>();
        // SAFETY: the words have room for it, and are atomic; what their alignment is makes no
        // difference to a copy.
        unsafe { plain::store(place, message) };
    }

    fn recall(words: &[AtomicU64]) -> Result<Q, Corrupt> {
        assert!(words.len() == <Self as Exchanges<Q, R>>::KEPT_WORDS);
        // SAFETY: as above.
        unsafe { plain::load_told(words.as_ptr().cast::<Q>()) }
    }

    fn addressed(place: &Place<Ask<Q>>) -> Ask<()> {
        let (to, _) = parts(place.to_read().cast_mut());
        // SAFETY: the place lies in a segment, is valid and aligned, and so are its parts.
        let words = unsafe { plain::load_told::<_, Corrupt>(to) };
        let to = words.map_or(Correlation::NONE, Correlation::of_words);
        Ask { to, message: () }
    }
}
