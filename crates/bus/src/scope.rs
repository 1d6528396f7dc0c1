//! Who may hold a handle: one thread, any thread of the process, or any process.
//!
//! All objects are written once, over [`Scope`]. What differs between the scopes is how a word is
//! shared ([`Word`]), who keeps the memory ([`Scope::Shared`]), and which values may travel
//! ([`Carries`]).

use std::cell::{Cell, RefCell};
use std::fmt;
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Mutex;

use tautline_buffer::MapOptions;

use crate::aligned::Aligned;
use crate::error::{Corrupt, CreateError};
use crate::event::{LocalEvent, PrivateEvent, Sleeps};
use crate::ring::stream::Memory;
use crate::sync::{self, Arc, AtomicU32, AtomicU64, Ordering};
use crate::waker::{LocalWaker, PrivateWaker, WakerCell};

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Private {}
    impl Sealed for super::Local {}
    #[cfg(not(loom))]
    impl Sealed for crate::shared::Shared {}
    #[cfg(all(test, loom))]
    impl Sealed for crate::ring::mortal_models::Deadly {}
}

/// Who may hold a handle. One of [`Private`], [`Local`] and `Shared`.
///
/// The scope is chosen where an object is made; code that uses its handles reads the same for all.
pub trait Scope: sealed::Sealed + Copy + Default + fmt::Debug + Send + Sync + 'static {
    /// Its name, for messages.
    const NAME: &'static str;
    /// Whether others may run while a thread of this scope waits: in [`Private`] nobody does.
    const OTHERS_RUN: bool;
    /// Whether users may vanish without detaching, as processes do that are killed; and whether
    /// others may come who have no handle, by a name.
    #[doc(hidden)]
    const MORTAL: bool;

    /// A word of 64 bits that the users of an object share.
    type Word: Word<u64>;
    /// A word of 32 bits that they share.
    type Word32: Word<u32>;
    /// What keeps an object for as long as somebody has a handle to it.
    type Shared<T>: Clone + Deref<Target = T>;
    /// Something seldom used that one user at a time may touch.
    type Shelf<T>: Shelf<T>;
    /// A single item in the memory of an object.
    type One<T>: Deref<Target = T>;
    /// A slice of the memory of an object.
    type Array<T>: Deref<Target = [T]>;
    /// Where the memory of an object comes from, while the object is made.
    #[doc(hidden)]
    type Store: Store<Self>;
    /// What a process keeps for as long as it uses an object.
    #[doc(hidden)]
    type Keep: Keep;
    /// When a user last looked whether another has died.
    #[doc(hidden)]
    type Attention: Attention;
    /// Where users sleep.
    #[doc(hidden)]
    type Event: Sleeps<Waker = Self::Waker>;
    /// Where one user leaves its waker.
    #[doc(hidden)]
    type Waker: WakerCell;

    /// Keeps `value` for as long as somebody has a handle to it.
    #[doc(hidden)]
    fn share<T>(value: T) -> Self::Shared<T>;

    /// The process that calls, as a number above zero that no other living one has.
    #[doc(hidden)]
    fn user() -> u64;
}

/// One thread: handles are not `Send`. Costs no atomics, carries any type.
#[derive(Clone, Copy, Debug, Default)]
pub struct Private;

/// Any thread of this process. Carries any `Send` type.
#[derive(Clone, Copy, Debug, Default)]
pub struct Local;

impl Scope for Private {
    const NAME: &'static str = "private";
    const OTHERS_RUN: bool = false;
    const MORTAL: bool = false;
    type Word = Cell<u64>;
    type Word32 = Cell<u32>;
    type Shared<T> = Rc<T>;
    type Shelf<T> = RefCell<T>;
    type One<T> = Box<T>;
    type Array<T> = Aligned<T>;
    type Store = Heap;
    type Keep = ();
    type Attention = ();
    type Event = PrivateEvent;
    type Waker = PrivateWaker;

    fn share<T>(value: T) -> Rc<T> {
        Rc::new(value)
    }

    fn user() -> u64 {
        1
    }
}

impl Scope for Local {
    const NAME: &'static str = "local";
    const OTHERS_RUN: bool = true;
    const MORTAL: bool = false;
    type Word = AtomicU64;
    type Word32 = AtomicU32;
    type Shared<T> = Arc<T>;
    type Shelf<T> = Mutex<T>;
    type One<T> = Box<T>;
    type Array<T> = Aligned<T>;
    type Store = Heap;
    type Keep = ();
    type Attention = ();
    type Event = LocalEvent;
    type Waker = LocalWaker;

