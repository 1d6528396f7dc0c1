//! The single door to atomics, shared cells, fences and sleeping threads: the standard ones, or
//! loom's when a model is checked (`--cfg loom`).
//!
//! Every lock-free structure of this crate takes what it needs from here and from nowhere else,
//! so that its model runs the very code that ships.

/// So often does somebody look who waits, in place, before it is asked how: a call between two looks
/// doubles a round trip.
pub(crate) const LOOKS: u32 = if cfg!(loom) { 0 } else { 64 };

#[cfg(not(loom))]
#[cfg_attr(target_arch = "x86_64", path = "sync/racy_x86.rs")]
#[cfg_attr(not(target_arch = "x86_64"), path = "sync/racy.rs")]
mod racy;
// Where it does not ship it is tested all the same.
#[cfg(all(test, not(loom), target_arch = "x86_64"))]
#[path = "sync/racy.rs"]
mod racy_by_words;

#[cfg(loom)]
pub(crate) use self::model::*;
#[cfg(not(loom))]
pub(crate) use self::native::*;

#[cfg(not(loom))]
mod native {
    use std::ptr;
    pub(crate) use std::sync::Arc;
    use std::sync::atomic::compiler_fence;
    pub(crate) use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering, fence};
    use std::sync::{Mutex, PoisonError};
    use std::time::Duration;

    use rustix::io::Errno;
    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};
    use rustix::thread::{MembarrierCommand, futex, membarrier};

    /// A cell whose content is reached through raw pointers, in the shape that loom can watch.
    #[derive(Debug)]
    #[repr(transparent)]
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        /// A cell that holds `value`.
        pub(crate) const fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        /// Hands out the content for reading; nobody may write meanwhile.
        #[inline(always)]
        pub(crate) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
            read(self.0.get())
        }

        /// Hands out the content for writing; nobody else may touch it meanwhile.
        #[inline(always)]
        pub(crate) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
            write(self.0.get())
        }
    }

    /// A barrier of the kernel, and whether this process may use it.
    struct Expedited {
        granted: AtomicU8,
        register: MembarrierCommand,
    }

    const UNKNOWN: u8 = 0;
    const REFUSED: u8 = 1;
    const GRANTED: u8 = 2;

    impl Expedited {
        /// Asks the kernel, once.
        fn is_granted(&self) -> bool {
            // Relaxed: the registration is the kernel's, and asking twice does no harm.
            match self.granted.load(Ordering::Relaxed) {
                UNKNOWN => {
                    let granted = membarrier(self.register).is_ok();
                    self.granted.store(if granted { GRANTED } else { REFUSED }, Ordering::Relaxed);
                    granted
                }
                known => known == GRANTED,
            }
        }
    }

    /// In every thread of this process (`membarrier(2)`, private expedited; Linux 4.14).
    static IN_THREADS: Expedited = Expedited {
        granted: AtomicU8::new(UNKNOWN),
        register: MembarrierCommand::RegisterPrivateExpedited,
    };

    /// In every thread of all processes that have asked for it (global expedited; Linux 4.16).
    static IN_PROCESSES: Expedited = Expedited {
        granted: AtomicU8::new(UNKNOWN),
        register: MembarrierCommand::RegisterGlobalExpedited,
    };

    /// Asks the kernel, once, to be allowed to run a barrier in every thread of this process.
    pub(crate) fn barrier_in_all_threads() -> bool {
        IN_THREADS.is_granted()
    }

    /// Asks the kernel, once, to be allowed to run a barrier in all processes that have asked this,
    /// and to have theirs run in this one.
    pub(crate) fn barrier_in_all_processes() -> bool {
        IN_PROCESSES.is_granted()
    }

    /// The frequent side of a pair of fences, of which the other is [`heavy_fence`]: nothing for
    /// the processor to do if that runs a barrier in this thread, which `asymmetric` says.
    #[inline(always)]
    pub(crate) fn light_fence(asymmetric: bool) {
        if asymmetric {
            compiler_fence(Ordering::SeqCst);
        } else {
            fence(Ordering::SeqCst);
        }
    }

    /// The rare side: see [`light_fence`].
    pub(crate) fn heavy_fence(asymmetric: bool) {
        fence(Ordering::SeqCst);
        if asymmetric {
            let done = membarrier(MembarrierCommand::PrivateExpedited);
            // It cannot fail after it was registered; a lost wake-up would be silent.
            assert!(done.is_ok(), "membarrier fails after its registration: {done:?}");
        }
    }

    /// The same for a sleeper whose publishers are other processes.
    pub(crate) fn heavy_fence_for_processes(asymmetric: bool) {
        fence(Ordering::SeqCst);
        if asymmetric {
            let done = membarrier(MembarrierCommand::GlobalExpedited);
            debug_assert!(done.is_ok(), "membarrier fails after its registration: {done:?}");
        }
    }

    /// Where threads sleep: the address of a word is all that it takes.
    #[derive(Debug)]
    pub(crate) struct Bed;

    impl Bed {
        /// Nobody sleeps.
        pub(crate) const fn new() -> Self {
            Self
        }

        /// Sleeps while `word` holds `value`, at most for `limit`; may wake early.
        pub(crate) fn sleep(&self, word: &AtomicU32, value: u32, limit: Option<Duration>) {
            let limit = limit.map(|limit| futex::Timespec {
                tv_sec: limit.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: limit.subsec_nanos().into(),
            });
            let slept = futex::wait(word, futex::Flags::PRIVATE, value, limit.as_ref());
            debug_assert!(matches!(
                slept,
                Ok(()) | Err(Errno::AGAIN | Errno::INTR | Errno::TIMEDOUT)
            ));
        }

        /// Wakes all who sleep on `word`.
        #[cold]
        pub(crate) fn wake_all(&self, word: &AtomicU32) {
            let woken = futex::wake(word, futex::Flags::PRIVATE, i32::MAX as u32);
            debug_assert!(woken.is_ok());
        }
    }

    pub(crate) use super::racy::{load_bytes, store_bytes};

    /// A count of the processor that grows at a steady rate, read without a call where there is one.
    #[inline(always)]
    pub(crate) fn ticks() -> u64 {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: every processor of the architecture has the counter.
        unsafe {
            std::arch::x86_64::_rdtsc()
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            use std::sync::OnceLock;
            use std::time::Instant;
            static START: OnceLock<Instant> = OnceLock::new();
            START.get_or_init(Instant::now).elapsed().as_nanos() as u64
        }
    }

    /// Tells a child that was made by `fork` from the process that made it.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Parentage(&'static AtomicU8);

    impl Parentage {
        /// That of this process, which may be a child of one that has asked before.
        pub(crate) fn new() -> Self {
            static MARK: Mutex<Option<Parentage>> = Mutex::new(None);
            static UNMARKED: AtomicU8 = AtomicU8::new(1);
            let mut mark = MARK.lock().unwrap_or_else(PoisonError::into_inner);
            let own = mark.filter(|mark| !mark.is_child());
            *mark.insert(own.unwrap_or_else(|| Self(marked().unwrap_or(&UNMARKED))))
        }

        /// Whether this process was forked from the one that asked for it.
        #[inline(always)]
        pub(crate) fn is_child(self) -> bool {
            // Relaxed: nobody writes it but the kernel, before the child runs.
            self.0.load(Ordering::Relaxed) == 0
        }
    }

    /// A byte that is 1 here, and 0 in a child (`madvise(2)`, MADV_WIPEONFORK; Linux 4.14).
    fn marked() -> Option<&'static AtomicU8> {
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel picks a range that nothing else uses. It is never unmapped.
        unsafe {
            let page = mmap_anonymous(ptr::null_mut(), 1, prot, MapFlags::PRIVATE).ok()?;
            madvise(page, 1, Advice::LinuxWipeOnFork).ok()?;
            let mark = AtomicU8::from_ptr(page.cast());
            mark.store(1, Ordering::Relaxed);
            Some(mark)
        }
    }

    /// Tells a model who touches which part of a piece of bytes; here there is none to be told.
    #[derive(Debug)]
    pub(crate) struct Witness;

    impl Witness {
        pub(crate) fn new(_bytes: usize) -> Self {
            Self
        }

        /// Bytes from there are read; they are taken round the end.
        #[inline(always)]
        pub(crate) fn reads(&self, _from: usize, _len: usize) {}

        /// Bytes from there are written; they are taken round the end.
        #[inline(always)]
        pub(crate) fn writes(&self, _from: usize, _len: usize) {}
    }

    /// Lets another thread get on: spins at first, then sleeps, so that a thread of lower priority on
    /// the same core is not shut out.
    pub(crate) fn back_off(attempt: u32) {
        if attempt < 64 {
            std::hint::spin_loop();
        } else {
            std::thread::sleep(Duration::from_micros(50));
        }
    }

    /// Fetches the cache line at `place`, which will be written soon, away from other cores. A hint:
    /// it reads nothing that the program could see, and faults nowhere.
    #[inline]
    pub(crate) fn prefetch_to_write<T>(place: *const T) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
            // SAFETY: a hint, see above.
            unsafe { _mm_prefetch::<_MM_HINT_ET0>(place.cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = place;
    }

    /// Something that lasts a few nanoseconds, for a loop that waits for another core.
    #[inline(always)]
    pub(crate) fn spin_loop() {
        std::hint::spin_loop();
    }

    /// Gives the rest of the time slice to another thread.
    pub(crate) fn yield_now() {
        std::thread::yield_now();
    }
}

