//! Fibers that wait for each other, for callbacks and for tasks: by batons, locks, permits,
//! channels, and several at a time.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use tautline_runtime::fiber::{self, Baton, Condition, Mutex, RecvError, Semaphore, SendError};
use tautline_runtime::{Error, timer};

use super::ledger::Me;
use super::{now, task};

/// Permits of the meeting's semaphore.
const PERMITS: usize = 3;

/// Where all fibers of a run meet.
pub(super) struct Meeting {
    /// How often it was locked.
    lock: Mutex<u64>,
    changed: Condition,
    permits: Semaphore,
    /// Those that hold the lock.
    holders: Cell<usize>,
    /// Those that hold a permit.
    guests: Cell<usize>,
}

impl Default for Meeting {
    fn default() -> Self {
        Self {
            lock: Mutex::new(0),
            changed: Condition::new(),
            permits: Semaphore::new(PERMITS),
            holders: Cell::new(0),
            guests: Cell::new(0),
        }
    }
}

/// One more, until it is dropped.
struct Counted<'c>(&'c Cell<usize>);

impl<'c> Counted<'c> {
    fn new(count: &'c Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Meeting {
    /// Takes the lock and lets others run; also in a destructor.
    pub(super) fn lock_for_a_while(&self) -> Result<(), Error> {
        let mut times = self.lock.lock()?;
        let _held = Counted::new(&self.holders);
        *times += 1;
        let before = *times;
        let _ = fiber::yield_now();
        assert!(*times == before && self.holders.get() == 1, "a lock with two holders");
        self.changed.notify_one();
        Ok(())
    }

    /// Takes it, and waits until another one has had it.
    fn await_change(&self, me: &Me) -> Result<(), Error> {
        let mut times = self.lock.lock()?;
        let before = *times;
        let late = now() + me.scene.moment();
        let told = self.changed.wait_until(&mut times, late)?;
        let _held = Counted::new(&self.holders);
        assert!(self.holders.get() == 1, "a lock with two holders");
        assert!(!told || *times > before, "told of a change, and there was none");
        Ok(())
    }

    fn visit(&self, me: &Me) -> io::Result<()> {
        let permit = match self.permits.acquire_until(now() + me.scene.moment()) {
            Ok(permit) => permit,
            Err(fiber::AcquireError::Wait(error)) => return me.did(Err(error.into())),
            Err(error) => return Err(io::Error::other(error)),
        };
        if permit.is_some() {
            let _guest = Counted::new(&self.guests);
            assert!(self.guests.get() <= PERMITS, "more guests than permits");
            me.rest()?;
        }
        Ok(())
    }
}

/// Takes the lock that all want, or a permit.
pub(super) fn locks(me: &Me) -> io::Result<()> {
    let meeting = &me.scene.meeting;
    for _ in 0..me.scene.draw(1..4) {
        match me.scene.draw(0..3) {
            0 => me.did(meeting.lock_for_a_while().map_err(Into::into))?,
            1 => me.did(meeting.await_change(me).map_err(Into::into))?,
            _ => meeting.visit(me)?,
        }
        me.mischief();
    }
    Ok(())
}

/// A baton that a callback posts, or a task, or another fiber, or nobody.
pub(super) fn posts(me: &Me) -> io::Result<()> {
    let scene = &me.scene;
    let baton = Rc::new(Baton::new());
    let (theirs, moment) = (baton.clone(), scene.moment());
    let who = scene.draw(0..4);
    match who {
        0 => {
            timer::after(moment, move || theirs.post())?;
        }
        1 => drop(task::spawn(async move {
            let _ = timer::sleep(moment).await;
            theirs.post();
        })?),
        2 => {
            let wish = scene.wish("posts", scene.spare());
            let other = scene.spawn(&wish, move |me| {
                me.rest()?;
                theirs.post();
                Ok(())
            });
            other.into_iter().for_each(|other| scene.follow(other));
        }
        _ => {}
    }
    let late = now() + scene.moment() * 4;
    let posted = me.did(baton.wait_until(late).map_err(Into::into))?;
    if posted && who == 3 || !posted && now() < late {
        scene.complain(format!("a baton that {who} posts: {posted} at {:?}", now()));
    }
    Ok(())
}

/// Parks, and unparks others.
pub(super) fn parks(me: &Me) -> io::Result<()> {
    let scene = &me.scene;
    for _ in 0..scene.draw(1..5) {
        if let Some((_, fiber)) = scene.ledger.living(|n| scene.draw(0..n)) {
            fiber.unpark();
        }
        me.did(fiber::park_until(now() + scene.moment()).map_err(Into::into))?;
    }
    Ok(())
}

/// Values through a channel, from several senders to a receiver: once, and in their order.
pub(super) fn sends(me: &Me) -> io::Result<()> {
    const VALUES: u32 = 12;
    let scene = &me.scene;
    let (sender, receiver) = fiber::channel(scene.draw(1..4));
    let sent = [Cell::new(0), Cell::new(0)];
    me.scope(|scope| {
        for (from, sent) in sent.iter().enumerate() {
            let (sender, wish) = (sender.clone(), scene.wish("sends values", scene.spare()));
            scene.child(scope, wish, me, move |me| {
                for value in 0..VALUES {
                    match sender.send((from, value)) {
                        Ok(()) => sent.set(value + 1),
                        Err(SendError::Wait(_, error)) => return me.did(Err(error.into())),
                        Err(_) => return Ok(()),
                    }
                    me.mischief();
                }
                Ok(())
            })?;
        }
        drop(sender);
        let mut got = [0; 2];
        loop {
            match receiver.recv() {
                Ok((from, value)) => {
                    assert_eq!(value, got[from], "values out of order");
                    got[from] += 1;
                }
                Err(RecvError::Wait(error)) => return me.did(Err(error.into())),
                Err(_) => break,
            }
        }
        assert_eq!(got, [0, 1].map(|from| sent[from].get()), "values were lost");
        Ok(())
    })
}

/// Several at a time: a channel, a baton, a fiber's end, a time.
pub(super) fn selects(me: &Me) -> io::Result<()> {
    let scene = &me.scene;
    let (sender, receiver) = fiber::channel(1);
    let baton = Rc::new(Baton::new());
    let (theirs, posts) = (baton.clone(), scene.one_in(2));
    let wish = scene.wish("is selected", scene.spare());
    let work = move |me: &Me| {
        me.rest()?;
        match posts {
            true => theirs.post(),
            false => drop(sender.try_send(7)),
        }
        me.rest()
    };
    let Some(handle) = scene.spawn(&wish, work) else { return Ok(()) };
    let late = now() + scene.moment() * 2;
    loop {
        let place = fiber::select([&receiver, &baton, &handle.handle], Some(late));
        match me.did(place.map_err(Into::into))? {
            Some(0) => match receiver.try_recv() {
                Ok(value) => assert_eq!((value, posts), (7, false)),
                // Its sender has gone: there is its end.
                Err(_) => break,
            },
            Some(1) => assert!(baton.try_wait() && posts, "a post of nobody"),
            Some(_) => {
                assert!(handle.handle.is_finished());
                break;
            }
            None => {
                assert!(now() >= late, "a time that has not come");
                break;
            }
        }
    }
    scene.follow(handle);
    Ok(())
}
