//! Clients: a session is a fiber, which may divide its stream among others that borrow it. Who
//! is unwound in its midst is replaced by another fiber, which goes on with the same stream.

use std::io;
use std::net::Shutdown;
use std::rc::Rc;

use socket2::SockAddr;
use tautline_runtime::fiber::{Scope, Stack};
use tautline_runtime::{Descriptor, Error, fiber, timer};

use super::echo::Echo;
use super::ledger::Me;
use super::scene::{Child, Handle, Scene};
use super::{now, socket, task};

/// A client goes on until it has had one whole session; who sees to that is a task, a fiber or
/// a callback.
pub(super) fn launch(scene: &Rc<Scene>, id: usize, address: SockAddr) {
    let theirs = scene.clone();
    match id % 3 {
        0 => drop(task::spawn(by_task(theirs, id, address)).expect("room for a task")),
        1 => {
            let wish = scene.wish("keeps a client", scene.spare()).kept();
            scene.spawn(&wish, move |me| by_fiber(me, id, address)).expect("room for a fiber");
        }
        _ => by_callback(&theirs, id, address),
    }
}

async fn by_task(scene: Rc<Scene>, id: usize, address: SockAddr) {
    loop {
        let begun = now();
        let result = match attempt(&scene, id, &address) {
            Some(handle) => scene.answer(handle.id, handle.handle.await),
            None => Some(Err(starved())),
        };
        if scene.judge(id, begun, result) {
            return;
        }
        let _ = timer::sleep(scene.moment()).await;
    }
}

fn by_fiber(me: &Me, id: usize, address: SockAddr) -> io::Result<()> {
    let scene = &me.scene;
    loop {
        let begun = now();
        let result = match attempt(scene, id, &address) {
            Some(handle) => scene.join(handle),
            None => Some(Err(starved())),
        };
        me.look();
        if scene.judge(id, begun, result) {
            return Ok(());
        }
        me.rest()?;
    }
}

fn by_callback(scene: &Rc<Scene>, id: usize, address: SockAddr) {
    let begun = now();
    match attempt(scene, id, &address) {
        Some(handle) => scene.then(handle, move |scene, result| {
            if !scene.judge(id, begun, result) {
                again(scene, id, address);
            }
        }),
        None => again(scene, id, address),
    }
}

fn again(scene: &Rc<Scene>, id: usize, address: SockAddr) {
    let theirs = scene.clone();
    let again = move || by_callback(&theirs, id, address);
    timer::after(scene.moment(), again).expect("room for a timer");
}

fn starved() -> io::Error {
    Error::Exhausted { what: "fiber", limit: 0, knob: "fibers" }.into()
}

fn attempt(scene: &Rc<Scene>, id: usize, address: &SockAddr) -> Option<Handle> {
    let address = address.clone();
    scene.spawn(&scene.wish("client", Stack::Small), move |me| session(me, id, address))
}

fn session(me: &Me, id: usize, address: SockAddr) -> io::Result<()> {
    let scene = &me.scene;
    let echo = Echo::new(scene, id);
    let stream = socket()?;
    let deadline = scene.soon().filter(|_| !scene.is_calm());
    me.did(stream.blocking().deadline(deadline).connect(address))?;
    stream.conn().set_write_limit(scene.draw(1..2048));
    if scene.one_in(3) {
        return in_turn(me, &echo, &stream);
    }
    me.scope(|scope| divided(me, &echo, &stream, scope))
}

fn is_cancelled(error: &io::Error) -> bool {
    matches!(Error::of(error), Some(Error::Cancelled))
}

/// Sends a little, and waits for it to come back.
fn in_turn(me: &Me, echo: &Echo, stream: &Descriptor) -> io::Result<()> {
    loop {
        let mut chunk = echo.chunk();
        chunk.truncate(64);
        if chunk.is_empty() {
            stream.shutdown(Shutdown::Write)?;
            return receive(me, echo, stream);
        }
        me.did(stream.blocking().write_all(&chunk))?;
        echo.advance(chunk.len());
        let expected = echo.missing() - chunk.len();
        while echo.missing() > expected {
            receive_some(me, echo, stream, echo.missing() - expected)?;
        }
        me.mischief();
    }
}