    fn share<T>(value: T) -> Arc<T> {
        Arc::new(value)
    }

    fn user() -> u64 {
        u64::from(std::process::id())
    }
}

// --------------------------------------------------------------------------------- values

/// A scope that can carry values of `T`: any for [`Private`], any `Send` type for [`Local`].
///
/// What a scope cannot carry does not compile:
///
/// ```compile_fail,E0277
/// use tautline_bus::{Local, channel::{Channel, Config}};
/// let channel = Channel::<std::rc::Rc<u8>, Local>::new(Config::default()); // not `Send`
/// ```
///
/// # Safety
/// For the crate alone: a value that is carried arrives on another thread of the scope.
#[diagnostic::on_unimplemented(
    message = "messages of type `{T}` cannot be sent in the scope `{Self}`",
    label = "`{Self}` does not carry `{T}`",
    note = "`Private` carries any type, `Local` those that are `Send`, `Shared` plain data with a \
            layout (`derive(Layout)`)"
)]
pub unsafe trait Carries<T>: Scope {
    /// Puts a value into its place.
    ///
    /// # Safety
    /// As [`Place::write`].
    #[doc(hidden)]
    unsafe fn put(place: &Place<T>, value: T);

    /// Takes a value out of its place. The kind of error is the caller's, so that the value gets
    /// where it is wanted by one copy.
    ///
    /// # Errors
    /// [`Corrupt`]: what lies there is no value of the type, for another process has written it.
    ///
    /// # Safety
    /// As [`Place::read`], as far as the users of the scope can be trusted.
    #[doc(hidden)]
    unsafe fn get<E: From<Corrupt>>(place: &Place<T>) -> Result<T, E>;

    /// Drops a value in its place.
    ///
    /// # Safety
    /// As [`Carries::get`].
    #[doc(hidden)]
    unsafe fn discard(place: &Place<T>);
}

/// Values that lie where nobody outside the process reaches: what is published there stays as it
/// was written, and may be borrowed.
pub trait InProcess: Scope<Store = Heap> {}

impl InProcess for Private {}
impl InProcess for Local {}

macro_rules! carried_as_they_are {
    () => {
        #[inline(always)]
        unsafe fn put(place: &Place<T>, value: T) {
            // SAFETY: as promised.
            unsafe { place.write(value) };
        }

        #[inline(always)]
        unsafe fn get<E: From<Corrupt>>(place: &Place<T>) -> Result<T, E> {
            // SAFETY: as promised.
            Ok(unsafe { place.read() })
        }

        #[inline(always)]
        unsafe fn discard(place: &Place<T>) {
            // SAFETY: as promised.
            drop(unsafe { place.read() });
        }
    };
}

// SAFETY: all handles of a private object stay on one thread.
unsafe impl<T> Carries<T> for Private {
    carried_as_they_are!();
}

// SAFETY: values that are `Send` may arrive on any thread.
unsafe impl<T: Send> Carries<T> for Local {
    carried_as_they_are!();
}

/// The place of one value: written by the one user that has claimed it, and then read by the one
/// to whom it was published.
#[doc(hidden)]
#[derive(Debug)]
#[repr(transparent)]
pub struct Place<T>(sync::UnsafeCell<MaybeUninit<T>>);

// SAFETY: a value lies here for one thread after another, which is why it must be `Send`; two never
// touch it at once, by the promises of the methods.
unsafe impl<T: Send> Sync for Place<T> {}

impl<T> Place<T> {
    /// A place without a value.
    pub(crate) fn empty() -> Self {
        Self(sync::UnsafeCell::new(MaybeUninit::uninit()))
    }

    /// A place without a value, of zeroes: for what is moved to where others look, with all bytes.
    pub(crate) fn zeroed() -> Self {
        Self(sync::UnsafeCell::new(MaybeUninit::zeroed()))
    }

    /// Puts a value in.
    ///
    /// # Safety
    /// The caller has claimed this place: nobody else touches it meanwhile.
    #[inline(always)]
    pub(crate) unsafe fn write(&self, value: T) {
        // SAFETY: the caller promises that nobody else touches the place.
        self.0.with_mut(|place| unsafe { (*place).write(value) });
    }

