//! Pools between processes: buffers are sent as tickets.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use super::buffer::Out;
use super::shape::Buffers;
use super::{Borrower, Buffer, Config, Draft, Keeps, Pool, Pooled};
use crate::bells::due;
use crate::channel::{Loan, Receiver, Sender};
use crate::error::{Corrupt, CreateError, ReceiveError, SendError};
use crate::layout::{Field, Layout, Told};
use crate::object::{Attachment, Handle, Kept, Role};
use crate::plain::{self, Plain};
use crate::policy::Full;
use crate::ring::lot::Redeemed;
use crate::scope::{Carries, Place};
use crate::shared::{
    self, Description, Kind, Namespace, OpenError, Opened, SegmentStore, Shared, word_of_full,
    word_of_wait,
};

// ---------------------------------------------------------------------------------- tickets

/// A buffer of a pool on its way to another process: plain data, of one, for one.
///
/// [`Buffer::send`] and [`Borrower::receive`] take tickets through a channel of them. Within a
/// message of one's own it travels as words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Ticket([u64; 2]);

impl Ticket {
    fn new(lap: u64, index: u32, len: usize) -> Self {
        Self([lap, u64::from(index) << 32 | len as u64])
    }

    fn lap(self) -> u64 {
        self.0[0]
    }

    fn index(self) -> u32 {
        (self.0[1] >> 32) as u32
    }

    fn len(self) -> usize {
        self.0[1] as u32 as usize
    }

    /// Its words.
    pub fn words(self) -> [u64; 2] {
        self.0
    }

    /// Out of its words; any others are refused when it is redeemed.
    pub fn of_words(words: [u64; 2]) -> Self {
        Self(words)
    }
}

// SAFETY: two words are all that it is.
unsafe impl Layout for Ticket {
    const NAME: &'static str = "Ticket";
    const FIELDS: &'static [Field] = &[Field {
        name: "ticket of a pool",
        of: "array",
        offset: 0,
        size: size_of::<Ticket>(),
        hash: <[u64; 2]>::HASH,
        fields: <[u64; 2]>::FIELDS,
    }];
}

// SAFETY: it consists of words, which are copied in and out, and may be any.
unsafe impl Carries<Ticket> for Shared {
    unsafe fn put(place: &Place<Ticket>, value: Ticket) {
        // SAFETY: the place lies in a segment, is valid and aligned.
        unsafe { plain::store(place.to_write().cast(), &value.0) };
    }

    unsafe fn get<E: From<Corrupt>>(place: &Place<Ticket>) -> Result<Ticket, E> {
        // SAFETY: as above.
        unsafe { plain::load(place.to_read().cast()) }.map(Ticket)
    }

    unsafe fn discard(_: &Place<Ticket>) {}
}

/// Why a ticket brings no buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedeemError {
    /// It was redeemed before; or somebody died who may have had it, and the buffer was lent anew
    /// when no other was free.
    Stale,
    /// It is none of this pool.
    Corrupt,
}

impl fmt::Display for RedeemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stale => f.write_str(
                "the buffer of that ticket went to others meanwhile: redeem each ticket once, and \
                 make the pool larger than all rings that hold its tickets",
            ),
            Self::Corrupt => Corrupt.fmt(f),
        }
    }
}

impl Error for RedeemError {}

// ------------------------------------------------------------------------------------ scope

/// A buffer keeps the seat of its borrower, by which others tell that it died.
macro_rules! ties_seats {
    ($content:ty) => {
        type Seat = Arc<Attachment<Buffers<$content>, Shared>>;
        type Tie = Arc<Attachment<Buffers<$content>, Shared>>;

        fn seat(attachment: Attachment<Buffers<$content>, Shared>) -> Self::Seat {
            Arc::new(attachment)
        }

        fn tie(seat: &Self::Seat) -> Self::Tie {
            seat.clone()
        }

        #[inline(always)]
        fn kept(tie: &Self::Tie) -> &Kept<Buffers<$content>, Shared> {
            tie.kept()
        }

        fn seat_of(tie: &Self::Tie) -> usize {
            tie.seat()
        }

        /// Buffers begin as zeros.
        unsafe fn put_cell(_: &Place<<$content as Pooled>::Cell>, _: <$content as Pooled>::Cell) {}

        unsafe fn discard_cell(_: &Place<<$content as Pooled>::Cell>) {}
    };
}

