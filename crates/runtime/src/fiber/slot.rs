//! One fiber, and the table of all.
//!
//! ```text
//!            spawn            a stack for it           returns, panics
//!   Free ───────────▶ New ───────────────────▶ Running ────────────────▶ Over ──▶ Free
//!                      │  none: Waiting ──▶ ┘    │   ▲                     joined or let go
//!                      │                  suspend│   │resume
//!                      │                         ▼   │
//!                      └── cancelled ──▶ Over   Parked ──wake──▶ Ready
//! ```

use std::any::Any;
use std::borrow::Cow;
use std::cell::{Cell, Ref, RefCell, UnsafeCell};
use std::mem::{MaybeUninit, offset_of};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};

use corosensei::{Coroutine, Yielder};
use tautline_buffer::Region;

use crate::error::Error;
use crate::fiber::baton::Baton;
use crate::fiber::cancel::Unwinding;
use crate::fiber::join::Joiner;
use crate::fiber::local::Locals;
use crate::fiber::scope::Children;
use crate::fiber::stack::{FiberStack, Stack, StackId};
use crate::fiber::wait::WakerCell;
use crate::slab::{Key, NONE};
use crate::task::{discard, panic_message};

/// A fiber's way between its stack and the loop's.
pub(super) type Routine = Coroutine<(), (), (), FiberStack>;

/// Which ready fibers run first.
///
/// Within a band each runs in its turn. Each of the lower bands gets at least a sixteenth of what
/// `Budgets::fibers` allows in a turn, so that none starves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Band {
    /// Before all others.
    High,
    /// Unless told otherwise.
    #[default]
    Normal,
    /// When nothing else is ready.
    Low,
}

/// How many bands there are.
pub(super) const BANDS: usize = 3;

/// Where a fiber stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Spawned, not reached by the scheduler yet.
    New,
    /// Spawned, and no stack of its class is left.
    AwaitingStack,
    /// In the run queue.
    Ready,
    /// Running: that is the one that asks.
    Running,
    /// Waiting for something.
    Parked,
    /// Over; its result has not been fetched.
    Over,
}

/// How far a cancellation has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cancel {
    No,
    /// It is to be delivered at the next suspension point.
    Asked,
    /// It was delivered: the fiber unwinds, has unwound, or has been told by an error.
    Delivered,
}

/// How a fiber ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// Its result is in the room.
    Returned,
    /// What it panicked with is in the room.
    Panicked,
    /// It was unwound by a cancellation, or never began.
    Cancelled,
}

/// What is to be done with what lies in a fiber's room.
pub(super) struct Entry {
    /// Takes the work out of the room, does it, and leaves its result there.
    pub(super) run: unsafe fn(Room) -> End,
    /// Drops work that was never begun.
    pub(super) drop_work: unsafe fn(Room),
    /// Takes a result that nobody fetches out of the room, says that this is free, and drops it.
    pub(super) drop_result: unsafe fn(Room, &mut dyn FnMut()),
}

/// Where a fiber's work lies before it begins, and its result afterwards. What is larger, or
/// aligned to more than 16, lies in a box in there.
#[derive(Clone, Copy)]
pub(super) struct Room {
    place: NonNull<u8>,
    bytes: usize,
}

/// The room's alignment.
const ROOM_ALIGN: usize = 16;

impl Room {
    /// Whether a `T` lies in the room itself.
    #[inline]
    pub(super) fn fits<T>(self) -> bool {
        size_of::<T>() <= self.bytes && align_of::<T>() <= ROOM_ALIGN
    }

    /// Puts a value in.
    ///
    /// # Safety
    /// The room is empty and its fiber's slot in use.
    #[inline]
    pub(super) unsafe fn put<T>(self, value: T) {
        // SAFETY: the caller's promise; `fits` says that there is room, which every room has
        // for a box.
        unsafe {
            if self.fits::<T>() {
                self.place.cast::<T>().write(value);
            } else {
                self.place.cast::<Box<T>>().write(Box::new(value));
            }
        }
    }

