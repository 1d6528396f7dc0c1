//! What a bus object is: memory that several users share, a limit on the users of each kind, and
//! handles that name it.
//!
//! A [`Handle`] names an object and can be cloned; it can do nothing else. To use the object one
//! attaches, which takes one of a bounded number of *seats* for its kind of users; dropping the
//! [`Attachment`] gives the seat back. All objects of this crate are made so, and a program's own
//! type becomes one by [`Object`].

use std::fmt;

use crate::error::{AttachError, CreateError};
pub(crate) use crate::scope::boxed;
use crate::scope::{Attention, Heap, InProcess, Keep, Scope, Shelf, Store, Word};
use crate::sync::Ordering;
use crate::waker::WakerCell;

/// The two kinds of users of an object, as indices of what is kept for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Those who give: senders, publishers, clients.
    Giver = 0,
    /// Those who take: receivers, subscribers, servers.
    Taker = 1,
}

impl Role {
    /// The other one.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Giver => Self::Taker,
            Self::Taker => Self::Giver,
        }
    }
}

/// What makes a type a bus object in the scope `S`: limits, layout and teardown.
///
/// The memory of an object has three parts: one head, some rows (one for each user, say) and some
/// slots. They are made when the object is, shared by its users, and never grow. The value itself
/// is the object's *shape*: what was decided when it was made.
///
/// An object of one's own: `examples/own_object.rs`.
pub trait Object<S: Scope>: fmt::Debug + Sized + 'static {
    /// What it is, for messages: "channel".
    const KIND: &'static str;
    /// What its users are called, in the order of [`Role`]: `["sender", "receiver"]`. An object
    /// that has no users of a kind calls them `""`.
    const USERS: [&'static str; 2];

    /// What all users share.
    type Head;
    /// What is kept for each of some.
    type Row;
    /// What is kept many times.
    type Slot;
    /// A slot as [`slot`](Self::slot) makes it holds no value at all: any bytes will do.
    const SLOTS_ARE_BLANK: bool = false;

    /// How many users of each kind there may be at once.
    fn limits(&self) -> [usize; 2];

    /// How many wakers are kept for each kind: one for each user, and more behind those where a
    /// user waits for several things.
    #[doc(hidden)]
    fn wakers(&self) -> [usize; 2] {
        self.limits()
    }

    /// The head as it begins.
    fn head(&self) -> Self::Head;

    /// How many rows there are.
    fn rows(&self) -> usize;

    /// A row as it begins.
    fn row(&self, index: usize) -> Self::Row;

    /// How many slots there are.
    fn slots(&self) -> usize;

    /// A slot as it begins.
    fn slot(&self, index: usize) -> Self::Slot;

    /// A user comes: its seat is its own from now on.
    fn attached(&self, parts: &Parts<Self, S>, role: Role, seat: usize) {
        _ = (parts, role, seat);
    }

    /// A user has died without detaching: what it has left half done is put in order here. Another
    /// user may come to the same end at the same time, or die over it: twice is as good as once.
    fn died(&self, parts: &Parts<Self, S>, role: Role, seat: usize) {
        _ = (parts, role, seat);
    }

    /// A user goes: its seat is given up after this.
    fn detached(&self, parts: &Parts<Self, S>, role: Role, seat: usize) {
        _ = (parts, role, seat);
    }

    /// A user has gone: its seat is free.
    fn left(&self, parts: &Parts<Self, S>, role: Role) {
        _ = (parts, role);
    }

    /// No user of that kind is there any more, and none can come, for there is no handle either.
    fn gone(&self, parts: &Parts<Self, S>, role: Role) {
        _ = (parts, role);
    }

    /// Nobody can reach the object any more: what the slots still hold must be dropped here.
    fn teardown(&self, parts: &Parts<Self, S>) {
        _ = parts;
    }
}