impl<T: Plain + Layout> Keeps<T> for Shared {
    ties_seats!(T);
}

impl Keeps<[u8]> for Shared {
    ties_seats!([u8]);
}

// ------------------------------------------------------------------------------------- pool

impl Pool<[u8], Shared> {
    /// Opens the pool of that name, of buffers of so many bytes, or makes it if nobody has it.
    ///
    /// Both sides must agree about the size and about `config`, but for the time in
    /// [`Full::Block`], which is each side's own.
    ///
    /// # Errors
    /// [`OpenError`].
    ///
    /// ```
    /// use tautline_bus::{Shared, channel::{self, Channel}, pool::{Config, Pool, Ticket}};
    /// # let namespace = &format!("pool{}", std::process::id());
    /// let pool = Pool::<[u8], Shared>::open_bytes(namespace, "pool", 1 << 16, Config::default())?;
    /// let way = Channel::<Ticket, Shared>::open(namespace, "way", channel::Config::default())?;
    /// let (mut sender, mut receiver) = (way.sender()?, way.receiver()?);
    /// let mut borrower = pool.borrower()?;
    ///
    /// let mut draft = borrower.loan()?;
    /// draft.view_mut().copy_from(0, b"frame");     // where the other process reads it
    /// draft.freeze_to(5).send(&mut sender).unwrap();
    /// // ... in another process, with a borrower of its own:
    /// let frame = borrower.receive(&mut receiver)?;
    /// assert_eq!(frame.view().to_vec(), b"frame");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open_bytes(
        namespace: impl Into<Namespace>,
        name: &str,
        size: usize,
        config: Config,
    ) -> Result<Self, OpenError> {
        let told = format!("{size} bytes");
        open(namespace.into(), name, move || Buffers::of_bytes(config, size), config, 0, told)
    }
}

impl<T: Plain + Layout> Pool<T, Shared> {
    /// Opens the pool of that name, of buffers that hold a `T` each, or makes it if nobody has it.
    /// They begin as zeros, which may be no value of the type.
    ///
    /// Both sides must agree about the type and about `config`, but for the time in
    /// [`Full::Block`], which is each side's own.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        namespace: impl Into<Namespace>,
        name: &str,
        config: Config,
    ) -> Result<Self, OpenError> {
        let told = Told::<T>::new().to_string();
        open(namespace.into(), name, move || Buffers::new(config, 1), config, T::HASH, told)
    }
}

fn open<T: Pooled + ?Sized>(
    namespace: Namespace,
    name: &str,
    shape: impl Fn() -> Result<Buffers<T>, CreateError>,
    config: Config,
    layout: u64,
    told: String,
) -> Result<Pool<T, Shared>, OpenError>
where
    Shared: Keeps<T>,
{
    if config.borrowers > crate::ring::mortal::MAX_SEATS {
        let what = "a shared pool has at most 65,536 borrowers";
        return Err(CreateError::Conflict { what }.into());
    }
    let size = shape()?.size();
    shared::open(namespace, name, &Wanted { shape, config, layout, size, told })
}

/// What somebody who opens a pool wants.
struct Wanted<F> {
    shape: F,
    config: Config,
    layout: u64,
    size: usize,
    told: String,
}

impl<T: Pooled + ?Sized, F: Fn() -> Result<Buffers<T>, CreateError>> Opened for Wanted<F>
where
    Shared: Keeps<T>,
{
    type Object = Pool<T, Shared>;

    fn in_store(&self, store: &mut SegmentStore) -> Result<Pool<T, Shared>, CreateError> {
        Ok(Pool { handle: Handle::create_in((self.shape)()?, store)? })
    }

    fn description(&self) -> Description {
        let Config { buffers, borrowers, exhausted, wait } = self.config;
        let limits = [
            self.size as u64,
            buffers as u64,
            borrowers as u64,
            word_of_full(exhausted),
            word_of_wait(wait),
        ];
        let text = format!(
            "pool of {}, buffers {buffers}, borrowers {borrowers}, {exhausted:?}, {wait:?}",
            self.told
        );
        Description::new(Kind::Pool, self.layout, &limits, text)
    }
}

