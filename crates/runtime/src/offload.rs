//! Threads for work that blocks: files and name resolution, mostly.
//!
//! The pool is small and bounded. Threads are started when there is work for them, end
//! when there was none for a while, and survive a panicking job. They neither share the
//! loop's pinned core nor its real-time priority, though the loop starts them.
//!
//! This is off every data path, so a mutex and a condition variable do.

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::inline_fn::Job;

/// A thread that had nothing to do for so long ends.
const IDLE: Duration = Duration::from_secs(10);

/// How large a pool may get.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Threads at a time, at least 1.
    pub(crate) threads: usize,
    /// Jobs that may wait for a thread, reserved ones apart.
    pub(crate) queue: usize,
    /// Reserved jobs that there is memory for: as many as their owner lets be unfinished.
    pub(crate) reserved: usize,
    /// A thread that had nothing to do for so long ends.
    pub(crate) idle: Duration,
}

impl Limits {
    /// At most `threads` threads and `queue` waiting jobs, besides as many reserved ones
    /// as these are together; idle threads end after 10 s.
    pub(crate) fn new(threads: usize, queue: usize) -> Self {
        let threads = threads.max(1);
        Self { threads, queue, reserved: threads + queue, idle: IDLE }
    }
}

/// A bounded pool of threads for jobs that block.
///
/// Dropping it drops the jobs that wait, and waits for those that run.
pub(crate) struct Offload {
    pool: Arc<Pool>,
    /// The threads that may still run; those known to have ended are left out.
    threads: Vec<JoinHandle<()>>,
    /// Threads ever started: the next one's name.
    started: usize,
}

struct Pool {
    limits: Limits,
    /// The cores that threads run on: those of the thread that made the pool, before it
    /// was pinned. `None`: they could not be told.
    cores: Option<CpuSet>,
    state: Mutex<State>,
    /// A job was queued, or the pool closes.
    changed: Condvar,
}

struct State {
    /// In the order of submission; its memory is there from the start.
    queue: VecDeque<Queued>,
    /// Those of them that count against the limit.
    counted: usize,
    /// Threads that have not decided to end.
    alive: usize,
    /// Those of them that wait for a job.
    idle: usize,
    /// The pool is being dropped.
    closing: bool,
}

struct Queued {
    job: Job,
    /// It counts against the limit: it is no reserved one.
    counted: bool,
}

impl State {
    fn push(&mut self, queued: Queued) {
        self.counted += usize::from(queued.counted);
        self.queue.push_back(queued);
    }

    /// Takes the job out that one end of the queue gave.
    fn taken(&mut self, queued: Option<Queued>) -> Option<Job> {
        let Queued { job, counted } = queued?;
        self.counted -= usize::from(counted);
        Some(job)
    }
}

impl Offload {
    /// A pool without threads. To be called before the calling thread is pinned.
    pub(crate) fn new(limits: Limits) -> Self {
        let queue = VecDeque::with_capacity(limits.queue + limits.reserved);
        let state = State { queue, counted: 0, alive: 0, idle: 0, closing: false };
        let pool = Pool {
            limits,
            cores: sched_getaffinity(None).ok(),
            state: Mutex::new(state),
            changed: Condvar::new(),
        };
        Self { pool: Arc::new(pool), threads: Vec::new(), started: 0 }
    }

    /// Hands `job` to a thread. Jobs are begun in the order of their submission.
    ///
    /// # Errors
    /// Gives the job back when the queue is full, or when the system grants not even
    /// one thread (which is logged).
    pub(crate) fn submit(&mut self, job: Job) -> Result<(), Job> {
        if self.pool.lock().counted >= self.pool.limits.queue {
            return Err(job);
        }
        self.enqueue(Queued { job, counted: true })
    }

    /// The same for a job whose owner keeps count of such jobs, of which no more than
    /// `Limits::reserved` are unfinished: the queue always has room for it.
    ///
    /// # Errors
    /// Gives the job back when the system grants not even one thread (which is logged).
    pub(crate) fn submit_reserved(&mut self, job: Job) -> Result<(), Job> {
        self.enqueue(Queued { job, counted: false })
    }

