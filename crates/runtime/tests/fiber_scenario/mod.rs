//! The scenario of fibers that the simulation plays with every seed: clients and servers of all
//! faces that talk over streams, and a mass of short-lived fibers that wait for each other, for
//! tasks and for callbacks, while chance cancels them, has them panic, refuses them a stack, and
//! sometimes drops their runtime in the middle.
//!
//! What is checked:
//! - Every fiber ends exactly once: what it owns is dropped once, whether it returned, was
//!   unwound or never began; so is what it returned.
//! - A join has one answer, and that is how the fiber ended. Nobody ends as cancelled, is
//!   unwound or is told so by an error who was not asked to, and none is thrown at twice.
//! - While a fiber waits in the midst of a panic, no other one believes that it panics.
//! - A stream brings what was sent, in order, once, whoever was cancelled over it: another fiber
//!   goes on where one was unwound. Once the faults have ended, every client has a whole session
//!   within a bound.
//! - Locks are held by one fiber, permits by as many as there are; values come once and in order;
//!   a fiber's own values stay its own; no sleep is short.
//! - In the end every stack has come back, no fiber is left, and nothing stays allocated.

mod clients;
mod keepers;
mod ledger;
mod scene;
mod sparks;
mod together;

// The scenario of tasks and callbacks has the same world, servers and bytes.
#[path = "../scenario/echo.rs"]
#[allow(clippy::duplicate_mod, reason = "the library's canary plays both scenarios")]
mod echo;
#[path = "../scenario/plan.rs"]
#[allow(clippy::duplicate_mod, reason = "the library's canary plays both scenarios")]
#[allow(dead_code, reason = "this scenario has no subscribers")]
mod plan;
#[path = "../scenario/servers.rs"]
#[allow(clippy::duplicate_mod, reason = "the library's canary plays both scenarios")]
mod servers;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Once;

use tautline_runtime::time::Instant;
use tautline_runtime::{Descriptor, DriverChoice, Runtime, sim, task, timer};

use plan::Plan;
use scene::{Counts, Scene};

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The world's trace, and every fiber's beginning and end.
    pub(crate) hash: u64,
    /// Events in it.
    pub(crate) steps: u64,
    /// How many fibers there were, and what became of them.
    pub(crate) counts: Counts,
    /// What did not hold.
    pub(crate) complaints: Vec<String>,
    /// The last events, if asked for.
    pub(crate) lines: Vec<String>,
}

/// Plays the scenario on a thread of its own. `adjust` may change the world.
pub(crate) fn play(seed: u64, adjust: impl FnOnce(&mut sim::Config) + Send + 'static) -> Outcome {
    let played = std::thread::Builder::new().name(format!("seed-{seed}"));
    let played = played.spawn(move || play_here(seed, adjust)).expect("a thread can be had");
    played.join().expect("panics are caught inside")
}

thread_local! {
    /// This thread plays: what panics in it is on purpose, or ends up among the complaints.
    static PLAYS: Cell<bool> = const { Cell::new(false) };
}

/// No panic of a thread that plays is printed.
fn hush() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !PLAYS.get() {
                others(info);
            }
        }));
    });
    PLAYS.set(true);
}

fn play_here(seed: u64, adjust: impl FnOnce(&mut sim::Config)) -> Outcome {
    hush();
    let (plan, mut world, config) = plan::draw(seed);
    adjust(&mut world);
    let handle = world.handle.clone();
    let scene = Rc::new(Scene::new(plan));
    let mut config = scene.draw_fibers(config);
    config.driver = DriverChoice::Sim(Box::new(world));
    let runtime = Runtime::new(config).expect("a simulated world can always be had");
    match catch_unwind(AssertUnwindSafe(|| perform(&runtime, &scene))) {
        Ok(()) => {
            scene.ledger.going.set(true);
            drop(runtime);
            scene.check_all_ended();
        }
        Err(payload) => {
            // A loop that broke in its midst is not to be asked for anything more.
            std::mem::forget(runtime);
            scene.complain(format!("panic: {}", ledger::text_of(payload.as_ref())));
        }
    }
    Outcome {
        hash: handle.trace_hash() ^ scene.ledger.hash.get(),
        steps: handle.steps(),
        counts: scene.counts(),
        complaints: scene.complaints.take(),
        lines: handle.lines(),
    }
}

fn perform(runtime: &Runtime, scene: &Rc<Scene>) {
    let late = scene.clone();
    let bound = timer::at(scene.plan.bound, move || late.overtime.set(true)).expect("a timer");
    scene.watch_the_end();
    let servers = [servers::handlers(scene), servers::owned(scene), servers::polled(scene)];
    let by_fibers = keepers::Server::start(scene);
    let mut addresses: Vec<_> = servers.iter().map(|server| server.address.clone()).collect();
    addresses.push(by_fibers.address.clone());
    for id in 0..scene.clients {
        clients::launch(scene, id, addresses[id / 3 % addresses.len()].clone());
    }
    let generators = sparks::launch(scene);
    let ran = runtime.run_until(|| scene.is_over());
    scene.note_error("while clients were served", ran.err());
    scene.check_converged();
    if !scene.is_whole() {
        return;
    }
    bound.cancel();
    scene.stopping.set(true);
    servers.into_iter().for_each(servers::Server::stop);
    by_fibers.stop(scene);
    generators.stop(scene);
    scene.note_error("while the loop came to rest", runtime.run_pending().err());
    scene.check_at_rest(runtime);
}

/// The time of the loop.
fn now() -> Instant {
    tautline_runtime::now().unwrap_or_default()
}

/// A new TCP socket.
fn socket() -> std::io::Result<Descriptor> {
    Descriptor::socket(socket2::Domain::IPV4, socket2::Type::STREAM, None)
}
