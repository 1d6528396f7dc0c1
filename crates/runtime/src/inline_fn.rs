//! Closures that are called once, kept in place: no allocation up to a stated size.
//!
//! A `Box<dyn FnOnce>` costs an allocation per closure; what a loop defers or other
//! threads post to it would then allocate in steady state. [`OnceFn`] keeps captures
//! of up to `ROOM` bytes (64 unless told otherwise) in itself, and only larger or
//! over-aligned ones in a box.

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};

/// Captures up to this many bytes lie in the closure itself.
pub(crate) const INLINE: usize = 64;

/// A closure that is called once with an `A`, and stays on this thread.
///
/// It is dropped uncalled like any value: the capture is dropped with it. If the
/// closure panics, its capture has been dropped by the time the panic leaves
/// [`OnceFn::call`].
///
/// `ROOM` is the number of bytes in the closure itself, and those of an `L` their alignment.
///
/// A small capture lies beside what describes it, in one cache line.
#[repr(C)]
pub(crate) struct OnceFn<A: 'static, R: 'static = (), const ROOM: usize = INLINE, L = u128> {
    kind: &'static Kind<A, R>,
    /// Holds a live value of the type that `kind` describes, or a live box of it.
    room: Room<ROOM, L>,
    /// The capture may be bound to this thread.
    local: PhantomData<*mut ()>,
}

/// Bytes that are aligned as an `L` is.
#[repr(C)]
struct Room<const ROOM: usize, L>(MaybeUninit<[u8; ROOM]>, [L; 0]);

/// How to treat what a room holds.
struct Kind<A, R> {
    /// Moves the closure out of the room and calls it.
    call: unsafe fn(*mut u8, A) -> R,
    /// Drops the closure (and its box) in the room.
    drop: unsafe fn(*mut u8),
    /// The type of the closure. A function, for names are not known to constants.
    name: fn() -> &'static str,
    boxed: bool,
}

/// The kind of the closure `F` that goes by the name of the type `N`.
struct Of<N: ?Sized, F, A, R, const ROOM: usize, L>(PhantomData<(A, R, F, L, N)>);

impl<N: ?Sized, F, A, R, const ROOM: usize, L> Of<N, F, A, R, ROOM, L>
where
    F: FnOnce(A) -> R + 'static,
    A: 'static,
    R: 'static,
{
    const FITS: bool = size_of::<F>() <= ROOM && align_of::<F>() <= align_of::<L>();

    const KIND: &'static Kind<A, R> = {
        assert!(size_of::<Box<F>>() <= ROOM, "the room must hold a box");
        assert!(align_of::<Box<F>>() <= align_of::<L>(), "the room must be aligned for a box");
        if Self::FITS {
            &Kind {
                call: call_inline::<F, A, R>,
                drop: drop_as::<F>,
                name: type_name::<N>,
                boxed: false,
            }
        } else {
            &Kind {
                call: call_boxed::<F, A, R>,
                drop: drop_as::<Box<F>>,
                name: type_name::<N>,
                boxed: true,
            }
        }
    };
}

unsafe fn call_inline<F: FnOnce(A) -> R, A, R>(room: *mut u8, argument: A) -> R {
    // SAFETY: the caller holds a room with a live `F` and never touches it again.
    let function = unsafe { room.cast::<F>().read() };
    function(argument)
}

unsafe fn call_boxed<F: FnOnce(A) -> R, A, R>(room: *mut u8, argument: A) -> R {
    // SAFETY: the caller holds a room with a live `Box<F>` and never touches it again.
    let function = unsafe { room.cast::<Box<F>>().read() };
    function(argument)
}

unsafe fn drop_as<T>(room: *mut u8) {
    // SAFETY: the caller holds a room with a live `T` and never touches it again.
    unsafe { room.cast::<T>().drop_in_place() }
}