// --------------------------------------------------------------------------------- contents

impl<T: Plain + Layout> Draft<T, Shared> {
    /// Writes the content.
    pub fn write(&mut self, value: &T) {
        // SAFETY: the cell lies in a segment, is valid and aligned, and is this value's to write.
        unsafe { plain::store(self.out.cells()[0].to_write(), value) };
    }

    /// A copy of what is there: what was left in the buffer, or zeros.
    ///
    /// # Errors
    /// [`Corrupt`]: it is no value of the type.
    pub fn read(&self) -> Result<T, Corrupt> {
        read(&self.out)
    }
}

impl<T: Plain + Layout> Buffer<T, Shared> {
    /// A copy of the content.
    ///
    /// # Errors
    /// [`Corrupt`]: it is no value of the type.
    pub fn read(&self) -> Result<T, Corrupt> {
        read(&self.out)
    }

    /// Borrows the content where it lies, without a copy.
    ///
    /// # Safety
    /// It is a value of the type, and nobody writes it while it is borrowed: all processes that
    /// have the pool open are trusted to write nothing else, and to leave alone what is not theirs.
    pub unsafe fn trust(&self) -> &T {
        // SAFETY: mapped and aligned; the rest is the caller's promise.
        unsafe { &*self.out.cells()[0].to_read() }
    }
}

fn read<T: Plain + Layout>(out: &Out<T, Shared>) -> Result<T, Corrupt> {
    // SAFETY: the cell lies in a segment, is valid and aligned.
    unsafe { plain::load(out.cells()[0].to_read()) }
}

// ----------------------------------------------------------------------------------- sending

/// So many stale tickets does a borrower pass over before it says that there is no buffer for it:
/// another process may send such without end.
pub(super) const PASSED: usize = 64;

impl<T: Pooled + ?Sized> Buffer<T, Shared>
where
    Shared: Keeps<T>,
{
    /// Sends the buffer: a ticket goes through the channel, and the content stays where it is. Waits
    /// for room as the channel has it.
    ///
    /// A channel that everybody leaves takes its tickets along, and their buffers do not come back
    /// before the pool goes too: leave both together.
    ///
    /// # Errors
    /// [`SendError`], with the buffer.
    ///
    /// # Panics
    /// If the channel overwrites ([`Full::Overwrite`]): the buffers of tickets that are overwritten
    /// would come back no more.
    pub fn send(mut self, to: &mut Sender<Ticket, Shared>) -> Result<(), SendError<Self>> {
        assert!(
            to.full() != Full::Overwrite,
            "buffers must not go through a channel that overwrites"
        );
        let index = self.out.index;
        let lap = self.out.lot().offer(index);
        match to.send(Ticket::new(lap, index, self.out.len)) {
            Ok(()) => {
                self.out.lot().sent(index, lap);
                self.out.let_go();
                Ok(())
            }
            Err(error) => {
                self.out.lot().not_sent(index, lap);
                Err(error.map(|_| self))
            }
        }
    }

    /// Makes a ticket of the buffer, to be sent within a message of one's own. The buffer comes back
    /// when the ticket is redeemed and what that gives is dropped: a ticket that is lost keeps it
    /// away, which [`Buffer::send`] does not allow to happen.
    pub fn into_ticket(mut self) -> Ticket {
        let index = self.out.index;
        let lap = self.out.lot().offer(index);
        self.out.lot().sent(index, lap);
        self.out.let_go();
        Ticket::new(lap, index, self.out.len)
    }
}

