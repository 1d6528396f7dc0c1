//! Codecs on streams: on all three faces, over both real drivers and in simulated worlds.

#[path = "../common/mod.rs"]
mod common;
#[path = "../tls_support/mod.rs"]
mod tls_support;

mod callbacks;
mod fibers;
mod limits;
mod secured;
mod sending;
mod simulated;
mod tasks;

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{block, everywhere, small};
use tautline_buffer::Pool;
use tautline_net::codec::{Framed, LengthPrefix, Lines, Options};
use tautline_net::{Link, UnixListener, UnixStream};
use tautline_runtime::{Config, DriverChoice, Runtime, sim};

/// Runs `test` on both real drivers and in a faultless simulated world.
fn on_every_driver(test: impl Fn(&Runtime)) {
    let named = |runtime: &Runtime| {
        println!("on {}", runtime.report().driver);
        test(runtime);
    };
    everywhere(named);
    named(&world(7, sim::Faults::none()));
}

fn world(seed: u64, faults: sim::Faults) -> Runtime {
    let world = sim::Config { faults, ..sim::Config::new(seed) };
    Runtime::new(Config { driver: DriverChoice::Sim(Box::new(world)), ..small() }).unwrap()
}

/// Runs a future everywhere, within the patience.
fn run<F: AsyncFn() -> io::Result<()>>(test: F) {
    on_every_driver(|runtime| block(runtime, test()));
}

/// Two ends of a stream, in the simulated world too.
async fn streams() -> io::Result<(UnixStream, UnixStream)> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("@tautline-framed-{}-{number}", std::process::id());
    let listener = UnixListener::bind(&name)?;
    let near = UnixStream::connect(&name).await?;
    Ok((near, listener.accept().await?))
}

/// Two ends of a stream, with a codec on one.
async fn lines(options: &Options) -> io::Result<(UnixStream, Framed<Lines>)> {
    let (near, far) = streams().await?;
    Ok((near, options.open(far, Lines::new(60_000))))
}

/// The same with lengths of four bytes before frames of any size.
async fn frames(options: &Options) -> io::Result<(UnixStream, Framed<LengthPrefix>)> {
    let (near, far) = streams().await?;
    Ok((near, options.open(far, LengthPrefix::u32().limit(usize::MAX))))
}

/// Two ends of a stream, each with the codec.
async fn pair<C: tautline_net::codec::Decode + Clone>(
    options: &Options,
    codec: C,
) -> io::Result<(Framed<C>, Framed<C>)> {
    let (near, far) = streams().await?;
    Ok((options.open(near, codec.clone()), options.open(Link::from(far), codec)))
}

fn options() -> Options {
    Options::default()
}

/// Writes bytes from outside of any codec.
async fn put(near: &UnixStream, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    near.write_all(bytes.as_ref().to_vec()).await.0.map(drop)
}

/// Options with small buffers of their own, and the pools.
fn with_pools(count: usize, size: usize) -> (Options, Pool, Pool) {
    let (read, write) = (Pool::new(count, size), Pool::new(count, size));
    (options().read_from(&read).write_to(&write), read, write)
}
