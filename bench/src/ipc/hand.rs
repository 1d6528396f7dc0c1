//! The limits: two rings by hand in shared memory, written and read in place, and a bare futex.

use std::{
    any::Any,
    ffi::c_void,
    io,
    marker::PhantomData,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    ptr::{self, NonNull},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use rustix::{
    fs::{MemfdFlags, ftruncate, memfd_create},
    mm::{MapFlags, ProtFlags, mmap, munmap},
    thread::futex,
};

use super::way::{Pass, Way};
use crate::bus::{
    ends::{Give, Message, Take},
    hand::{self, Keep, Shared},
};

/// Memory of both processes, as a `T` of which zeros are a value.
struct Mapping<T> {
    at: NonNull<T>,
}

// SAFETY: what lies there is shared with another process anyway.
unsafe impl<T> Send for Mapping<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Mapping<T> {}

impl<T> Mapping<T> {
    fn make() -> io::Result<(Self, OwnedFd)> {
        let fd = memfd_create("bench", MemfdFlags::empty())?;
        ftruncate(&fd, size_of::<T>() as u64)?;
        Ok((Self::of(&fd)?, fd))
    }

    fn of(fd: &OwnedFd) -> io::Result<Self> {
        let (access, flags) =
            (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED | MapFlags::POPULATE);
        // SAFETY: a new mapping, as long as the file.
        let at = unsafe { mmap(ptr::null_mut(), size_of::<T>(), access, flags, fd, 0)? };
        let at = NonNull::new(at.cast()).ok_or_else(|| io::Error::other("mapped at zero"))?;
        Ok(Self { at })
    }
}

impl<T> Drop for Mapping<T> {
    fn drop(&mut self) {
        // SAFETY: mapped by `of`; who uses it keeps this.
        let unmapped = unsafe { munmap(self.at.as_ptr().cast::<c_void>(), size_of::<T>()) };
        debug_assert!(unmapped.is_ok());
    }
}

/// A ring each way, of so many places.
pub(super) struct Rings<const N: usize>;

#[repr(C)]
struct Two<M, const N: usize> {
    there: Shared<M, N>,
    back: Shared<M, N>,
}

/// A giving end that writes in place.
pub(super) struct Giver<M, const N: usize>(hand::Giver<M, N>);

/// A taking end that reads in place.
pub(super) struct Taker<M, const N: usize>(hand::Taker<M, N>);

impl<M: Message, const N: usize> Give<M> for Giver<M, N> {
    #[inline(always)]
    fn give(&mut self, message: M) -> bool {
        self.0.give(message)
    }

    #[inline(always)]
    fn give_number(&mut self, number: u64) -> bool {
        let Some(place) = self.0.place() else { return false };
        // SAFETY: the slot is free.
        M::fill(unsafe { &mut *place.cast::<MaybeUninit<M>>() }, number);
        self.0.publish(1);
        true
    }
}

impl<M: Message, const N: usize> Take<M> for Taker<M, N> {
    #[inline(always)]
    fn take(&mut self, mut each: impl FnMut(&M)) -> bool {
        let Some(message) = self.0.next() else { return false };
        each(message);
        self.0.release(1);
        true
    }
}

fn ends<M: Message, const N: usize>(
    mapping: Mapping<Two<M, N>>,
    is_first: bool,
) -> (Giver<M, N>, Taker<M, N>) {
    let two = mapping.at.as_ptr();
    // SAFETY: fields of what is mapped.
    let (there, back) = unsafe { (&raw mut (*two).there, &raw mut (*two).back) };
    let (out, into) = if is_first { (there, back) } else { (back, there) };
    let keep: Keep = Arc::new(mapping) as Arc<dyn Any + Send + Sync>;
    // SAFETY: not null, as fields; zeros are an empty ring, kept, with one end in each process.
    unsafe {
        let giver = hand::Giver::new(NonNull::new_unchecked(out), keep.clone());
        (Giver(giver), Taker(hand::Taker::new(NonNull::new_unchecked(into), keep)))
    }
}

impl<M: Message, const N: usize> Way<M> for Rings<N> {
    type Giver = Giver<M, N>;
    type Taker = Taker<M, N>;

    fn first() -> io::Result<(Self::Giver, Self::Taker, Pass)> {
        let (mapping, fd) = Mapping::make()?;
        let (giver, taker) = ends(mapping, true);
        Ok((giver, taker, Pass::of(vec![fd])))
    }

    fn second(pass: &Pass) -> io::Result<(Self::Giver, Self::Taker)> {
        let [fd] = pass.descriptors()?;
        Ok(ends(Mapping::of(&fd)?, false))
    }
}

/// A bare futex: a number and a word that counts, each way.
pub(super) struct Futex;

#[repr(C, align(128))]
struct Bell {
    number: AtomicU64,
    count: AtomicU32,
}

/// One end of it. It gives on one bell and takes from the other.
pub(super) struct Ringer<M> {
    mapping: Arc<Mapping<[Bell; 2]>>,
    bell: usize,
    seen: u32,
    messages: PhantomData<fn(M)>,
}

impl<M> Ringer<M> {
    fn bell(&self) -> &Bell {
        // SAFETY: mapped, and zeros are two bells.
        unsafe { &self.mapping.at.as_ref()[self.bell] }
    }
}

impl<M: Message> Give<M> for Ringer<M> {
    fn give(&mut self, message: M) -> bool {
        self.give_number(message.number())
    }

    fn give_number(&mut self, number: u64) -> bool {
        let bell = self.bell();
        bell.number.store(number, Ordering::Relaxed);
        // Release: publishes the number.
        bell.count.fetch_add(1, Ordering::Release);
        futex::wake(&bell.count, futex::Flags::empty(), 1).is_ok()
    }
}

impl<M: Message> Take<M> for Ringer<M> {
    fn take(&mut self, mut each: impl FnMut(&M)) -> bool {
        let bell = self.bell();
        let mut count = bell.count.load(Ordering::Acquire);
        while count == self.seen {
            // Woken, interrupted or late: the count tells.
            _ = futex::wait(&bell.count, futex::Flags::empty(), self.seen, None);
            // Acquire: the number is there.
            count = bell.count.load(Ordering::Acquire);
        }
        each(&M::of(bell.number.load(Ordering::Relaxed)));
        self.seen = count;
        true
    }
}

fn ringers<M>(mapping: Mapping<[Bell; 2]>, is_first: bool) -> (Ringer<M>, Ringer<M>) {
    let mapping = Arc::new(mapping);
    let ringer = |bell| Ringer { mapping: mapping.clone(), bell, seen: 0, messages: PhantomData };
    let out = usize::from(!is_first);
    (ringer(out), ringer(1 - out))
}

impl<M: Message> Way<M> for Futex {
    type Giver = Ringer<M>;
    type Taker = Ringer<M>;

    fn first() -> io::Result<(Ringer<M>, Ringer<M>, Pass)> {
        let (mapping, fd) = Mapping::make()?;
        let (giver, taker) = ringers(mapping, true);
        Ok((giver, taker, Pass::of(vec![fd])))
    }

    fn second(pass: &Pass) -> io::Result<(Ringer<M>, Ringer<M>)> {
        let [fd] = pass.descriptors()?;
        Ok(ringers(Mapping::of(&fd)?, false))
    }
}
