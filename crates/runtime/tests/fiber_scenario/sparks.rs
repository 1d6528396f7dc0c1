//! Fibers that live for a moment: they sleep, panic, catch what unwinds them, have children,
//! wait in destructors and for futures. Callbacks, tasks and a fiber of their own make them.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::thread::panicking;
use std::time::Duration;

use tautline_runtime::{Descriptor, Error, fiber, fiber_local, timer};

use super::ledger::{Id, Me};
use super::scene::Scene;
use super::together;
use super::{now, task};

type Spark = fn(&Me) -> io::Result<()>;

const SPARKS: [Spark; 16] = [
    ticks,
    ticks,
    panics,
    catches,
    catches_while_lending,
    waits_at_end,
    has_children,
    loses_a_child,
    beats,
    awaits,
    keeps_its_own,
    together::posts,
    together::parks,
    together::locks,
    together::sends,
    together::selects,
];

/// What makes sparks until the faults end, and is ended then.
pub(super) struct Generators {
    fiber: Id,
}

pub(super) fn launch(scene: &Rc<Scene>) -> Generators {
    by_callback(scene);
    let theirs = scene.clone();
    let by_task = async move {
        while goes_on(&theirs) {
            spark(&theirs);
            let _ = timer::sleep(theirs.moment() * 8).await;
        }
    };
    drop(task::spawn(by_task).expect("room for a task"));
    by_chaos(scene);
    let wish = scene.wish("makes sparks", scene.spare()).kept();
    let by_fiber = |me: &Me| {
        while goes_on(&me.scene) {
            spark(&me.scene);
            me.did(fiber::sleep(me.scene.moment() * 8).map_err(Into::into))?;
        }
        Ok(())
    };
    let handle = scene.spawn(&wish, by_fiber).expect("room for a fiber");
    let fiber = handle.id;
    scene.follow(handle);
    Generators { fiber }
}

impl Generators {
    pub(super) fn stop(self, scene: &Scene) {
        scene.ledger.cancel(self.fiber);
    }
}

fn goes_on(scene: &Scene) -> bool {
    !scene.stopping.get() && !scene.is_calm()
}

fn by_callback(scene: &Rc<Scene>) {
    let theirs = scene.clone();
    let next = move || {
        if goes_on(&theirs) {
            spark(&theirs);
            by_callback(&theirs);
        }
    };
    timer::after(scene.moment() * 8, next).expect("room for a timer");
}

/// Cancels one now and then.
fn by_chaos(scene: &Rc<Scene>) {
    let theirs = scene.clone();
    let next = move || {
        if goes_on(&theirs) {
            theirs.cancel_one();
            by_chaos(&theirs);
        }
    };
    timer::after(scene.moment() * 2, next).expect("room for a timer");
}

/// Makes one, or a few at once; some are cancelled before they begin.
fn spark(scene: &Rc<Scene>) {
    let few = if scene.one_in(8) { 12 } else { 1 };
    for _ in 0..few {
        let work = SPARKS[scene.draw(0..SPARKS.len())];
        let handle = scene.spawn(&scene.wish("spark", scene.any()), work);
        let Some(handle) = handle else { continue };
        let id = handle.id;
        scene.follow(handle);
        if scene.one_in(10) {
            scene.ledger.cancel(id);
        }
    }
}

/// Sleeps and yields.
fn ticks(me: &Me) -> io::Result<()> {
    for _ in 0..me.scene.draw(0..8) {
        me.did(fiber::yield_now().map_err(Into::into))?;
        if me.scene.one_in(3) {
            me.rest()?;
        }
    }
    Ok(())
}

fn panics(me: &Me) -> io::Result<()> {
    let _end = AtEnd(me);
    ticks(me)?;
    if me.scene.one_in(2) {
        me.panic();
    }
    Ok(())
}