    /// Takes the value out.
    ///
    /// # Safety
    /// The room holds a `T`, and from now on nothing.
    #[inline]
    pub(super) unsafe fn take<T>(self) -> T {
        // SAFETY: the caller's promise; the place is the one that `put` has chosen.
        unsafe {
            if self.fits::<T>() {
                self.place.cast::<T>().read()
            } else {
                *self.place.cast::<Box<T>>().read()
            }
        }
    }
}

/// One fiber. All of it belongs to the loop's thread; cells, because a fiber and what it calls
/// look at it while the scheduler does.
#[repr(C)]
pub(crate) struct Slot {
    /// Initialised from the start of the fiber to its end.
    pub(super) routine: UnsafeCell<MaybeUninit<Routine>>,
    /// The stack that it is on, as long as `routine` is there.
    pub(super) stack: Cell<Option<StackId>>,
    /// Valid as long as `routine`.
    pub(super) yielder: Cell<*const Yielder<(), ()>>,
    /// The next in the queue that it is in, or of the free slots.
    pub(super) next: Cell<*const Self>,
    /// The one before it, in a line.
    pub(super) before: Cell<*const Self>,
    pub(super) index: u32,
    /// The loop that it is of.
    pub(super) core: u64,
    /// Counts the tenants.
    pub(super) generation: Cell<u32>,
    /// Where it stands; meaningless for a free slot.
    pub(super) state: Cell<State>,
    /// Whether the slot has a tenant.
    pub(super) taken: Cell<bool>,
    pub(super) band: Cell<Band>,
    pub(super) class: Cell<Stack>,
    pub(super) cancel: Cell<Cancel>,
    /// Cancellation comes as errors alone.
    pub(super) by_error: Cell<bool>,
    /// Nobody will fetch the result.
    pub(super) detached: Cell<bool>,
    pub(super) end: Cell<End>,
    /// Parts of it that must not be suspended in: how many it is in.
    pub(super) undivided: Cell<u32>,
    /// Calls that were refused since it was cancelled.
    pub(super) refused: Cell<u32>,
    /// Bytes that it had used of its stack when it ended, where that is measured; nought for one
    /// that never began. Meaningless before.
    pub(super) mark: Cell<usize>,
    /// What it is called by the watch: the name that it was given, if that lives for ever, else
    /// the type of its work. Messages use [`Slot::told_name`].
    pub(super) name: Cell<&'static str>,
    pub(super) entry: Cell<&'static Entry>,
    /// The operation that it waits for.
    pub(super) operation: Cell<Option<Key>>,
    /// The call that it waits in, while it is parked.
    pub(super) call: Cell<&'static str>,
    /// What `park` waits for and `unpark` posts.
    pub(super) token: Baton,
    /// Who is told of its end.
    pub(super) joiner: Cell<Joiner>,
    /// The scope that it is a child of.
    pub(super) scope: Cell<*const Children>,
    /// The innermost of the scopes that it has open: a place in its own frames. Null: none.
    pub(super) innermost: Cell<*const Children>,
    /// The other children of its scope, in both directions.
    pub(super) siblings: Cell<(u32, u32)>,
    /// A name of its own that was put together at run time. Changed only where nobody is told
    /// it: when a tenancy begins and when it ends.
    pub(super) label: RefCell<Option<Box<str>>>,
    pub(super) locals: Locals,
    /// Shared with wakers that futures keep. Outlives tenants, for the next to use.
    pub(super) waker: WakerCell,
}

impl Slot {
    fn new(index: u32, core: u64) -> Self {
        Self {
            routine: UnsafeCell::new(MaybeUninit::uninit()),
            stack: Cell::new(None),
            yielder: Cell::new(ptr::null()),
            next: Cell::new(ptr::null()),
            before: Cell::new(ptr::null()),
            index,
            core,
            generation: Cell::new(0),
            state: Cell::new(State::Over),
            taken: Cell::new(false),
            band: Cell::new(Band::Normal),
            class: Cell::new(Stack::Small),
            cancel: Cell::new(Cancel::No),
            by_error: Cell::new(false),
            detached: Cell::new(false),
            end: Cell::new(End::Cancelled),
            undivided: Cell::new(0),
            refused: Cell::new(0),
            mark: Cell::new(0),
            name: Cell::new(""),
            entry: Cell::new(&NOTHING),
            operation: Cell::new(None),
            call: Cell::new(""),
            token: Baton::new(),
            joiner: Cell::new(Joiner::None),
            scope: Cell::new(ptr::null()),
            innermost: Cell::new(ptr::null()),
            siblings: Cell::new((NONE, NONE)),
            label: RefCell::new(None),
            locals: Locals::default(),
            waker: WakerCell::default(),
        }
    }

