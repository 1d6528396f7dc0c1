//! An echo server with fibers: straight-line code, borrowed buffers, a stack from the pool each.
//!
//! ```sh
//! cargo run --release --example echo_fiber
//! echo hello | nc -N 127.0.0.1 7000
//! kill -USR1 $(pgrep echo_fiber) # lists the fibers
//! ```

use std::io;

use tautline::fiber::net::{TcpListener, TcpStream, list_on};
use tautline::fiber::{Builder, Stack};
use tautline::net::Signal;
use tautline::{Config, Runtime};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::default();
    config.stacks.small.count = 10_000; // so many are served at a time; others wait their turn
    let runtime = Runtime::new(config)?;
    runtime.run_fiber(Stack::Small, || {
        list_on(Signal::USER_1)?;
        let listener = TcpListener::bind("127.0.0.1:7000")?;
        loop {
            let (stream, peer) = listener.accept_from()?;
            let fiber = Builder::new(Stack::Small).name(peer.to_string());
            fiber.spawn(move || serve(&stream))?.detach();
        }
    })?
}

/// What goes wrong with one of them ends that one alone.
fn serve(stream: &TcpStream) {
    if let Err(error) = echo(stream) {
        eprintln!("{error}");
    }
}

fn echo(stream: &TcpStream) -> io::Result<()> {
    let mut buf = [0; 4096];
    loop {
        match stream.read(&mut buf)? {
            0 => return Ok(()),
            n => stream.write_all(&buf[..n])?,
        }
    }
}
