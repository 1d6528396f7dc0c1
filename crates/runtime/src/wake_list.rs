//! Which tasks other threads have woken: a list without locks that runs through the
//! tasks' own headers, so that waking allocates nothing and never finds it full.
//!
//! Wakers push onto a stack by exchanging its head (Treiber, "Coping with parallelism",
//! 1986). The loop takes the whole stack at once and turns it round, so that tasks come
//! out in the order in which they were woken. A node is in the list at most once: waking
//! it again before the loop has taken it does nothing.

use std::ptr;

use crate::mailbox::Sleeper;
use crate::sync::{Arc, AtomicBool, AtomicPtr, Ordering};

/// A node that can be in a wake list.
///
/// # Safety
/// [`Linked::link`] returns the same link each time, one that lies in `self` and that no
/// other node returns.
pub(crate) unsafe trait Linked: Send + Sync + Sized {
    /// The link that lies in this node.
    fn link(&self) -> &Link<Self>;
}

/// What a node holds so that it can be in a wake list.
pub(crate) struct Link<N> {
    /// The node is in a list. Who turns it from false to true owns `next` until the
    /// node is published; who turns it back owns `next` up to then.
    queued: AtomicBool,
    /// The node behind this one; means something while the node is in a list. Read and
    /// written by its owner alone, handed over by `queued` and by the head of the list.
    next: AtomicPtr<N>,
}

