//! Simulated worlds, in which streams do all that streams may do.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use tautline_net::codec::{Framed, LengthPrefix, Options};
use tautline_net::{Link, TcpListener, TcpStream, fiber};
use tautline_runtime::fiber::Stack;
use tautline_runtime::{sim, task};

use super::common::block;
use super::{with_pools, world};

const ITEMS: usize = 300;

/// Items of all sizes, some larger than what a small buffer holds of two.
fn item(index: usize) -> Vec<u8> {
    vec![index as u8; (index * 131) % 3000]
}

pub(super) fn framed(options: &Options, stream: impl Into<Link>) -> Framed<LengthPrefix> {
    options.open(stream, LengthPrefix::varint())
}

pub(super) async fn connected() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let near = TcpStream::connect(addr).await?;
    Ok((near, listener.accept().await?.0))
}

/// An echo on one of the faces.
pub(super) type Echo = fn(Framed<LengthPrefix>) -> io::Result<()>;

/// All of them.
pub(super) const ECHOES: [(Echo, &str); 3] =
    [(by_handler, "handler"), (by_task, "task"), (by_fiber, "fiber")];

fn by_handler(framed: Framed<LengthPrefix>) -> io::Result<()> {
    framed.on_item(|tx, item| tx.send(item)).map(drop)
}

fn by_task(mut framed: Framed<LengthPrefix>) -> io::Result<()> {
    let echo = task::spawn(async move {
        let (reader, writer) = framed.halves();
        while let Some(item) = reader.next().await {
            writer.ready().await?;
            writer.send(item?)?;
        }
        framed.close().await
    });
    Ok(echo.map(drop)?)
}

fn by_fiber(framed: Framed<LengthPrefix>) -> io::Result<()> {
    let mut framed = fiber::Framed::from(framed);
    let echo = tautline_runtime::fiber::spawn(Stack::Small, move || {
        let (reader, writer) = framed.halves();
        while let Some(item) = reader.next() {
            writer.ready()?;
            writer.send(item?)?;
        }
        framed.close()
    });
    echo?.detach();
    Ok(())
}

/// Sends all items, and gets them all back; or hears of the reset.
pub(super) async fn talk(options: &Options, near: impl Into<Link>) -> io::Result<()> {
    let (mut reader, mut writer) = framed(options, near).split();
    let sender = task::spawn(async move {
        for index in 0..ITEMS {
            writer.ready().await?;
            writer.send(item(index))?;
        }
        writer.flush().await?;
        writer.finish()
    })?;
    for index in 0..ITEMS {
        match reader.next().await {
            Some(got) => assert_eq!(got?, item(index)),
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
    assert!(reader.next().await.is_none());
    sender.await.unwrap()
}

/// Short receives and sends, delays, readiness that is not there, late and shuffled completions and full
/// queues change nothing: each item comes once, whole and in order, on each face.
#[test]
fn items_survive_whatever_a_stream_may_do() {
    for seed in 0..60 {
        let faults =
            sim::Faults { no_descriptor: sim::Rate::NEVER, ..sim::Faults::draw_harmless(seed) };
        let runtime = world(seed, faults);
        for (echo, name) in ECHOES {
            let (options, read, write) = with_pools(2, 4096);
            let options = options.high_water(6000);
            let talked = block(&runtime, async {
                let (near, far) = connected().await?;
                echo(framed(&options, far))?;
                Ok(talk(&options, near).await)
            });
            talked.unwrap_or_else(|error| panic!("seed {seed}, by {name}: {error}"));
            runtime.run_for(std::time::Duration::from_millis(50)).unwrap();
            assert_eq!((read.lent(), write.lent()), (0, 0), "seed {seed}, by {name}");
        }
    }
}

/// Connections that are reset at any moment are told to both sides, as errors and never as items that are
/// wrong, and all buffers come back.
#[test]
fn resets_are_told_and_leave_nothing_behind() {
    let told = Rc::new(Cell::new(0));
    for seed in 0..60 {
        let faults = sim::Faults {
            reset: sim::Rate::percent(3),
            no_descriptor: sim::Rate::NEVER,
            refusal: sim::Rate::NEVER,
            ..sim::Faults::draw(seed)
        };
        let runtime = world(seed, faults);
        let (options, read, write) = with_pools(2, 4096);
        let ended = Rc::new(RefCell::new(None));
        let end = ended.clone();
        let talked = block(&runtime, async {
            // One may be reset before it is accepted.
            let Ok((near, far)) = connected().await else { return Ok(None) };
            let served = framed(&options, far).on_item(|tx, item| tx.send(item))?;
            served.on_close(move |result| *end.borrow_mut() = Some(result.is_ok()));
            Ok(Some(talk(&options, near).await))
        });
        runtime.run_for(std::time::Duration::from_secs(1)).unwrap();
        if let Some(talked) = talked {
            let ended = ended.borrow_mut().take();
            assert!(ended.is_some(), "seed {seed}: the handler did not hear of the end");
            told.set(told.get() + usize::from(talked.is_err()));
        }
        assert_eq!((read.lent(), write.lent()), (0, 0), "seed {seed}");
    }
    assert!(told.get() > 10, "only {} were reset", told.get());
}