/// The memory of an object.
pub struct Parts<O: Object<S>, S: Scope> {
    /// What all users share.
    pub head: S::One<O::Head>,
    /// What is kept for each of some.
    pub rows: S::Array<O::Row>,
    /// What is kept many times.
    pub slots: S::Array<O::Slot>,
    seats: Seats<S>,
    /// Handles, and users of that kind: who can give, and who can take, now or later.
    alive: [S::Word; 2],
    wakers: [Box<[S::Waker]>; 2],
    keep: S::Keep,
}

impl<O: Object<S>, S: Scope> Parts<O, S> {
    fn of(shape: &O, store: &mut S::Store) -> Result<Self, CreateError> {
        let boxed_wakers = |count| boxed(O::KIND, "wakers", count, |_| S::Waker::new());
        let (limits, wakers) = (shape.limits(), shape.wakers());
        Ok(Self {
            alive: [S::Word::new(0), S::Word::new(0)],
            wakers: [boxed_wakers(wakers[0])?, boxed_wakers(wakers[1])?],
            head: store.one(|| shape.head())?,
            rows: store.array(O::KIND, "rows", shape.rows(), |index| shape.row(index))?,
            slots: match O::SLOTS_ARE_BLANK {
                true => store.blanks(O::KIND, "slots", shape.slots(), |at| shape.slot(at))?,
                false => store.array(O::KIND, "slots", shape.slots(), |at| shape.slot(at))?,
            },
            seats: Seats::new(O::KIND, O::USERS, limits, store)?,
            keep: store.keep(),
        })
    }

    /// Users of that kind that are attached, at this moment.
    pub fn users(&self, role: Role) -> usize {
        self.seats.taken(role)
    }

    /// Whether there is a user of that kind. Who finds none sees all that they have done.
    pub(crate) fn has_user(&self, role: Role) -> bool {
        // Acquire pairs with the Release in `give_up`.
        self.seats.of(role).iter().any(|word| word.load(Ordering::Acquire) != FREE)
    }

    /// Whether there is a user of that kind, or a handle by which one may come.
    #[inline(always)]
    pub fn can_come(&self, role: Role) -> bool {
        // By a name, anybody may come at any time.
        if S::MORTAL {
            return true;
        }
        // Acquire pairs with the Release in `leave`: who sees that nobody is left sees all that
        // they have done.
        self.alive[role as usize].load(Ordering::Acquire) != 0
    }

    /// Where the users of that kind leave their wakers, by their seats.
    #[doc(hidden)]
    #[inline(always)]
    pub fn wakers(&self, role: Role) -> &[S::Waker] {
        &self.wakers[role as usize]
    }

    /// Whether somebody clears that seat just now of one who has died.
    #[cfg(not(loom))]
    pub(crate) fn is_being_cleared(&self, role: Role, seat: usize) -> bool {
        // Acquire pairs with the Release of whoever takes or cleared the seat before.
        let word = self.seats.of(role).get(seat).map(|word| word.load(Ordering::Acquire));
        word.is_some_and(|word| word & REAPING != 0)
    }

