//! An echo server with callbacks: handlers are registered once, and see bytes where they were
//! received.
//!
//! ```sh
//! cargo run --release --example echo
//! echo hello | nc -N 127.0.0.1 7000
//! ```

use tautline::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = Runtime::new(Config::default())?;
    TcpListener::bind("127.0.0.1:7000")?
        .on_accept(|stream| stream.on_data(|stream, bytes| stream.write(bytes)))?;
    runtime.run()?;
    Ok(())
}