impl<A: 'static, R: 'static, const ROOM: usize, L> OnceFn<A, R, ROOM, L> {
    /// Keeps `function` for one call. Allocates only if its capture is larger than
    /// `ROOM` bytes or aligned to more than an `L`; [`OnceFn::is_boxed`] tells.
    #[inline]
    #[cfg(test)]
    pub(crate) fn new<F: FnOnce(A) -> R + 'static>(function: F) -> Self {
        Self::named_after::<F, F>(function)
    }

    /// The same for a closure that wraps another one and goes by that one's name.
    #[inline]
    pub(crate) fn named_after<N: ?Sized, F: FnOnce(A) -> R + 'static>(function: F) -> Self {
        let mut made = MaybeUninit::uninit();
        // SAFETY: there is room for one, and afterwards it is there.
        unsafe {
            Self::write_named_after::<N, F>(made.as_mut_ptr(), function);
            made.assume_init()
        }
    }

    /// The same, made where it is to stay. Memory behind the capture is not touched.
    ///
    /// # Safety
    /// `place` is valid for writing a `Self`.
    #[inline]
    pub(crate) unsafe fn write_named_after<N: ?Sized, F: FnOnce(A) -> R + 'static>(
        place: *mut Self,
        function: F,
    ) {
        // SAFETY: the caller's promise.
        let room = unsafe { (&raw mut (*place).room).cast::<u8>() };
        if Of::<N, F, A, R, ROOM, L>::FITS {
            // SAFETY: `FITS` says that the room is large and aligned enough for an `F`.
            unsafe { room.cast::<F>().write(function) }
        } else {
            // SAFETY: a box fits into every room, as `KIND` asserts, and into its alignment.
            unsafe { room.cast::<Box<F>>().write(Box::new(function)) }
        }
        // SAFETY: the caller's promise. Last: the box may fail.
        unsafe { (&raw mut (*place).kind).write(Of::<N, F, A, R, ROOM, L>::KIND) };
    }

    /// Calls the closure.
    #[inline]
    pub(crate) fn call(self, argument: A) -> R {
        let mut this = ManuallyDrop::new(self);
        let kind = this.kind;
        // SAFETY: the room holds what `kind` describes; `this` is never dropped nor
        // used again, so what was moved out has one owner, also if the call panics.
        unsafe { (kind.call)((&raw mut this.room).cast(), argument) }
    }

    /// The closure's type name, which holds the path of the function that wrote it.
    pub(crate) fn name(&self) -> &'static str {
        (self.kind.name)()
    }

    /// Whether the capture did not fit and lies in a box.
    pub(crate) fn is_boxed(&self) -> bool {
        self.kind.boxed
    }
}

impl<A: 'static, R: 'static, const ROOM: usize, L> Drop for OnceFn<A, R, ROOM, L> {
    fn drop(&mut self) {
        // SAFETY: the room holds what `kind` describes; a call would have kept this
        // drop from running.
        unsafe { (self.kind.drop)((&raw mut self.room).cast()) }
    }
}

impl<A: 'static, R: 'static, const ROOM: usize, L> fmt::Debug for OnceFn<A, R, ROOM, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceFn")
            .field("name", &self.name())
            .field("boxed", &self.is_boxed())
            .finish()
    }
}

/// A piece of work that any thread may run once: a closure whose capture of up to 64
/// bytes lies in the job itself.
///
/// Dropping a job that has not run drops what it captured.
#[derive(Debug)]
#[repr(transparent)]
pub struct Job(OnceFn<()>);

// SAFETY: the only values in a job are the capture of a closure that was `Send` when
// it was put in, and pointers to constants.
unsafe impl Send for Job {}