    /// As somebody leaves that seat who begins to clear it, for tests.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn begin_to_clear(&self, role: Role, seat: usize) {
        self.seats.of(role)[seat].store(S::user() | REAPING, Ordering::Release);
    }

    /// Counts a handle or a user among those who can reach the object in `roles`.
    fn enter(&self, roles: &[Role]) {
        if S::MORTAL {
            return;
        }
        for role in roles {
            // Relaxed: who comes is counted by somebody who is counted already.
            self.alive[*role as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts it no more; says so to the shape if it was the last.
    fn leave(&self, shape: &O, roles: &[Role]) {
        if S::MORTAL {
            return;
        }
        for role in roles {
            // AcqRel: Release pairs with the Acquire in `can_come`; Acquire, for the last one.
            let before = self.alive[*role as usize].fetch_add(u64::MAX, Ordering::AcqRel);
            debug_assert_ne!(before, 0);
            if before == 1 {
                shape.gone(self, *role);
            }
        }
    }

    /// Clears the seats of users who have died.
    #[cold]
    fn reap(&self, shape: &O) {
        for role in BOTH {
            for (seat, word) in self.seats.of(role).iter().enumerate() {
                // Acquire pairs with the Release of whoever took or cleared the seat.
                let user = word.load(Ordering::Acquire);
                if user == FREE || !self.keep.has_ended(user) {
                    continue;
                }
                let reaping = S::user() | REAPING;
                // Acquire: what the dead user has done is seen; only one of us clears its seat.
                if word
                    .compare_exchange(user, reaping, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
                {
                    shape.died(self, role, seat);
                    self.seats.give_up(role, seat);
                }
            }
        }
    }

    /// One more than the highest seat of that kind that was ever taken.
    pub fn seats_used(&self, role: Role) -> usize {
        self.seats.used(role)
    }
}

impl<O: Object<S>, S: Scope> fmt::Debug for Parts<O, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(O::KIND)
            .field("rows", &self.rows.len())
            .field("slots", &self.slots.len())
            .field("seats", &self.seats)
            .finish_non_exhaustive()
    }
}

// ----------------------------------------------------------------------------------- seats

/// Who uses an object: a bounded table of seats for each kind of users.
struct Seats<S: Scope> {
    users: [&'static str; 2],
    /// The user in each seat, or [`FREE`]; the givers' first.
    words: S::Array<S::Word>,
    givers: usize,
    /// One more than the highest seat ever taken, for each kind.
    used: S::Array<S::Word>,
    /// What those in the seats are called.
    names: S::Shelf<Box<[Option<Box<str>>]>>,
}

/// A seat that nobody has.
const FREE: u64 = 0;

/// Set in a seat while the user that stands beside it clears it of one who has died.
pub(crate) const REAPING: u64 = 1 << 63;

impl<S: Scope> Seats<S> {
    fn new(
        kind: &'static str,
        users: [&'static str; 2],
        limits: [usize; 2],
        store: &mut S::Store,
    ) -> Result<Self, CreateError> {
        for (user, limit) in users.into_iter().zip(limits) {
            if limit == 0 && !user.is_empty() {
                return Err(CreateError::NoUsers { kind, user });
            }
        }
        let all = limits[0].saturating_add(limits[1]);
        Ok(Self {
            users,
            words: store.array(kind, "seats", all, |_| S::Word::new(FREE))?,
            givers: limits[0],
            used: store.array(kind, "counts", 2, |_| S::Word::new(0))?,
            names: S::Shelf::new(boxed(kind, "names", all, |_| None)?),
        })
    }

    fn of(&self, role: Role) -> &[S::Word] {
        match role {
            Role::Giver => &self.words[..self.givers],
            Role::Taker => &self.words[self.givers..],
        }
    }

    fn index(&self, role: Role, seat: usize) -> usize {
        seat + if role == Role::Taker { self.givers } else { 0 }
    }

    /// Takes the lowest free seat.
    fn take(&self, role: Role, name: Option<&str>) -> Result<usize, AttachError> {
        let me = S::user();
        debug_assert_ne!(me, FREE);
        for (seat, word) in self.of(role).iter().enumerate() {
            // Acquire pairs with the Release in `give_up`: what the last user of this seat has
            // done is seen by the next.
            if word.compare_exchange(FREE, me, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                self.note_use(role, seat + 1);
                let index = self.index(role, seat);
                self.names
                    .with(|names| names[index] = Some(name.map_or_else(default_name, Box::from)));
                return Ok(seat);
            }
        }
        Err(self.full(role))
    }

    /// Raises the number of seats that were ever used.
    fn note_use(&self, role: Role, count: usize) {
        let used = &self.used[role as usize];
        let count = count as u64;
        // Relaxed: the exchange meets the latest value. Release, where it is raised, lets who
        // sees the number see the seat as well.
        let mut now = used.load(Ordering::Relaxed);
        while now < count {
            match used.compare_exchange(now, count, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(other) => now = other,
            }
        }
    }

    fn used(&self, role: Role) -> usize {
        // Acquire pairs with the Release in `note_use`.
        self.used[role as usize].load(Ordering::Acquire) as usize
    }

    fn give_up(&self, role: Role, seat: usize) {
        let index = self.index(role, seat);
        self.names.with(|names| names[index] = None);
        // Release pairs with the Acquire in `take`.
        self.of(role)[seat].store(FREE, Ordering::Release);
    }

    fn taken(&self, role: Role) -> usize {
        // Relaxed: a hint, old by the time that it is used.
        self.of(role).iter().filter(|word| word.load(Ordering::Relaxed) != FREE).count()
    }

    #[cold]
    fn full(&self, role: Role) -> AttachError {
        let limit = self.of(role).len();
        let first = self.index(role, 0);
        let holders = self.names.with(|names| {
            let names = names[first..first + limit].iter();
            let seats = names.zip(self.of(role).iter());
            // Relaxed: a hint, old by the time that it is read.
            seats
                .filter_map(|(name, word)| told(name.as_deref(), word.load(Ordering::Relaxed)))
                .collect()
        });
        AttachError { user: self.users[role as usize], limit, holders }
    }
}

/// What the user in a seat is called: by its name, or, if it is of another process, by that.
fn told(name: Option<&str>, user: u64) -> Option<String> {
    match name {
        Some(name) => Some(name.to_owned()),
        None if user == FREE => None,
        None => Some(format!("process {}", user & 0x3f_ffff)),
    }
}

/// What a user is called that has no name of its own.
fn default_name() -> Box<str> {
    let thread = std::thread::current();
    thread.name().map_or_else(|| format!("{:?}", thread.id()).into(), Box::from)
}

impl<S: Scope> fmt::Debug for Seats<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.names.with(|names| names.iter().flatten().cloned().collect::<Vec<_>>());
        f.debug_list().entries(names).finish()
    }
}

// --------------------------------------------------------------------------------- handles

/// An object and its memory.
#[doc(hidden)]
pub struct Kept<O: Object<S>, S: Scope> {
    pub(crate) shape: O,
    pub(crate) parts: Parts<O, S>,
}

impl<O: Object<S>, S: Scope> fmt::Debug for Kept<O, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Kept").field(&self.parts).finish()
    }
}

