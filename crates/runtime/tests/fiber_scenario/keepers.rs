//! A server of fibers: one that accepts, whom a task starts anew when chance has ended it, and
//! one for each connection.

use std::io;
use std::net::Shutdown;
use std::rc::Rc;

use socket2::SockAddr;
use tautline_runtime::task::{self, JoinHandle};
use tautline_runtime::{Descriptor, timer};

use super::ledger::Me;
use super::scene::{Scene, is_starved};
use super::servers;
use tautline_runtime::fiber::Stack;

/// A server, until it is stopped.
pub(super) struct Server {
    pub(super) address: SockAddr,
    keeper: JoinHandle<()>,
}

impl Server {
    pub(super) fn start(scene: &Rc<Scene>) -> Self {
        let (listener, address) = servers::listen();
        let (scene, listener) = (scene.clone(), Rc::new(listener));
        let keeper = task::spawn(keep(scene, listener)).expect("room for a task");
        Self { address, keeper }
    }

    /// The fiber that accepts ends with its listener.
    pub(super) fn stop(self, scene: &Scene) {
        self.keeper.abort();
        scene.accepting.take().into_iter().for_each(|id| scene.ledger.cancel(id));
    }
}

/// Starts a fiber that accepts, again and again. No connection is lost between two of them.
async fn keep(scene: Rc<Scene>, listener: Rc<Descriptor>) {
    loop {
        let theirs = listener.clone();
        let wish = scene.wish("accepts", scene.spare());
        if let Some(handle) = scene.spawn(&wish, move |me| accept(me, &theirs)) {
            let id = handle.id;
            scene.accepting.set(Some(id));
            let ended = handle.handle.await;
            scene.answer(id, ended);
        }
        let _ = timer::sleep(scene.moment()).await;
    }
}

fn accept(me: &Me, listener: &Descriptor) -> io::Result<()> {
    let scene = &me.scene;
    loop {
        me.mischief();
        match me.did(listener.blocking().deadline(scene.soon()).accept()) {
            Ok(stream) => hand_over(me, stream)?,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
            Err(error) if is_starved(&error) => me.rest()?,
            Err(error) => return Err(error),
        }
    }
}

/// Finds a fiber for a connection. Until then the connection is this one's to lose.
fn hand_over(me: &Me, stream: Descriptor) -> io::Result<()> {
    let scene = &me.scene;
    let wish = scene.wish("serves", Stack::Medium);
    let cut = Cut::new(scene);
    let handle = scene.insist(wish, me.id, move |me| serve(me, &stream, cut))?;
    scene.follow(handle);
    Ok(())
}

/// Echoes what comes.
fn serve(me: &Me, stream: &Descriptor, cut: Cut) -> io::Result<()> {
    let scene = &me.scene;
    let mut buf = [0; 500];
    let most = scene.draw(1..buf.len() + 1);
    loop {
        match me.did(stream.blocking().deadline(scene.soon()).read(&mut buf[..most])) {
            Ok(0) => break,
            Ok(n) => me.did(stream.blocking().write_all(&buf[..n]))?,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
            Err(error) => return Err(error),
        }
        me.mischief();
    }
    stream.shutdown(Shutdown::Write)?;
    cut.disarm();
    Ok(())
}

/// Until it is disarmed, a connection is cut short if it is dropped.
struct Cut(Option<Rc<Scene>>);

impl Cut {
    fn new(scene: &Rc<Scene>) -> Self {
        Self(Some(scene.clone()))
    }

    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        if let Some(scene) = &self.0 {
            scene.cut.set(true);
        }
    }
}
