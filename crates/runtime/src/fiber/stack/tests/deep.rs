//! Coroutines that use a known part of their stack.

use std::hint::black_box;

use corosensei::{Coroutine, Yielder};

use super::super::FiberStack;

/// A coroutine on one of our stacks.
pub(super) type Fiber = Coroutine<(), (), (), FiberStack>;

/// Uses at least `BYTES`, suspends with them in use, and ends when resumed.
pub(super) fn fiber<const BYTES: usize>(stack: FiberStack) -> Fiber {
    Fiber::with_stack(stack, |yielder, ()| {
        fill::<BYTES>(yielder);
    })
}

#[inline(never)]
fn fill<const BYTES: usize>(yielder: &Yielder<(), ()>) {
    let mut bytes = [0xA5_u8; BYTES];
    black_box(&mut bytes);
    yielder.suspend(());
    black_box(&mut bytes);
}

/// Calls itself until the stack is at its end.
#[inline(never)]
pub(super) fn recurse(depth: usize) -> usize {
    let mut frame = [depth; 32];
    black_box(&mut frame);
    // What is done afterwards keeps this from becoming a loop.
    if depth == usize::MAX { depth } else { recurse(depth + 1) + frame[depth % 32] }
}

/// Overflows `stack`.
pub(super) fn overflow(stack: FiberStack) -> Fiber {
    Fiber::with_stack(stack, |_, ()| {
        black_box(recurse(black_box(0)));
    })
}