impl<O: Object<S>, S: Scope> Drop for Kept<O, S> {
    fn drop(&mut self) {
        // Where others may still use the memory it is not torn down, and holds nothing to drop.
        if !S::MORTAL {
            self.shape.teardown(&self.parts);
        }
    }
}

/// The name of an object: can be cloned, given to others of its scope, and attached to.
///
/// The object lives as long as any handle or attachment.
pub struct Handle<O: Object<S>, S: Scope> {
    kept: S::Shared<Kept<O, S>>,
}

/// Whoever has a handle may give and take.
const BOTH: [Role; 2] = [Role::Giver, Role::Taker];

impl<O: Object<S>, S: Scope> Handle<O, S> {
    fn to(kept: S::Shared<Kept<O, S>>) -> Self {
        kept.parts.enter(&BOTH);
        Self { kept }
    }
}

impl<O: Object<S>, S: Scope> Clone for Handle<O, S> {
    fn clone(&self) -> Self {
        Self::to(self.kept.clone())
    }
}

impl<O: Object<S>, S: Scope> Drop for Handle<O, S> {
    fn drop(&mut self) {
        self.kept.parts.leave(&self.kept.shape, &BOTH);
    }
}

impl<O: Object<S>, S: Scope> fmt::Debug for Handle<O, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("scope", &S::NAME)
            .field("shape", &self.kept.shape)
            .field("parts", &self.kept.parts)
            .finish()
    }
}

impl<O: Object<S>, S: Scope> Handle<O, S> {
    /// Makes an object of that shape.
    ///
    /// # Errors
    /// [`CreateError`].
    pub fn create(shape: O) -> Result<Self, CreateError>
    where
        S: InProcess,
    {
        Self::create_in(shape, &mut Heap)
    }