    fn enqueue(&mut self, queued: Queued) -> Result<(), Job> {
        let mut state = self.pool.lock();
        state.push(queued);
        let another = state.queue.len() > state.idle && state.alive < self.pool.limits.threads;
        // Counted here, so that the thread cannot end before it is known.
        state.alive += usize::from(another);
        drop(state);
        self.pool.changed.notify_one();
        if another { self.start().or_else(|error| self.do_without(error)) } else { Ok(()) }
    }

    /// Starts a thread, already counted as alive.
    fn start(&mut self) -> io::Result<()> {
        self.threads.retain(|thread| !thread.is_finished());
        let pool = self.pool.clone();
        let name = format!("offload-{}", self.started);
        let thread = thread::Builder::new().name(name).spawn(move || pool.serve())?;
        self.threads.push(thread);
        self.started += 1;
        Ok(())
    }

    /// The system refused another thread: gives the job submitted last back if there is
    /// no thread at all that could run it.
    fn do_without(&self, error: io::Error) -> Result<(), Job> {
        log::warn!("no further offload thread: {error}; raise the limit on threads (`ulimit -u`)");
        let mut state = self.pool.lock();
        state.alive -= 1;
        if state.alive > 0 {
            return Ok(());
        }
        let last = state.queue.pop_back();
        state.taken(last).map_or(Ok(()), Err)
    }
}

impl Drop for Offload {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        state.closing = true;
        let waiting = std::mem::take(&mut state.queue);
        drop(state);
        self.pool.changed.notify_all();
        drop(waiting);
        for thread in self.threads.drain(..) {
            // A thread catches the panics of its jobs; there is no other.
            let _ = thread.join();
        }
    }
}

impl Pool {
    /// No job runs under the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a thread does: runs jobs until there are none for a while, or the pool closes.
    fn serve(&self) {
        leave_the_loop(self.cores.as_ref());
        while let Some(job) = self.next() {
            let name = job.name();
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| job.run())) {
                log::error!("offloaded `{name}` panicked: {}", message(&*panic));
            }
        }
    }

    /// Waits for a job. `None`: the thread is to end, and is no longer counted.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        state.idle += 1;
        let nothing = |state: &mut State| state.queue.is_empty() && !state.closing;
        state = match self.changed.wait_timeout_while(state, self.limits.idle, nothing) {
            Ok((state, _)) => state,
            Err(poisoned) => poisoned.into_inner().0,
        };
        state.idle -= 1;
        let first = state.queue.pop_front();
        let job = state.taken(first);
        state.alive -= usize::from(job.is_none());
        job
    }
}

/// Gives this thread back what the loop may have taken and passed on to it: the pinning
/// to one core and the real-time priority. Best effort: work runs either way.
fn leave_the_loop(cores: Option<&CpuSet>) {
    if let Some(cores) = cores {
        let _ = sched_setaffinity(None, cores);
    }
    let ordinary = libc::sched_param { sched_priority: 0 };
    // SAFETY: the parameter is valid for the call; 0 names the calling thread.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const ordinary) };
}

