//! The scenario that the simulation plays with every seed: clients of all faces that
//! talk to echo servers of all faces, subscribers that follow a relay, and datagrams, while
//! everything goes wrong that the seed asks for; and what has to hold of it.
//!
//! What is checked:
//! - A stream brings what was sent, in order, once, whatever was dropped, cancelled,
//!   timed out or paused on its way; its end comes behind its last byte.
//! - A session fails only while faults last, and by an error that they explain.
//! - Once they have ended, every client has a whole session within [`plan::BOUND`].
//! - Messages that were queued together come whole and in order; of one that was given up
//!   on its way a part may come, and then nothing more.
//! - A datagram that comes is one that was sent, whole or marked as cut, from its sender and
//!   at most twice; one that its sender was told is not sent never comes. After the faults
//!   each comes, once.
//! - Every one-shot callback is called once, and no completion finds its operation gone.
//! - Nothing is left pending afterwards, and nothing stays allocated.

mod callbacks;
mod datagrams;
mod echo;
mod handlers;
mod owned;
mod plan;
mod polled;
mod relay;
mod scene;
mod servers;
mod writes;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use tautline_runtime::{Descriptor, Runtime, sim, task, time::Instant, timer};

use plan::Plan;
use scene::Scene;

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The world's trace.
    pub(crate) hash: u64,
    /// Events in it.
    pub(crate) steps: u64,
    /// Sessions that faults cut short.
    pub(crate) failed: u32,
    /// From the end of the faults to the last client's whole session, in nanoseconds.
    pub(crate) took: u64,
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

fn play_here(seed: u64, adjust: impl FnOnce(&mut sim::Config)) -> Outcome {
    let (plan, mut world, mut config) = plan::draw(seed);
    adjust(&mut world);
    let handle = world.handle.clone();
    config.driver = tautline_runtime::DriverChoice::Sim(Box::new(world));
    let scene = Rc::new(Scene::new(plan));
    let runtime = Runtime::new(config).expect("a simulated world can always be had");
    let finished = catch_unwind(AssertUnwindSafe(|| perform(&runtime, &scene)));
    match finished {
        Ok(()) => {
            drop(runtime);
            scene.check_all_freed();
        }
        Err(payload) => {
            // A loop that broke in its midst is not to be asked for anything more.
            std::mem::forget(runtime);
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or(payload.downcast_ref::<&str>().copied());
            scene.complain(format!("panic: {}", text.unwrap_or("without a message")));
        }
    }
    Outcome {
        hash: handle.trace_hash(),
        steps: handle.steps(),
        failed: scene.failed.get(),
        took: scene.converged.get().saturating_since(scene.plan.calm).as_nanos() as u64,
        complaints: scene.complaints.take(),
        lines: handle.lines(),
    }
}

fn perform(runtime: &Runtime, scene: &Rc<Scene>) {
    let late = scene.clone();
    let bound = timer::at(scene.plan.bound, move || late.overtime.set(true)).expect("a timer");
    let echo = [servers::handlers(scene), servers::owned(scene), servers::polled(scene)];
    let relay = relay::Relay::start(scene);
    let clients = scene.plan.clients;
    let followers = clients + scene.plan.subscribers;
    let datagrams = datagrams::Receivers::start(scene, followers);
    for id in 0..clients {
        launch_client(scene, id, echo[id % echo.len()].address.clone());
    }
    for id in clients..followers {
        relay.launch_subscriber(scene, id);
    }
    let writers = followers + datagrams::SENDERS;
    let enough = writers + writes::WRITERS;
    (writers..enough).for_each(|id| writes::launch_writer(scene, id));
    let over = || scene.finished.get() == enough || scene.is_lost();
    let ran = runtime.run_until(over);
    scene.note_error("while clients were served", ran.err());
    scene.converged.set(runtime.now());
    scene.check_converged();
    if !scene.is_lost() {
        bound.cancel();
        echo.into_iter().for_each(servers::Server::stop);
        relay.stop();
        datagrams.stop();
        scene.note_error("while the loop came to rest", runtime.run_pending().err());
    }
    scene.check_counts(&runtime.metrics());
}

/// A client goes on until it has had one whole session.
fn launch_client(scene: &Rc<Scene>, id: usize, address: socket2::SockAddr) {
    let scene = scene.clone();
    let client = async move {
        loop {
            let begun = now();
            let echo = Rc::new(echo::Echo::new(&scene, id));
            let result = match id % 4 {
                0 => handlers::session(&echo, &address).await,
                1 => owned::session(&echo, &address).await,
                2 => polled::session(&echo, &address).await,
                _ => callbacks::session(&echo, &address).await,
            };
            if scene.judge(id, begun, result).await {
                return;
            }
        }
    };
    drop(task::spawn(client).expect("room for a task"));
}

/// The time of the loop.
fn now() -> Instant {
    tautline_runtime::now().expect("on the loop's thread")
}

/// A new TCP socket.
fn socket() -> std::io::Result<Descriptor> {
    Descriptor::socket(socket2::Domain::IPV4, socket2::Type::STREAM, None)
}