    /// Has a value put in, where it stays.
    ///
    /// Safe, for the pointer is: what is done with it is the caller's promise, as in
    /// [`Place::write`].
    #[inline(always)]
    pub(crate) fn fill(&self, write: impl FnOnce(*mut T)) {
        self.0.with_mut(|place| write(place.cast()));
    }

    /// Moves the value out.
    ///
    /// # Safety
    /// The place holds a value that was published to the caller alone, who does not use it again.
    #[inline(always)]
    pub(crate) unsafe fn read(&self) -> T {
        // SAFETY: by the caller's promise there is a value, and nobody writes.
        self.0.with(|place| unsafe { (*place).assume_init_read() })
    }

    /// Where the value lies, for those who look at it; nobody may write meanwhile.
    #[inline(always)]
    pub(crate) fn to_read(&self) -> *const T {
        self.0.with(|place| place.cast())
    }

    /// Where the value lies, for the one who writes it; nobody else may touch it meanwhile.
    #[inline(always)]
    pub(crate) fn to_write(&self) -> *mut T {
        self.0.with_mut(|place| place.cast())
    }
}

// ---------------------------------------------------------------------------------- words

/// A word that the users of an object share: an atomic one, or a [`Cell`] where there is but one
/// thread. Orderings mean to a cell nothing.
pub trait Word<N> {
    /// A word that holds `value`.
    fn new(value: N) -> Self;
    /// Its value.
    fn load(&self, order: Ordering) -> N;
    /// Gives it a value.
    fn store(&self, value: N, order: Ordering);
    /// Gives it a value, and returns the one before.
    fn swap(&self, value: N, order: Ordering) -> N;
    /// Adds to it, wrapping, and returns the value before.
    fn fetch_add(&self, more: N, order: Ordering) -> N;
    /// Gives it a value if it holds `current`.
    ///
    /// # Errors
    /// What it holds instead.
    fn compare_exchange(&self, current: N, new: N, ok: Ordering, err: Ordering) -> Result<N, N>;
}

macro_rules! words {
    ($int:ty, $atomic:ty) => {
        impl Word<$int> for Cell<$int> {
            fn new(value: $int) -> Self {
                Cell::new(value)
            }
            #[inline(always)]
            fn load(&self, _: Ordering) -> $int {
                self.get()
            }
            #[inline(always)]
            fn store(&self, value: $int, _: Ordering) {
                self.set(value);
            }
            #[inline(always)]
            fn swap(&self, value: $int, _: Ordering) -> $int {
                self.replace(value)
            }
            #[inline(always)]
            fn fetch_add(&self, more: $int, _: Ordering) -> $int {
                self.replace(self.get().wrapping_add(more))
            }
            #[inline(always)]
            fn compare_exchange(
                &self,
                current: $int,
                new: $int,
                _: Ordering,
                _: Ordering,
            ) -> Result<$int, $int> {
                let found = self.get();
                if found != current {
                    return Err(found);
                }
                Ok(self.replace(new))
            }
        }

        impl Word<$int> for $atomic {
            fn new(value: $int) -> Self {
                <$atomic>::new(value)
            }
            #[inline(always)]
            fn load(&self, order: Ordering) -> $int {
                self.load(order)
            }
            #[inline(always)]
            fn store(&self, value: $int, order: Ordering) {
                self.store(value, order);
            }
            #[inline(always)]
            fn swap(&self, value: $int, order: Ordering) -> $int {
                self.swap(value, order)
            }
            #[inline(always)]
            fn fetch_add(&self, more: $int, order: Ordering) -> $int {
                self.fetch_add(more, order)
            }
            #[inline(always)]
            fn compare_exchange(
                &self,
                current: $int,
                new: $int,
                ok: Ordering,
                err: Ordering,
            ) -> Result<$int, $int> {
                self.compare_exchange(current, new, ok, err)
            }
        }
    };
}

words!(u32, AtomicU32);
words!(u64, AtomicU64);

// ---------------------------------------------------------------------------------- memory

/// Where the memory of an object comes from.
#[doc(hidden)]
pub trait Store<S: Scope> {
    /// What a process keeps for as long as it uses the object.
    fn keep(&mut self) -> S::Keep;

    /// One item, as `make` has it; where the object is there already, as it is.
    fn one<T>(&mut self, make: impl FnOnce() -> T) -> Result<S::One<T>, CreateError>;