    /// The scope that it is a child of. A scope waits for its children, so it is there.
    #[inline]
    pub(super) fn scope(&self) -> Option<&Children> {
        // SAFETY: null, or the scope's own, which stays where it is until all children are gone.
        unsafe { self.scope.get().as_ref() }
    }

    /// Whether a cancellation unwinds it.
    #[inline]
    pub(super) fn unwinds(&self) -> bool {
        cfg!(panic = "unwind") && !self.by_error.get()
    }

    /// Drops its own values, on its own stack.
    #[cold]
    pub(super) fn drop_locals(&self) {
        while let Err(payload) = catch_unwind(AssertUnwindSafe(|| self.locals.clear())) {
            // A cancellation that was delivered to one is for all.
            if !payload.is::<Unwinding>() {
                let message = panic_message(payload.as_ref());
                let name = self.told_name();
                log::error!("a local value of the fiber `{name}` panicked: {message}");
            }
            discard(payload);
        }
    }

    /// What every message calls it.
    pub(super) fn told_name(&self) -> Ref<'_, str> {
        Ref::map(self.label.borrow(), |label| label.as_deref().unwrap_or(self.name.get()))
    }

    /// The same, kept for messages that come after its slot is free.
    #[inline]
    pub(super) fn take_name(&self) -> Cow<'static, str> {
        match self.label.take() {
            None => self.name.get().into(),
            Some(label) => label.into_string().into(),
        }
    }

    /// Names this tenant.
    #[inline]
    pub(super) fn key(&self) -> Key {
        Key { index: self.index, generation: self.generation.get() }
    }

    /// What it panicked with, taken out.
    ///
    /// # Safety
    /// It ended by a panic, and this is called once.
    pub(super) unsafe fn payload(room: Room) -> Box<dyn Any + Send> {
        // SAFETY: the caller's promise: that is what `run` has left there.
        unsafe { room.take() }
    }
}

/// Of a slot that was never used.
static NOTHING: Entry =
    Entry { run: |_| End::Cancelled, drop_work: |_| (), drop_result: |_, _| () };

/// Where the room begins.
const ROOM_AT: usize = size_of::<Slot>().next_multiple_of(ROOM_ALIGN);

/// Slots begin on lines of their own.
const LINE: usize = 64;

const _: () = {
    assert!(offset_of!(Slot, routine) == 0, "what a switch needs comes first");
    assert!(align_of::<Slot>() <= ROOM_ALIGN);
};

/// The table: as many slots as the configuration says, each with its room. Memory is touched
/// at first use; slots never move.
pub(super) struct Slots {
    region: Region,
    /// The loop that it is of.
    core: u64,
    /// Bytes from one slot to the next.
    stride: usize,
    /// Bytes of a room.
    room: usize,
    limit: u32,
    /// Slots from here on were never used.
    fresh: Cell<u32>,
    /// Most recently freed, or null.
    free: Cell<*const Slot>,
}

impl Slots {
    /// Room for `limit` fibers of the loop `core`, each with `room` bytes for its work and
    /// result.
    pub(super) fn new(core: u64, limit: usize, room: usize) -> Result<Self, Error> {
        let room = room.next_multiple_of(ROOM_ALIGN);
        let stride = (ROOM_AT + room).next_multiple_of(LINE);
        let region = Region::new(stride.saturating_mul(limit));
        let region = region.map_err(|error| Error::System {
            call: "memory for the table of fibers",
            source: std::io::Error::other(error),
        })?;
        let (fresh, free) = (Cell::new(0), Cell::new(ptr::null()));
        Ok(Self { region, core, stride, room, limit: limit as u32, fresh, free })
    }