/// One fiber sends while others, one after the other, receive.
fn divided<'s, 'e>(
    me: &Me,
    echo: &'e Echo,
    stream: &'e Descriptor,
    scope: &'s Scope<'s, 'e>,
) -> io::Result<()> {
    let scene = &me.scene;
    let wish = scene.wish("sends", Stack::Large);
    let sending = Sending { scene: &echo.scene, stream, done: false };
    let sender = scene.child(scope, wish, me, move |me| send(me, echo, sending))?;
    let received = loop {
        let wish = scene.wish("receives", scene.spare());
        let receiver = scene.child(scope, wish, me, move |me| receive(me, echo, stream));
        match receiver.map(|child: Child<'_>| scene.join_child(child)) {
            Ok(Some(Err(error))) if !is_cancelled(&error) => break Err(error),
            // This one was cancelled itself, and is told by errors alone: so are all of its scope.
            Ok(None | Some(Err(_))) if fiber::current().is_ok_and(|me| me.is_cancelled()) => {
                break Err(Error::Cancelled.into());
            }
            // Another one goes on where it was unwound.
            Ok(None | Some(Err(_))) => {}
            Ok(Some(Ok(()))) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    if received.is_err() {
        me.ends_scope(scope);
    }
    let sent = scene.join_child(sender);
    received?;
    sent.unwrap_or(Err(io::ErrorKind::ConnectionReset.into()))
}

/// Unless all was sent, the connection ends; also if its fiber never begins.
struct Sending<'s> {
    scene: &'s Scene,
    stream: &'s Descriptor,
    done: bool,
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.scene.cut.set(true);
            let _ = self.stream.shutdown(Shutdown::Both);
        }
    }
}

fn send(me: &Me, echo: &Echo, mut sending: Sending<'_>) -> io::Result<()> {
    let (scene, stream) = (&me.scene, sending.stream);
    loop {
        let chunk = echo.chunk();
        if chunk.is_empty() {
            break;
        }
        let deadline = scene.soon().filter(|_| scene.one_in(8) && !scene.is_calm());
        let calls = stream.blocking().deadline(deadline);
        match scene.one_in(2) {
            true => echo.advance(me.did(calls.write(&chunk))?),
            false => {
                me.did(calls.write_all(&chunk))?;
                echo.advance(chunk.len());
            }
        }
        if scene.one_in(4) {
            me.did(stream.blocking().flush())?;
        }
        me.mischief();
    }
    stream.shutdown(Shutdown::Write)?;
    sending.done = true;
    Ok(())
}

/// Receives to the end of the stream.
fn receive(me: &Me, echo: &Echo, stream: &Descriptor) -> io::Result<()> {
    while !receive_some(me, echo, stream, usize::MAX)? {
        me.mischief();
    }
    Ok(())
}

/// Receives what is there, `most` bytes at most. True: that was the end.
fn receive_some(me: &Me, echo: &Echo, stream: &Descriptor, most: usize) -> io::Result<bool> {
    let scene = &me.scene;
    let mut buf = [0; 700];
    let calls = stream.blocking().deadline(scene.soon());
    let (want, missing) = (scene.draw(1..buf.len() + 1).min(most), echo.missing());
    let read = if missing > 0 && scene.one_in(2) {
        let buf = &mut buf[..want.min(missing)];
        calls.read_exact(buf).map(|()| buf.len())
    } else {
        calls.read(&mut buf[..want])
    };
    match me.did(read) {
        Ok(0) => ended(scene, echo).map(|()| true),
        Ok(n) => echo.take(&buf[..n]).map(|()| false),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            ended(scene, echo).map(|()| true)
        }
        Err(error) => Err(error),
    }
}

/// The stream has ended: behind its last byte, unless somebody has lost it.
fn ended(scene: &Scene, echo: &Echo) -> io::Result<()> {
    if echo.missing() > 0 && scene.cut.get() {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    echo.end()
}

/// What fibers of connections do between two calls.
impl Me {
    /// By chance it panics, or lets others run.
    pub(super) fn mischief(&self) {
        let scene = &self.scene;
        match scene.draw(0..100) {
            0 if !scene.is_calm() => self.panic(),
            1..10 => drop(fiber::yield_now()),
            10..13 => drop(fiber::sleep(scene.moment())),
            13..15 => scene.cancel_one(),
            _ => {}
        }
        self.look();
    }

    /// Others run for a while.
    pub(super) fn rest(&self) -> io::Result<()> {
        let due = now() + self.scene.moment();
        self.did(fiber::sleep_until(due).map_err(Into::into))?;
        if now() < due {
            self.scene.complain(format!("fiber {} slept too little", self.id));
        }
        Ok(())
    }

    /// A scope, and what unwinds it.
    pub(super) fn scope<'env, T>(
        &self,
        work: impl for<'s> FnOnce(&'s Scope<'s, 'env>) -> io::Result<T>,
    ) -> io::Result<T> {
        self.did(fiber::scope(work).map_err(Into::into)).flatten()
    }

    /// Asks the children of a scope to end.
    pub(super) fn ends_scope(&self, scope: &Scope<'_, '_>) {
        self.scene.ledger.ends_scope(self.id);
        scope.cancel();
    }
}