/// The text of a panic.
fn message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no text)")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Long enough for any job here, so that a broken pool fails instead of hanging.
    const PATIENCE: Duration = Duration::from_secs(20);

    fn pool(threads: usize, queue: usize) -> Offload {
        Offload::new(Limits::new(threads, queue))
    }

    /// A job that says that it runs, then runs until the sender is used or dropped.
    fn blocker(offload: &mut Offload) -> Sender<()> {
        let (release, gate) = channel::<()>();
        let (running, runs) = channel();
        let job = Job::new(move || {
            running.send(()).unwrap();
            let _ = gate.recv();
        });
        offload.submit(job).unwrap();
        runs.recv_timeout(PATIENCE).unwrap();
        release
    }

    fn receive<T>(receiver: &Receiver<T>, count: usize) -> Vec<T> {
        (0..count).map(|_| receiver.recv_timeout(PATIENCE).unwrap()).collect()
    }

    /// A full queue still has room for reserved jobs, which take no place of others.
    #[test]
    fn reserved_jobs_take_no_place_of_others() {
        let mut offload = pool(1, 1);
        let (done, order) = channel();
        let release = blocker(&mut offload);
        let job = |n| {
            let done = done.clone();
            Job::new(move || done.send(n).unwrap())
        };
        offload.submit_reserved(job(1)).unwrap();
        offload.submit(job(2)).unwrap();
        offload.submit_reserved(job(3)).unwrap();
        assert!(offload.submit(job(4)).is_err());
        drop(release);
        assert_eq!(receive(&order, 3), [1, 2, 3]);
        offload.submit(job(5)).unwrap();
        assert_eq!(receive(&order, 1), [5]);
    }

    /// One thread runs the jobs in the order of their submission.
    #[test]
    fn jobs_run_in_the_order_of_submission() {
        let mut offload = pool(1, 100);
        let (done, order) = channel();
        for n in 0..100 {
            let done = done.clone();
            let mut job = Job::new(move || done.send(n).unwrap());
            while let Err(refused) = offload.submit(job) {
                job = refused;
                thread::yield_now();
            }
        }
        assert_eq!(receive(&order, 100), (0..100).collect::<Vec<_>>());
    }

    /// A full queue gives the job back, and takes it once a thread is free again.
    #[test]
    fn a_full_queue_gives_the_job_back() {
        let mut offload = pool(1, 1);
        let (done, order) = channel();
        let release = blocker(&mut offload);
        let other = done.clone();
        offload.submit(Job::new(move || done.send(1).unwrap())).unwrap();
        let refused = offload.submit(Job::new(move || other.send(2).unwrap())).unwrap_err();
        drop(release);
        assert_eq!(receive(&order, 1), [1]);
        refused.run();
        assert_eq!(receive(&order, 1), [2]);
    }

    /// Threads are started up to the limit, each for a job that finds no idle one.
    #[test]
    fn threads_are_started_as_needed_up_to_the_limit() {
        let mut offload = pool(2, 10);
        assert_eq!(offload.started, 0);
        let (first, second) = (blocker(&mut offload), blocker(&mut offload));
        assert_eq!(offload.started, 2);
        let (done, order) = channel();
        offload.submit(Job::new(move || done.send(()).unwrap())).unwrap();
        assert_eq!(offload.started, 2);
        assert!(order.try_recv().is_err(), "both threads are busy");
        drop((first, second));
        receive(&order, 1);
    }

    /// A panicking job takes no thread with it.
    #[test]
    fn a_panicking_job_leaves_its_thread_alive() {
        let mut offload = pool(1, 10);
        offload.submit(Job::new(|| panic!("on purpose"))).unwrap();
        let (done, order) = channel();
        offload.submit(Job::new(move || done.send(7).unwrap())).unwrap();
        assert_eq!(receive(&order, 1), [7]);
        assert_eq!(offload.started, 1);
    }

    /// A thread without work ends, and the next job gets a new one.
    #[test]
    fn an_idle_thread_ends_and_a_new_one_takes_over() {
        let mut offload = Offload::new(Limits { idle: Duration::ZERO, ..Limits::new(1, 10) });
        for round in 1..=3 {
            drop(blocker(&mut offload));
            assert_eq!(offload.started, round);
            let ended = || offload.threads.iter().all(JoinHandle::is_finished);
            while !ended() {
                thread::yield_now();
            }
        }
        assert_eq!(offload.pool.lock().alive, 0);
    }

    /// Dropping the pool waits for the job that runs and drops those that wait.
    #[test]
    fn drop_waits_for_running_jobs_and_drops_queued_ones() {
        let mut offload = pool(1, 10);
        let release = blocker(&mut offload);
        let (done, order) = channel::<()>();
        offload.submit(Job::new(move || done.send(()).unwrap())).unwrap();
        let dropper = thread::spawn(move || drop(offload));
        let queued = order.recv_timeout(PATIENCE);
        assert!(queued.is_err(), "the queued job was dropped, not run");
        assert!(!dropper.is_finished(), "the running job is waited for");
        drop(release);
        dropper.join().unwrap();
    }

    /// A thread started from a pinned loop runs on the cores that the loop's thread had
    /// before.
    #[test]
    fn threads_do_not_inherit_the_pinning_of_the_loop() {
        let before = sched_getaffinity(None).unwrap();
        let mut offload = pool(1, 10);
        let core = (0..CpuSet::MAX_CPU).find(|core| before.is_set(*core)).unwrap();
        let mut one = CpuSet::new();
        one.set(core);
        sched_setaffinity(None, &one).unwrap();
        let (done, cores) = channel();
        offload
            .submit(Job::new(move || done.send(sched_getaffinity(None).unwrap()).unwrap()))
            .unwrap();
        assert_eq!(receive(&cores, 1), [before]);
        sched_setaffinity(None, &before).unwrap();
    }
}