    /// Some items one after the other, as `make` has them; where the object is there already, as
    /// they are.
    fn array<T>(
        &mut self,
        kind: &'static str,
        what: &'static str,
        count: usize,
        make: impl FnMut(usize) -> T,
    ) -> Result<S::Array<T>, CreateError>;

    /// The same for items that hold no value at all, as [`Place::empty`]: memory that is given as
    /// zeroes is left alone.
    fn blanks<T>(
        &mut self,
        kind: &'static str,
        what: &'static str,
        count: usize,
        make: impl FnMut(usize) -> T,
    ) -> Result<S::Array<T>, CreateError> {
        self.array(kind, what, count, make)
    }

    /// Pieces of memory for streams of bytes, each of that many, rounded up to a power of two and
    /// to whole pages, and mapped twice in a row.
    fn mirrors(
        &mut self,
        kind: &'static str,
        count: usize,
        size: usize,
        options: MapOptions,
    ) -> Result<Box<[Memory]>, CreateError>;
}

/// What a process keeps for as long as it uses an object, and what it knows of the others.
#[doc(hidden)]
pub trait Keep {
    /// Whether the user who wrote that word has died.
    fn has_ended(&self, user: u64) -> bool;
}

impl Keep for () {
    fn has_ended(&self, _: u64) -> bool {
        false
    }
}

/// When a user last looked whether another has died.
#[doc(hidden)]
pub trait Attention: fmt::Debug {
    /// It has looked just now.
    fn new() -> Self;
    /// Whether it is time to look again; counts as a look if so.
    fn is_due(&self) -> bool;
    /// The same, but of calls that follow each other fast not all find out.
    fn is_due_in_passing(&self) -> bool;
}

impl Attention for () {
    fn new() {}

    #[inline(always)]
    fn is_due(&self) -> bool {
        false
    }

    #[inline(always)]
    fn is_due_in_passing(&self) -> bool {
        false
    }
}

/// The heap of the process.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Heap;

macro_rules! stores_on_the_heap {
    ($($scope:ty),*) => {$(
        impl Store<$scope> for Heap {
            fn keep(&mut self) {}

            fn one<T>(&mut self, make: impl FnOnce() -> T) -> Result<Box<T>, CreateError> {
                Ok(Box::new(make()))
            }

            fn array<T>(
                &mut self,
                kind: &'static str,
                what: &'static str,
                count: usize,
                make: impl FnMut(usize) -> T,
            ) -> Result<Aligned<T>, CreateError> {
                let bytes = size_of::<T>();
                Aligned::new(count, make).ok_or(CreateError::NoMemory { kind, what, count, bytes })
            }

            fn mirrors(
                &mut self,
                kind: &'static str,
                count: usize,
                size: usize,
                options: MapOptions,
            ) -> Result<Box<[Memory]>, CreateError> {
                (0..count)
                    .map(|_| Memory::new(size, options))
                    .collect::<Result<_, _>>()
                    .map_err(|error| CreateError::Refused { kind, why: error.to_string() })
            }
        }
    )*};
}

stores_on_the_heap!(Private, Local);
#[cfg(all(test, loom))]
stores_on_the_heap!(crate::ring::mortal_models::Deadly);

/// A slice on the heap; an error, rather than an end of the process, when there is no room for it.
pub(crate) fn boxed<T>(
    kind: &'static str,
    what: &'static str,
    count: usize,
    make: impl FnMut(usize) -> T,
) -> Result<Box<[T]>, CreateError> {
    let mut items = Vec::new();
    items.try_reserve_exact(count).map_err(|_| CreateError::NoMemory {
        kind,
        what,
        count,
        bytes: size_of::<T>(),
    })?;
    items.extend((0..count).map(make));
    Ok(items.into_boxed_slice())
}

// --------------------------------------------------------------------------------- shelves

/// Something seldom used that one user at a time may touch: for what happens when users come and
/// go, never on the way of a message.
pub trait Shelf<T> {
    /// Puts `value` there.
    fn new(value: T) -> Self;
    /// Uses it.
    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R;
}

impl<T> Shelf<T> for RefCell<T> {
    fn new(value: T) -> Self {
        RefCell::new(value)
    }

    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.borrow_mut())
    }
}

impl<T> Shelf<T> for Mutex<T> {
    fn new(value: T) -> Self {
        Mutex::new(value)
    }

    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        // Nothing panics while it is held; and what it holds stays whole.
        work(&mut self.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}