    /// The same in memory of that store.
    pub(crate) fn create_in(shape: O, store: &mut S::Store) -> Result<Self, CreateError> {
        let parts = Parts::of(&shape, store)?;
        Ok(Self::to(S::share(Kept { shape, parts })))
    }

    /// Takes a seat of that kind, under the name of the thread that calls.
    ///
    /// # Errors
    /// [`AttachError`], when all seats of that kind are taken.
    pub fn attach(&self, role: Role) -> Result<Attachment<O, S>, AttachError> {
        self.attach_as(role, None)
    }

    /// The same under a name, which errors tell to those who find no seat.
    ///
    /// # Errors
    /// [`AttachError`].
    pub fn attach_as(
        &self,
        role: Role,
        name: Option<&str>,
    ) -> Result<Attachment<O, S>, AttachError> {
        if S::MORTAL {
            self.kept.parts.reap(&self.kept.shape);
        }
        let seat = self.kept.parts.seats.take(role, name)?;
        self.kept.parts.enter(&[role]);
        self.kept.shape.attached(&self.kept.parts, role, seat);
        Ok(Attachment { kept: self.kept.clone(), role, seat, attention: S::Attention::new() })
    }

    /// What was decided when the object was made.
    pub fn shape(&self) -> &O {
        &self.kept.shape
    }

    /// Its memory.
    pub fn parts(&self) -> &Parts<O, S> {
        &self.kept.parts
    }
}

/// A seat at an object, and with it the right to use it. Dropping it detaches.
pub struct Attachment<O: Object<S>, S: Scope> {
    kept: S::Shared<Kept<O, S>>,
    role: Role,
    seat: usize,
    attention: S::Attention,
}

impl<O: Object<S>, S: Scope> Attachment<O, S> {
    /// Looks, now and then, whether another user has died, and clears its seat if so. For those
    /// who send or look in passing: of calls that follow each other fast, only some find out whether
    /// it is time to. Costs nothing where users cannot die.
    #[inline(always)]
    pub fn attend(&self) {
        if S::MORTAL && self.attention.is_due_in_passing() {
            self.kept.parts.reap(&self.kept.shape);
        }
    }

    /// The same for those who wait, whose next look may be a sleep away.
    #[inline(always)]
    pub fn attend_in_wait(&self) {
        if S::MORTAL && self.attention.is_due() {
            self.kept.parts.reap(&self.kept.shape);
        }
    }

    /// Looks at once whether another user has died, for one who has found something that only the
    /// dead leave.
    #[cold]
    pub(crate) fn look_after_the_dead(&self) {
        if S::MORTAL {
            self.kept.parts.reap(&self.kept.shape);
        }
    }

    /// What was decided when the object was made.
    #[inline(always)]
    pub fn shape(&self) -> &O {
        &self.kept.shape
    }

    /// Its memory.
    #[inline(always)]
    pub fn parts(&self) -> &Parts<O, S> {
        &self.kept.parts
    }

    /// The seat, from 0; below the limit of its kind.
    #[inline(always)]
    pub fn seat(&self) -> usize {
        self.seat
    }

    /// Another handle to the object.
    pub fn handle(&self) -> Handle<O, S> {
        Handle::to(self.kept.clone())
    }

    /// The object and its memory, which stay for as long as this or a clone of it does.
    pub(crate) fn kept(&self) -> &S::Shared<Kept<O, S>> {
        &self.kept
    }
}

impl<O: Object<S>, S: Scope> Drop for Attachment<O, S> {
    fn drop(&mut self) {
        self.kept.shape.detached(&self.kept.parts, self.role, self.seat);
        self.kept.parts.wakers[self.role as usize][self.seat].clear();
        self.kept.parts.seats.give_up(self.role, self.seat);
        self.kept.shape.left(&self.kept.parts, self.role);
        self.kept.parts.leave(&self.kept.shape, &[self.role]);
    }
}

impl<O: Object<S>, S: Scope> fmt::Debug for Attachment<O, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment")
            .field("to", &O::KIND)
            .field("role", &self.role)
            .field("seat", &self.seat)
            .finish()
    }
}