#[cfg(loom)]
mod model {
    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::sync::Arc;
    pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
    use loom::sync::{Condvar, Mutex};
    use std::time::Duration;

    pub(crate) fn barrier_in_all_threads() -> bool {
        false
    }

    pub(crate) fn light_fence(_asymmetric: bool) {
        fence(Ordering::SeqCst);
    }

    pub(crate) fn heavy_fence(_asymmetric: bool) {
        fence(Ordering::SeqCst);
    }

    /// The kernel's queue of sleepers, with its lock. A sleep whose wake-up is lost is a deadlock,
    /// which loom reports; time does not pass in a model.
    #[derive(Debug)]
    pub(crate) struct Bed {
        lock: Mutex<()>,
        woken: Condvar,
    }

    impl Bed {
        pub(crate) fn new() -> Self {
            Self { lock: Mutex::new(()), woken: Condvar::new() }
        }

        pub(crate) fn sleep(&self, word: &AtomicU32, value: u32, _limit: Option<Duration>) {
            let guard = self.lock.lock().expect("nobody panics while it is held");
            if word.load(Ordering::SeqCst) == value {
                drop(self.woken.wait(guard).expect("nobody panics while it is held"));
            }
        }

        pub(crate) fn wake_all(&self, _word: &AtomicU32) {
            drop(self.lock.lock().expect("nobody panics while it is held"));
            self.woken.notify_all();
        }
    }