/// Catches what unwinds it, and goes on: its calls fail from then on, but joins are waited for.
fn catches(me: &Me) -> io::Result<()> {
    goes_on_after(me, || {
        me.did(fiber::sleep(me.scene.moment() * 4).map_err(Into::into))?;
        panics(me)
    })
}

/// The same, with a frame that is lent to the kernel when it comes.
fn catches_while_lending(me: &Me) -> io::Result<()> {
    let socket = silent()?;
    let mut buf = [0; 64];
    goes_on_after(me, || {
        let late = now() + me.scene.moment() * 4;
        let received = socket.blocking().deadline(Some(late)).receive_from(&mut buf);
        expect_timeout(me, me.did(received).map(drop))
    })?;
    if buf != [0; 64] {
        me.scene.complain("a receive that had nothing to bring has written".into());
    }
    Ok(())
}

/// A socket that nobody sends to.
fn silent() -> io::Result<Descriptor> {
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    let socket = Descriptor::socket(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
    socket.bind(&any.into())?;
    Ok(socket)
}

fn expect_timeout(me: &Me, result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(()),
        Err(error) if matches!(Error::of(&error), Some(Error::Cancelled | Error::Closed)) => Ok(()),
        other => {
            me.scene
                .complain(format!("a receive on a socket that nobody sends to ended as {other:?}"));
            other
        }
    }
}

fn goes_on_after(me: &Me, work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let payload = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => return result,
        Err(payload) => payload,
    };
    if me.caught(payload.as_ref()) {
        let told = fiber::yield_now();
        if !matches!(told, Err(Error::Cancelled)) {
            me.scene.complain(format!("fiber {} was unwound, and then told {told:?}", me.id));
        }
    }
    join_another(me);
    me.look();
    Ok(())
}

/// Joins one that was spawned for this; also in a destructor.
fn join_another(me: &Me) {
    let scene = &me.scene;
    let wish = scene.wish("is joined", scene.spare());
    if let Some(handle) = scene.spawn(&wish, ticks) {
        scene.join(handle);
    }
}

/// Waits in its destructor, whatever goes on around it.
struct AtEnd<'m>(&'m Me);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        let (me, panics) = (self.0, panicking());
        match me.scene.draw(0..4) {
            0 => join_another(me),
            1 => drop(fiber::sleep(me.scene.moment())),
            2 => drop(me.scene.meeting.lock_for_a_while()),
            _ => drop(fiber::yield_now()),
        }
        if panicking() != panics {
            me.scene.complain(format!("fiber {} lost its panic in a destructor", me.id));
        }
    }
}

fn waits_at_end(me: &Me) -> io::Result<()> {
    let _outer = AtEnd(me);
    let _inner = AtEnd(me);
    me.did(fiber::sleep(me.scene.moment() * 2).map_err(Into::into))
}

/// Children borrow its frame; all are over when the scope is.
fn has_children(me: &Me) -> io::Result<()> {
    let scene = &me.scene;
    let (begun, ended) = (Cell::new(0), Cell::new(0));
    let _end = AtEnd(me);
    let result = me.scope(|scope| {
        for _ in 0..scene.draw(1..5) {
            let wish = scene.wish("child", scene.spare());
            let child = scene.child(scope, wish, me, |me| {
                let _count = Count::new(&begun, &ended);
                ticks(me)
            });
            if scene.one_in(2) {
                child.map(|child| scene.join_child(child))?;
            }
        }
        match scene.draw(0..5) {
            0 if !scene.is_calm() => me.panic(),
            1 => me.ends_scope(scope),
            _ => {}
        }
        Ok(())
    });
    if begun != ended {
        scene.complain(format!("fiber {} outlived by {begun:?} of its children", me.id));
    }
    result
}

/// Counts a beginning and an end.
struct Count<'c>(&'c Cell<u32>);

impl<'c> Count<'c> {
    fn new(begun: &Cell<u32>, ended: &'c Cell<u32>) -> Self {
        begun.set(begun.get() + 1);
        Self(ended)
    }
}