impl Job {
    /// Keeps `work` for one run. Allocates only if its capture is larger than 64 bytes
    /// or aligned to more than 16.
    #[inline]
    pub fn new<F: FnOnce() + Send + 'static>(work: F) -> Self {
        Self(OnceFn::named_after::<F, _>(move |()| work()))
    }

    /// The same, made where it is to stay.
    ///
    /// # Safety
    /// `place` is valid for writing a job.
    #[inline]
    pub(crate) unsafe fn write<F: FnOnce() + Send + 'static>(place: *mut Self, work: F) {
        // SAFETY: the caller's promise; a job is a closure and nothing else.
        unsafe { OnceFn::<()>::write_named_after::<F, _>(place.cast(), move |()| work()) };
    }

    /// Runs the work. A panic in it passes through.
    #[inline]
    pub fn run(self) {
        self.0.call(());
    }

    /// The closure's type name, which holds the path of the function that wrote it.
    pub fn name(&self) -> &'static str {
        self.0.name()
    }

    /// Whether the capture did not fit and lies in a box.
    pub fn is_boxed(&self) -> bool {
        self.0.is_boxed()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::rc::Rc;

    use super::*;

    /// Captures up to the room's size lie in it, larger ones in a box; both are called
    /// with the argument and return the result.
    #[test]
    fn small_captures_lie_inline_and_large_ones_in_a_box() {
        let exact = [1u8; INLINE];
        let inline: OnceFn<u8, usize> = OnceFn::new(move |n| exact.len() + usize::from(n));
        assert!(!inline.is_boxed());
        assert_eq!(inline.call(1), 65);

        let over = [1u8; INLINE + 1];
        let boxed: OnceFn<u8, usize> = OnceFn::new(move |n| over.len() + usize::from(n));
        assert!(boxed.is_boxed());
        assert_eq!(boxed.call(1), 66);
    }

    /// The size of the room is the caller's choice.
    #[test]
    fn a_larger_room_holds_a_larger_capture() {
        let capture = [3u8; 200];
        let wide: OnceFn<(), u8, 256> = OnceFn::new(move |()| capture[199]);
        assert!(!wide.is_boxed());
        assert_eq!(wide.call(()), 3);
    }

    /// A room that is aligned to less boxes what needs more, and is no larger than it says.
    #[test]
    fn a_room_of_words_is_dense() {
        type Dense = OnceFn<(), u128, 48, u64>;
        assert_eq!(size_of::<Dense>(), 56);
        let wide = 7u128;
        let boxed = Dense::new(move |()| wide);
        assert!(boxed.is_boxed());
        assert_eq!(boxed.call(()), 7);
        let words = [1u64; 6];
        let inline = Dense::new(move |()| u128::from(words[5]));
        assert!(!inline.is_boxed());
        assert_eq!(inline.call(()), 1);
    }

    /// A capture that asks for more than 16-byte alignment is boxed, and gets it.
    #[test]
    fn over_aligned_captures_are_boxed_and_aligned() {
        #[repr(align(64))]
        struct Line(u8);
        let line = Line(9);
        let function: OnceFn<(), (usize, u8)> = OnceFn::new(move |()| {
            let line = line;
            ((&raw const line).addr() % 64, line.0)
        });
        assert!(function.is_boxed());
        assert_eq!(function.call(()), (0, 9));
    }

    /// A 16-byte aligned capture is inline, and aligned wherever the closure moves.
    #[test]
    fn aligned_captures_stay_aligned_when_the_closure_moves() {
        let functions: Vec<OnceFn<(), u128>> =
            (0..3u128).map(|n| OnceFn::new(move |()| n)).collect();
        assert!(functions.iter().all(|function| !function.is_boxed()));
        let sum: u128 = functions.into_iter().map(|function| function.call(())).sum();
        assert_eq!(sum, 3);
    }

    /// Closures that capture nothing and functions work like all others.
    #[test]
    fn zero_sized_closures_are_called_and_dropped() {
        fn double(n: u32) -> u32 {
            2 * n
        }
        assert_eq!(OnceFn::<u32, u32>::new(double).call(4), 8);
        drop(OnceFn::<u32, u32>::new(|n| n));
    }

    /// A capture is dropped exactly once, called or not, inline or boxed.
    #[test]
    fn captures_are_dropped_once() {
        let counter = Rc::new(());
        for called in [true, false] {
            let (small, large) = (counter.clone(), (counter.clone(), [0u8; 200]));
            let functions: [OnceFn<()>; 2] =
                [OnceFn::new(move |()| drop(small)), OnceFn::new(move |()| drop(large))];
            assert_eq!(Rc::strong_count(&counter), 3);
            if called {
                functions.into_iter().for_each(|function| function.call(()));
            } else {
                drop(functions);
            }
            assert_eq!(Rc::strong_count(&counter), 1);
        }
    }

    /// A panic in the closure leaves nothing behind and drops nothing twice: neither
    /// the capture nor the argument.
    #[test]
    fn a_panic_drops_capture_and_argument_once() {
        let drops = Rc::new(Cell::new(0));
        struct Counted(Rc<Cell<u32>>);
        impl Drop for Counted {
            fn drop(&mut self) {
                self.0.set(self.0.get() + 1);
            }
        }
        let (small, large) = (Counted(drops.clone()), (Counted(drops.clone()), [0u8; 200]));
        let functions: [OnceFn<Counted>; 2] = [
            OnceFn::new(move |_| {
                let _small = small;
                panic!("inline");
            }),
            OnceFn::new(move |_| {
                let _large = large;
                panic!("boxed");
            }),
        ];
        for function in functions {
            let argument = Counted(drops.clone());
            let outcome = catch_unwind(AssertUnwindSafe(|| function.call(argument)));
            assert!(outcome.is_err());
        }
        assert_eq!(drops.get(), 4);
    }

    /// The name leads to the function that wrote the closure, also through a job.
    #[test]
    fn the_name_tells_who_wrote_the_closure() {
        let function: OnceFn<()> = OnceFn::new(|()| ());
        assert!(function.name().contains("the_name_tells_who_wrote_the_closure"));
        let job = Job::new(|| ());
        assert!(job.name().contains("the_name_tells_who_wrote_the_closure"), "{}", job.name());
    }

    /// A job runs on another thread, with what it captured.
    #[test]
    fn a_job_runs_on_another_thread() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let job = Job::new(move || sender.send(std::thread::current().id()).unwrap());
        assert!(!job.is_boxed());
        let other = std::thread::spawn(move || job.run());
        assert_eq!(receiver.recv().unwrap(), other.thread().id());
        other.join().unwrap();
    }
}