    /// As the native one: a model has no data of this kind that is written while it is read.
    ///
    /// # Safety
    /// `to` is valid for writes of `len` bytes, and `from` for reads.
    pub(crate) unsafe fn store_bytes(to: *mut u8, from: *const u8, len: usize) {
        // SAFETY: as promised.
        unsafe { std::ptr::copy_nonoverlapping(from, to, len) };
    }

    /// As [`store_bytes`].
    ///
    /// # Safety
    /// As [`store_bytes`].
    pub(crate) unsafe fn load_bytes(to: *mut u8, from: *const u8, len: usize) {
        // SAFETY: as promised.
        unsafe { std::ptr::copy_nonoverlapping(from, to, len) };
    }

    /// A model does not fork.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Parentage;

    impl Parentage {
        pub(crate) fn new() -> Self {
            Self
        }

        pub(crate) fn is_child(self) -> bool {
            false
        }
    }

    /// Watches a piece of bytes in eight parts, each of which loom takes for one cell.
    #[derive(Debug)]
    pub(crate) struct Witness {
        parts: [UnsafeCell<()>; PARTS],
        part: usize,
    }

    const PARTS: usize = 8;

    impl Witness {
        pub(crate) fn new(bytes: usize) -> Self {
            Self { parts: std::array::from_fn(|_| UnsafeCell::new(())), part: bytes / PARTS }
        }

        pub(crate) fn reads(&self, from: usize, len: usize) {
            self.touched(from, len).for_each(|part| part.with(|_| ()));
        }

        pub(crate) fn writes(&self, from: usize, len: usize) {
            self.touched(from, len).for_each(|part| part.with_mut(|_| ()));
        }

        fn touched(&self, from: usize, len: usize) -> impl Iterator<Item = &UnsafeCell<()>> {
            (from / self.part..(from + len).div_ceil(self.part)).map(|n| &self.parts[n % PARTS])
        }
    }

    // SAFETY: loom watches the cells, in which nothing is.
    unsafe impl Sync for Witness {}

    pub(crate) fn spin_loop() {
        loom::thread::yield_now();
    }

    pub(crate) fn back_off(_attempt: u32) {
        loom::thread::yield_now();
    }

    pub(crate) fn prefetch_to_write<T>(_place: *const T) {}

    pub(crate) fn yield_now() {
        loom::thread::yield_now();
    }
}