impl<N> Link<N> {
    /// A link that is in no list.
    pub(crate) fn new() -> Self {
        Self { queued: AtomicBool::new(false), next: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Reads `next`, which the caller owns.
    fn next(&self) -> *const N {
        // Relaxed: what hands `next` over orders it.
        self.next.load(Ordering::Relaxed)
    }

    /// Writes `next`, which the caller owns.
    fn set_next(&self, node: *const N) {
        // Relaxed: as above.
        self.next.store(node.cast_mut(), Ordering::Relaxed);
    }
}

/// An empty list, on a loop that sleeps by `sleeper`.
pub(crate) fn wake_list<N: Linked>(sleeper: Arc<Sleeper>) -> (WakeSender<N>, WakeList<N>) {
    let head = Arc::new(Head(AtomicPtr::new(ptr::null_mut())));
    let list = WakeList { head: head.clone(), taken: ptr::null() };
    (WakeSender { head, sleeper }, list)
}

/// The node that was pushed last, null if there is none, [`closed`] when the loop is
/// gone. The list owns one count of each node in it.
#[repr(align(128))]
struct Head<N>(AtomicPtr<N>);

/// Stands in the head of a list whose loop is gone. Never dereferenced.
fn closed<N>() -> *mut N {
    ptr::without_provenance_mut(1)
}

/// Puts nodes into a wake list, from any thread.
pub(crate) struct WakeSender<N> {
    head: Arc<Head<N>>,
    sleeper: Arc<Sleeper>,
}

impl<N> Clone for WakeSender<N> {
    fn clone(&self) -> Self {
        Self { head: self.head.clone(), sleeper: self.sleeper.clone() }
    }
}

impl<N: Linked> WakeSender<N> {
    /// Puts `node` at the end of the list and wakes the loop if it sleeps; `false` if
    /// the node was in the list already, or the loop is gone.
    ///
    /// In either case all that this thread has written before is seen by the loop when
    /// it takes the node.
    pub(crate) fn push(&self, node: &Arc<N>) -> bool {
        // AcqRel, also if the node is queued already. Release pairs with the swap in
        // `WakeList::pop`: the loop sees what made us wake it. Acquire pairs with the
        // same: the loop has read `next` before we write it.
        if node.link().queued.swap(true, Ordering::AcqRel) {
            return false;
        }
        let pushed = self.publish(node);
        if pushed {
            self.sleeper.notify();
        }
        pushed
    }

    /// Makes `node`, whose `next` this thread owns, the head of the stack. `false` if
    /// the loop is gone.
    fn publish(&self, node: &Arc<N>) -> bool {
        // Relaxed: the exchange below fails if this is stale.
        let mut head = self.head.0.load(Ordering::Relaxed);
        let raw = Arc::into_raw(node.clone()).cast_mut();
        while head != closed() {
            // Ours: this thread turned `queued` to true and has not published yet.
            node.link().set_next(head);
            // Release pairs with the Acquire in `WakeList::refill`: the loop sees
            // `next`, and through the exchanges of others all nodes behind.
            match self.head.0.compare_exchange_weak(head, raw, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(now) => head = now,
            }
        }
        // SAFETY: comes from `into_raw` above and was not handed to the list.
        drop(unsafe { Arc::from_raw(raw) });
        false
    }
}

/// The loop's end of a wake list. Dropping it closes the list and lets go of the nodes
/// in it.
pub(crate) struct WakeList<N: Linked> {
    head: Arc<Head<N>>,
    /// Nodes already taken off the stack, oldest first; this list owns a count of each.
    taken: *const N,
}

// SAFETY: the list owns counts of nodes that are `Send` and `Sync`.
unsafe impl<N: Linked> Send for WakeList<N> {}

impl<N: Linked> WakeList<N> {
    /// Takes the node that was woken first. From then on it can be pushed again, so the
    /// caller looks at the task's state only after this.
    pub(crate) fn pop(&mut self) -> Option<Arc<N>> {
        if self.taken.is_null() {
            self.refill();
        }
        self.pop_taken()
    }

    /// Whether there is nothing to take. The loop asks this when it prepares to sleep.
    pub(crate) fn is_empty(&self) -> bool {
        // Relaxed: what is behind the head is not looked at.
        self.taken.is_null() && self.head.0.load(Ordering::Relaxed).is_null()
    }

    /// Takes all that was pushed, oldest first.
    fn refill(&mut self) {
        // Relaxed: most turns find nothing, and need no exchange to know it.
        if !self.head.0.load(Ordering::Relaxed).is_null() {
            // Acquire pairs with the Release in `WakeSender::publish`: the links of all
            // nodes are seen.
            let newest = self.head.0.swap(ptr::null_mut(), Ordering::Acquire);
            self.taken = turned_round(newest);
        }
    }

    fn pop_taken(&mut self) -> Option<Arc<N>> {
        if self.taken.is_null() {
            return None;
        }
        // SAFETY: the list owns a count of every node in `taken`; this one is handed on
        // to the caller, as `taken` goes on to the next.
        let node = unsafe { Arc::from_raw(self.taken) };
        // Nodes in `taken` are queued and off the stack: the loop owns `next`.
        self.taken = node.link().next();
        // AcqRel pairs with the swap in `WakeSender::push`. A store would not do: it
        // would not see what a waker wrote that found the node queued.
        node.link().queued.swap(false, Ordering::AcqRel);
        Some(node)
    }
}

/// Turns a stack whose nodes the loop owns round; returns the node that was deepest.
fn turned_round<N: Linked>(newest: *const N) -> *const N {
    let (mut rest, mut oldest) = (newest, ptr::null());
    while !rest.is_null() {
        // SAFETY: the list owns a count of every node in it, so it is alive.
        let link = unsafe { (*rest).link() };
        // The node is queued and off the stack: the loop owns `next`.
        let next = link.next();
        link.set_next(oldest);
        (oldest, rest) = (rest, next);
    }
    oldest
}

impl<N: Linked> Drop for WakeList<N> {
    fn drop(&mut self) {
        while self.pop_taken().is_some() {}
        // Acquire pairs with the Release in `WakeSender::publish`, as in `refill`. No
        // node is pushed onto a closed head.
        self.taken = turned_round(self.head.0.swap(closed(), Ordering::Acquire));
        while self.pop_taken().is_some() {}
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    use super::*;
    use crate::mailbox::Wake;

    struct Node {
        id: usize,
        link: Link<Node>,
    }

    // SAFETY: the link is the node's own field.
    unsafe impl Linked for Node {
        fn link(&self) -> &Link<Self> {
            &self.link
        }
    }

    fn node(id: usize) -> Arc<Node> {
        Arc::new(Node { id, link: Link::new() })
    }

    /// Counts wake-ups.
    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn sleepy() -> (WakeSender<Node>, WakeList<Node>, Arc<Sleeper>, Arc<Bell>) {
        let bell = Arc::new(Bell::default());
        let sleeper = Arc::new(Sleeper::new(bell.clone()));
        let (sender, list) = wake_list(sleeper.clone());
        (sender, list, sleeper, bell)
    }

    /// Nodes come out in the order in which they were pushed, also when more are pushed
    /// in between.
    #[test]
    fn nodes_come_out_in_the_order_of_their_waking() {
        let (sender, mut list, ..) = sleepy();
        let nodes: Vec<_> = (0..6).map(node).collect();
        nodes[..4].iter().for_each(|node| assert!(sender.push(node)));
        let mut order = vec![list.pop().unwrap().id];
        nodes[4..].iter().for_each(|node| assert!(sender.push(node)));
        order.extend(std::iter::from_fn(|| list.pop()).map(|node| node.id));
        assert_eq!(order, [0, 1, 2, 3, 4, 5]);
        assert!(list.is_empty());
    }

    /// A node is in the list at most once, and can be pushed again once it was taken,
    /// even while the nodes behind it still wait.
    #[test]
    fn a_node_is_queued_at_most_once() {
        let (sender, mut list, ..) = sleepy();
        let (a, b) = (node(0), node(1));
        assert!(sender.push(&a) && sender.push(&b));
        assert!(!sender.push(&a) && !sender.push(&b));
        assert_eq!(list.pop().unwrap().id, 0);
        assert!(sender.push(&a) && !sender.push(&b));
        let order: Vec<_> = std::iter::from_fn(|| list.pop()).map(|node| node.id).collect();
        assert_eq!(order, [1, 0]);
        assert_eq!(Arc::strong_count(&a), 1);
    }

    /// Dropping the list lets go of all nodes, and later pushes keep none.
    #[test]
    fn a_dropped_list_lets_go_of_its_nodes() {
        let (sender, mut list, ..) = sleepy();
        let nodes: Vec<_> = (0..4).map(node).collect();
        nodes[..3].iter().for_each(|node| assert!(sender.push(node)));
        drop(list.pop());
        drop(list);
        assert!(!sender.push(&nodes[0]) && !sender.push(&nodes[3]));
        assert!(nodes.iter().all(|node| Arc::strong_count(node) == 1));
    }

    /// A burst into a sleeping loop rings once; a node that is queued already rings never.
    #[test]
    fn a_loop_is_woken_once_per_sleep() {
        let (sender, mut list, sleeper, bell) = sleepy();
        let (a, b) = (node(0), node(1));
        sender.push(&a);
        assert!(!sleeper.prepare_sleep(|| list.is_empty()), "a node waits");
        list.pop();
        assert!(sleeper.prepare_sleep(|| list.is_empty()));
        sender.push(&a);
        sender.push(&b);
        sleeper.awake();
        sender.push(&b);
        assert_eq!(bell.0.load(Ordering::Relaxed), 1);
    }

    /// Threads wake the same few nodes again and again: after the last wake each node is
    /// seen once more, with all that was written before it.
    #[test]
    fn no_wake_is_lost_between_threads() {
        const ROUNDS: usize = 20_000;
        struct Counter {
            woken: AtomicUsize,
            link: Link<Counter>,
        }
        // SAFETY: the link is the node's own field.
        unsafe impl Linked for Counter {
            fn link(&self) -> &Link<Self> {
                &self.link
            }
        }
        let bell = Arc::new(Bell::default());
        let (sender, mut list) = wake_list(Arc::new(Sleeper::never_sleeps(bell)));
        let counter = Arc::new(Counter { woken: AtomicUsize::new(0), link: Link::new() });
        let wakers: Vec<_> = (0..2)
            .map(|_| {
                let (sender, counter) = (sender.clone(), counter.clone());
                thread::spawn(move || {
                    for _ in 0..ROUNDS {
                        counter.woken.fetch_add(1, Ordering::Relaxed);
                        sender.push(&counter);
                    }
                })
            })
            .collect();
        let mut seen = 0;
        while seen < 2 * ROUNDS {
            match list.pop() {
                Some(node) => seen = node.woken.load(Ordering::Relaxed),
                None => thread::yield_now(),
            }
        }
        wakers.into_iter().for_each(|waker| waker.join().unwrap());
    }
}

#[cfg(all(test, loom))]
mod loom_models {
    use loom::sync::atomic::AtomicUsize;
    use loom::thread;

    use super::*;
    use crate::mailbox::loom_models::{check, sleepy};

    /// A task of which each bit says that one thread has woken it.
    struct Task {
        woken_by: [AtomicUsize; 2],
        link: Link<Task>,
    }

    // SAFETY: the link is the node's own field.
    unsafe impl Linked for Task {
        fn link(&self) -> &Link<Self> {
            &self.link
        }
    }

    fn task() -> Arc<Task> {
        let woken_by = [AtomicUsize::new(0), AtomicUsize::new(0)];
        Arc::new(Task { woken_by, link: Link::new() })
    }

    impl Task {
        /// How many have woken it, as the caller sees it.
        fn wakes(&self) -> usize {
            self.woken_by.iter().map(|by| by.load(Ordering::Relaxed)).sum()
        }
    }

    /// Two threads wake one task and a loop that sleeps whenever it finds nothing: the
    /// loop ends up having seen what both wrote, and is not woken more often than it slept.
    #[test]
    fn loom_no_wake_of_a_task_is_lost() {
        check(|| {
            let (sleeper, bell) = sleepy();
            let (sender, mut list) = wake_list(sleeper.clone());
            let task = task();
            let wakers: Vec<_> = (0..2)
                .map(|id| {
                    let (sender, task) = (sender.clone(), task.clone());
                    thread::spawn(move || {
                        task.woken_by[id].store(1, Ordering::Relaxed);
                        sender.push(&task);
                    })
                })
                .collect();
            let (mut seen, mut announced) = (0, 0);
            while seen < 2 {
                if let Some(task) = list.pop() {
                    seen = task.wakes();
                    continue;
                }
                announced += 1;
                if sleeper.prepare_sleep(|| list.is_empty()) {
                    bell.wait();
                    sleeper.awake();
                }
            }
            wakers.into_iter().for_each(|waker| waker.join().unwrap());
            assert!(bell.total() <= announced);
        });
    }

    /// Two threads push two nodes each while the loop takes: every node comes out once,
    /// those of one thread in their order, and every count is given back.
    #[test]
    fn loom_nodes_come_out_once_and_in_order() {
        check(|| {
            let (sleeper, _bell) = sleepy();
            let (sender, mut list) = wake_list(sleeper);
            let nodes: [_; 4] = std::array::from_fn(|_| task());
            let pushers: Vec<_> = nodes
                .chunks(2)
                .map(|pair| {
                    let (sender, pair) = (sender.clone(), pair.to_vec());
                    thread::spawn(move || pair.iter().for_each(|node| assert!(sender.push(node))))
                })
                .collect();
            let mut taken = Vec::new();
            for _ in 0..2 {
                taken.extend(list.pop());
            }
            pushers.into_iter().for_each(|pusher| pusher.join().unwrap());
            taken.extend(std::iter::from_fn(|| list.pop()));
            let place = |node| taken.iter().position(|other| Arc::ptr_eq(other, node)).unwrap();
            assert_eq!(taken.len(), 4);
            assert!(place(&nodes[0]) < place(&nodes[1]));
            assert!(place(&nodes[2]) < place(&nodes[3]));
        });
    }

    /// A push against the end of the loop: no node stays behind. The model reports a
    /// count that is never given back.
    #[test]
    fn loom_a_push_against_the_close_leaks_no_node() {
        check(|| {
            let (sleeper, _bell) = sleepy();
            let (sender, list) = wake_list(sleeper);
            let nodes = [task(), task()];
            let pair = nodes.clone();
            let pusher = thread::spawn(move || {
                pair.iter().for_each(|node| {
                    sender.push(node);
                });
                sender
            });
            drop(list);
            let sender = pusher.join().unwrap();
            assert!(!sender.push(&task()));
            assert!(nodes.iter().all(|node| Arc::strong_count(node) == 1));
        });
    }
}
