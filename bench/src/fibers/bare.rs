//! The limit: bare coroutines, and a hand loop that resumes them.

use std::{cell::Cell, hint::black_box, io, num::NonZeroUsize, ptr, rc::Rc};

use corosensei::{
    Coroutine, CoroutineResult, Yielder,
    stack::{Stack, StackPointer},
};
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

use super::{LIVES, Measured, TURNS, WARM_UP, in_turn, same};
use crate::harness::{
    Sample,
    sys::{Stopwatch, UNDER_TEST, pin},
};

type Bare<T> = Coroutine<(), (), T, Mapped>;

/// Two that suspend in turn, resumed by a loop over a row of them.
pub(super) fn switch() -> Measured {
    switch_by(|pair, count| {
        let row = black_box(&mut pair[..]);
        for _ in 0..count {
            for one in &mut *row {
                one.resume(());
            }
        }
    })
}

/// The same two, resumed by code that names each, so that the processor learns where each goes.
pub(super) fn switch_unrolled() -> Measured {
    switch_by(alternate)
}

fn switch_by(resume: impl Fn(&mut [Bare<()>; 2], u64)) -> Measured {
    pin(UNDER_TEST)?;
    let turns = Rc::new(Cell::new(0));
    let one = || -> io::Result<Bare<()>> {
        let turns = Rc::clone(&turns);
        Ok(Bare::with_stack(Mapped::new()?, move |yielder: &Yielder<(), ()>, ()| {
            loop {
                turns.set(turns.get() + 1);
                yielder.suspend(());
            }
        }))
    };
    let sample = time([one()?, one()?], resume);
    in_turn(TURNS, turns.get() / 2)?;
    Ok(sample)
}

/// One after another on the same stack.
pub(super) fn live() -> Measured {
    pin(UNDER_TEST)?;
    let mut stack = Mapped::new()?;
    let mut sum = 0;
    let watch = Stopwatch::start();
    for number in 0..LIVES {
        let number = black_box(number);
        let mut one = Bare::with_stack(stack, move |_, ()| number);
        if let CoroutineResult::Return(number) = one.resume(()) {
            sum += number;
        }
        stack = one.into_stack();
    }
    let cpu = watch.stop();
    same(LIVES * (LIVES - 1) / 2, sum)?;
    Ok(Sample::of_work(cpu, LIVES as usize))
}

/// Two that hand a turn to each other: each waits for its flag, and sets the other's.
pub(super) fn hand_over() -> Measured {
    pin(UNDER_TEST)?;
    let flags = [(); 2].map(|()| Rc::new(Cell::new(false)));
    let turns = Rc::new(Cell::new(0));
    let one = |mine: usize| -> io::Result<Bare<()>> {
        let (mine, theirs) = (Rc::clone(&flags[mine]), Rc::clone(&flags[1 - mine]));
        let turns = Rc::clone(&turns);
        Ok(Bare::with_stack(Mapped::new()?, move |yielder: &Yielder<(), ()>, ()| {
            loop {
                while !mine.replace(false) {
                    yielder.suspend(());
                }
                turns.set(turns.get() + 1);
                theirs.set(true);
            }
        }))
    };
    flags[0].set(true);
    let sample = time([one(0)?, one(1)?], alternate);
    in_turn(TURNS, turns.get() / 2)?;
    Ok(sample)
}

fn alternate([one, other]: &mut [Bare<()>; 2], count: u64) {
    for _ in 0..count {
        one.resume(());
        other.resume(());
    }
}

/// The hand loop of a slice. It ends by unwinding both.
fn time(mut pair: [Bare<()>; 2], resume: impl Fn(&mut [Bare<()>; 2], u64)) -> Sample {
    resume(&mut pair, WARM_UP);
    let watch = Stopwatch::start();
    resume(&mut pair, TURNS);
    Sample::of_work(watch.stop(), 2 * TURNS as usize)
}

/// A stack of its own mapping, with a guard page.
struct Mapped {
    low: NonZeroUsize,
}

const PAGE: usize = 4096;
/// Bytes of a mapping, the guard page included.
const BYTES: usize = 16 * PAGE;

impl Mapped {
    fn new() -> io::Result<Self> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping wherever there is room touches no other memory, and nobody looks
        // into its lowest page.
        let low = unsafe {
            let low = mmap_anonymous(ptr::null_mut(), BYTES, access, MapFlags::PRIVATE)?;
            mprotect(low, PAGE, MprotectFlags::empty())?;
            low
        };
        NonZeroUsize::new(low.expose_provenance())
            .map(|low| Self { low })
            .ok_or_else(|| io::Error::other("a stack at address 0"))
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the mapping belongs to this value alone, and no coroutine is on it any more. That
        // the system refuses is not to be expected, and would cost address space alone.
        let _ = unsafe { munmap(ptr::with_exposed_provenance_mut(self.low.get()), BYTES) };
    }
}

// SAFETY: from the base, which is aligned to pages, down to the guard page at the limit lies memory
// that belongs to this value alone.
unsafe impl Stack for Mapped {
    fn base(&self) -> StackPointer {
        self.low.saturating_add(BYTES)
    }

    fn limit(&self) -> StackPointer {
        self.low
    }
}