impl Drop for Count<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// A child that panics and that nobody joins has the scope panic.
fn loses_a_child(me: &Me) -> io::Result<()> {
    let scene = &me.scene;
    let lost = Cell::new(false);
    let work = || {
        me.scope(|scope| {
            let wish = scene.wish("panics", scene.spare());
            scene.child(scope, wish, me, |me| {
                me.did(fiber::yield_now().map_err(Into::into))?;
                lost.set(true);
                me.panic()
            })?;
            me.rest()
        })?;
        if lost.get() {
            scene.complain(format!("fiber {} has lost a child, and was not told", me.id));
        }
        Ok(())
    };
    match scene.one_in(2) {
        true => goes_on_after(me, work),
        false => work(),
    }
}

/// Beats until it is cancelled.
fn beats(me: &Me) -> io::Result<()> {
    /// Nobody else would end it.
    struct Beating<'s>(&'s Scene, Id);
    impl Drop for Beating<'_> {
        fn drop(&mut self) {
            self.0.ledger.cancel(self.1);
        }
    }
    let scene = &me.scene;
    let id = scene.ledger.open("beats", None, false, false);
    let interval = Duration::from_nanos(1) + scene.moment() / 4;
    let handle = match fiber::every(interval, beat(Me::new(scene, id))) {
        Ok(handle) => handle,
        Err(error) => {
            scene.ledger.refused(id);
            return Err(error.into());
        }
    };
    scene.ledger.spawned(id, handle.fiber());
    let beating = Beating(scene, id);
    me.rest()?;
    drop(beating);
    match handle.join() {
        Ok(error) => scene.complain(format!("a fiber that beats was ended by: {error}")),
        Err(end) => scene.judge_end(id, Err(end)),
    }
    Ok(())
}

/// Its work; it may panic.
fn beat(me: Me) -> impl FnMut() {
    let (mut begun, panics) = (false, me.scene.one_in(3));
    move || {
        if !std::mem::replace(&mut begun, true) {
            me.begin();
        }
        me.look();
        if panics && me.scene.one_in(8) {
            me.panic();
        }
    }
}

/// Waits for futures: of a task, of a timer, of operations that own their buffers.
fn awaits(me: &Me) -> io::Result<()> {
    let moment = me.scene.moment();
    match me.scene.draw(0..3) {
        0 => awaits_a_task(me, moment),
        1 => me.did(fiber::wait(timer::sleep(moment)).map(drop).map_err(Into::into)),
        _ => awaits_a_datagram(me, moment),
    }
}

fn awaits_a_task(me: &Me, moment: Duration) -> io::Result<()> {
    let task = async move {
        let _ = timer::sleep(moment).await;
        7
    };
    let task = task::spawn(task)?;
    let result = me.did(fiber::wait(task).map_err(Into::into))?;
    if !matches!(result, Ok(7)) {
        me.scene.complain(format!("a task that nobody aborts ended as {result:?}"));
    }
    Ok(())
}

fn awaits_a_datagram(me: &Me, moment: Duration) -> io::Result<()> {
    let socket = silent()?;
    let receive = socket.receive_from(vec![0; 16]).timeout(moment);
    let (result, buf) = me.did(fiber::wait(receive).map_err(Into::into))?;
    if buf.len() != 16 {
        me.scene.complain("a buffer came back shorter".into());
    }
    expect_timeout(me, result.map(drop))
}

fiber_local! {
    static OWN: Cell<Id> = Cell::new(Id::MAX);
}

/// A value of its own stays its own, whoever had the stack before or the thread meanwhile.
fn keeps_its_own(me: &Me) -> io::Result<()> {
    let before = OWN.with(|own| own.replace(me.id))?;
    ticks(me)?;
    let after = OWN.with(Cell::get)?;
    if (before, after) != (Id::MAX, me.id) {
        me.scene.complain(format!("fiber {} has the values of {before}, {after}", me.id));
    }
    Ok(())
}
