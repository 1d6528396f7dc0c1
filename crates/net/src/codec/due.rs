//! Streams whose frames leave with the next turn at the latest: one list for each thread, and one
//! call for all of it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Weak;

use tautline_runtime::defer;

use super::outlet::Shared;

thread_local! {
    static DUE: RefCell<VecDeque<Weak<RefCell<Shared>>>> = const { RefCell::new(VecDeque::new()) };
    /// The loop will call.
    static CALLED: Cell<bool> = const { Cell::new(false) };
}

/// Says that the loop will call, until it has, or is gone without.
struct Call;

impl Drop for Call {
    fn drop(&mut self) {
        // The thread itself may be at its end.
        let _ = CALLED.try_with(|called| called.set(false));
    }
}

/// Sees to it that a stream is pushed with the next turn; or now, where there is no loop.
pub(super) fn add(stream: Weak<RefCell<Shared>>) {
    DUE.with_borrow_mut(|due| due.push_back(stream));
    if !CALLED.replace(true) && defer(Call, |_| push_all()).is_err() {
        push_all();
    }
}

/// Pushes all of them now: in the next turn, or because their buffers are needed.
pub(super) fn push_all() {
    let count = DUE.with_borrow(VecDeque::len);
    for _ in 0..count {
        let Some(due) = DUE.with_borrow_mut(VecDeque::pop_front) else { return };
        let Some(stream) = due.upgrade() else { continue };
        // One that is borrowed is about to send, and needs the buffers of the others.
        match stream.try_borrow_mut() {
            Ok(mut stream) => stream.push_due(),
            Err(_) => DUE.with_borrow_mut(|all| all.push_back(due)),
        }
    }
}
