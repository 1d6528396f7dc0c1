//! One UDP feed to many receivers, many datagrams in one system call. Receivers are named on the
//! command line:
//!
//! ```sh
//! cargo run --release --example fan_out -- 127.0.0.1:6001 127.0.0.1:6002
//! echo hello | nc -u -w0 127.0.0.1 6000
//! ```

use std::net::SocketAddr;

use tautline::net::{Batch, Drained, To};
use tautline::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let receivers = std::env::args()
        .skip(1)
        .map(|to| Ok(to.parse::<SocketAddr>()?.into()))
        .collect::<Result<Vec<_>, std::net::AddrParseError>>()?;
    let runtime = Runtime::new(Config::default())?;
    let feed = UdpSocket::bind("127.0.0.1:6000")?.into_descriptor();
    let mut batch = Batch::new(64, 1500);
    feed.on_readable(move |feed| {
        while batch.receive(feed).is_ok() {
            for to in &receivers {
                // A datagram that the kernel has no room for is lost, as on any network.
                let _ = batch.send(feed, 0, To::All(to));
            }
        }
        Ok(Drained::Yes)
    })?;
    runtime.run()?;
    Ok(())
}