    #[inline]
    fn at(&self, index: u32) -> NonNull<Slot> {
        let place = self.region.as_ptr().wrapping_add(index as usize * self.stride);
        // SAFETY: the region is mapped, so no address in it is null.
        unsafe { NonNull::new_unchecked(place.cast()) }
    }

    /// The slot at `index`, which was in use at some time.
    #[inline]
    pub(super) fn slot(&self, index: u32) -> &Slot {
        debug_assert!(index < self.fresh.get(), "a slot that was used");
        // SAFETY: slots below `fresh` are initialised, and live as long as the table. Nobody
        // has them by a mutable reference.
        unsafe { self.at(index).as_ref() }
    }

    /// The room of a slot.
    #[inline]
    pub(super) fn room(&self, slot: &Slot) -> Room {
        let place = self.at(slot.index).as_ptr().cast::<u8>().wrapping_add(ROOM_AT);
        // SAFETY: as in `at`.
        Room { place: unsafe { NonNull::new_unchecked(place) }, bytes: self.room }
    }

    /// The fiber of that name, unless its slot has another tenant or none.
    #[inline]
    pub(super) fn get(&self, key: Key) -> Option<&Slot> {
        if key.index >= self.fresh.get() {
            return None;
        }
        let slot = self.slot(key.index);
        (slot.generation.get() == key.generation && slot.taken.get()).then_some(slot)
    }

    /// A slot for another fiber.
    #[inline]
    pub(super) fn take(&self) -> Option<&Slot> {
        // SAFETY: null, or a slot of this table, which lives as long as that.
        let slot = match unsafe { self.free.get().as_ref() } {
            Some(slot) => {
                self.free.set(slot.next.get());
                slot
            }
            None => self.first_use()?,
        };
        slot.taken.set(true);
        Some(slot)
    }

    #[cold]
    fn first_use(&self) -> Option<&Slot> {
        let index = self.fresh.get();
        if index == self.limit {
            return None;
        }
        // SAFETY: the region has room for `limit` slots; this one was never initialised.
        unsafe { self.at(index).write(Slot::new(index, self.core)) };
        self.fresh.set(index + 1);
        Some(self.slot(index))
    }

    /// Ends a tenancy.
    #[inline]
    pub(super) fn give(&self, slot: &Slot) {
        slot.taken.set(false);
        slot.generation.set((slot.generation.get() + 1) & 0x7fff_ffff);
        slot.next.set(self.free.replace(slot));
    }

    /// How many there may be.
    pub(super) fn limit(&self) -> usize {
        self.limit as usize
    }

    /// All fibers.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot> {
        (0..self.fresh.get()).map(|index| self.slot(index)).filter(|slot| slot.taken.get())
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        for index in 0..self.fresh.get() {
            // SAFETY: it is initialised, and nobody has it any more. What its room and its
            // stack hold was seen to before.
            unsafe { self.at(index).drop_in_place() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Slots {
        Slots::new(1, 3, 100).unwrap()
    }

    /// A name of an earlier tenant finds nothing, and the table has its limit.
    #[test]
    fn slots_are_given_out_again_under_other_names() {
        let slots = table();
        let first = slots.take().unwrap().key();
        slots.give(slots.get(first).unwrap());
        let second = slots.take().unwrap().key();
        assert_eq!(first.index, second.index);
        assert!(slots.get(first).is_none() && slots.get(second).is_some());
        assert!(slots.take().is_some() && slots.take().is_some() && slots.take().is_none());
        assert_eq!((slots.iter().count(), slots.limit()), (3, 3));
    }

    /// Values come out of a room as they went in, also those that do not fit.
    #[test]
    fn a_room_holds_what_is_put_in() {
        let slots = table();
        let slot = slots.take().unwrap();
        let room = slots.room(slot);
        let (small, large) = ([7u64; 12], [9u64; 40]);
        assert!(room.fits::<[u64; 14]>() && !room.fits::<[u64; 15]>());
        // SAFETY: put and taken in turn, as the same type.
        unsafe {
            room.put(small);
            assert_eq!(room.take::<[u64; 12]>(), small);
            room.put(large);
            assert_eq!(room.take::<[u64; 40]>(), large);
        }
    }
}