impl<T: Pooled + ?Sized> Borrower<T, Shared>
where
    Shared: Keeps<T>,
{
    /// The buffer of a ticket.
    ///
    /// # Errors
    /// [`RedeemError`].
    pub fn redeem(&mut self, ticket: Ticket) -> Result<Buffer<T, Shared>, RedeemError> {
        let (seat, shape) = (self.seat(), self.seat().shape());
        seat.attend();
        let has_it = (ticket.index() as usize) < shape.config().buffers;
        if !has_it || ticket.len() > shape.size() {
            return Err(RedeemError::Corrupt);
        }
        let redeemed =
            match shape.lot(seat.parts(), seat.seat()).redeem(ticket.index(), ticket.lap()) {
                Redeemed::Now => true,
                Redeemed::By(_) => self.redeem_after_the_dead(ticket),
                Redeemed::Before => false,
            };
        if !redeemed {
            return Err(RedeemError::Stale);
        }
        // SAFETY: it was just redeemed, and has so many units.
        let out = unsafe { Out::new(Shared::tie(seat), ticket.index(), ticket.len()) };
        Ok(Buffer { out })
    }

    /// Somebody has the buffer of that ticket, who may have died.
    #[cold]
    fn redeem_after_the_dead(&self, ticket: Ticket) -> bool {
        let seat = self.seat();
        seat.look_after_the_dead();
        let (index, lap) = (ticket.index(), ticket.lap());
        let lot = seat.shape().lot(seat.parts(), seat.seat());
        match lot.redeem(index, lap) {
            Redeemed::Now => true,
            // Another has found the dead first, and will not find this buffer with it.
            Redeemed::By(dead) if seat.parts().is_being_cleared(Role::Taker, dead) => {
                lot.inherit(index, lap, dead) || lot.redeem(index, lap) == Redeemed::Now
            }
            // Or it has just done so.
            Redeemed::By(_) => lot.redeem(index, lap) == Redeemed::Now,
            Redeemed::Before => false,
        }
    }

    /// Receives a buffer: its ticket stays in the channel until it is redeemed, so that nothing is
    /// lost should this process die meanwhile. Waits for one as the channel has it. Tickets that
    /// are stale are passed over.
    ///
    /// What had been on loan to a process that died comes again, which
    /// [`Receiver::is_redelivered`] tells; unless it had given the buffer back.
    ///
    /// # Errors
    /// [`ReceiveError`].
    pub fn receive(
        &mut self,
        from: &mut Receiver<Ticket, Shared>,
    ) -> Result<Buffer<T, Shared>, ReceiveError> {
        let due = due(from.patience());
        loop {
            match self.try_receive(from) {
                Err(ReceiveError::Empty) => from.wait_until(due)?,
                done => return done,
            }
        }
    }

    /// Receives a buffer if there is one.
    ///
    /// # Errors
    /// [`ReceiveError`]; [`ReceiveError::Empty`] also when it has passed over so many stale tickets
    /// that it is left to the next call to find what is behind them.
    pub fn try_receive(
        &mut self,
        from: &mut Receiver<Ticket, Shared>,
    ) -> Result<Buffer<T, Shared>, ReceiveError> {
        for _ in 0..PASSED {
            let loan = from.take()?;
            match self.redeem(loan.copy_out()?) {
                Ok(buffer) => return Ok(buffer),
                Err(RedeemError::Stale) => {}
                Err(RedeemError::Corrupt) => return Err(ReceiveError::Corrupt),
            }
        }
        Err(ReceiveError::Empty)
    }
}

impl Loan<'_, Ticket, Shared> {
    /// The ticket, to be redeemed while the loan lasts: should this process die meanwhile it comes
    /// again, and brings its buffer again.
    ///
    /// # Errors
    /// [`Corrupt`].
    pub fn ticket(&self) -> Result<Ticket, Corrupt> {
        self.copy_out()
    }
}

impl<T: Pooled + ?Sized> fmt::Debug for Draft<T, Shared>
where
    Shared: Keeps<T>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft").field("len", &self.out.len).finish_non_exhaustive()
    }
}

impl<T: Pooled + ?Sized> fmt::Debug for Buffer<T, Shared>
where
    Shared: Keeps<T>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("len", &self.out.len).finish_non_exhaustive()
    }
}
