//! Live data with no slack in the line.
//!
//! This crate is the front door: it hands on what a program needs from the rooms below.
//!
//! - [`Runtime`], [`Config`]: one loop on one pinned thread that owns every connection.
//! - [`net`]: TCP, UDP, Unix sockets, files and signals on that loop, each with callbacks, async
//!   operations and plain non-blocking calls.
//! - [`fiber`]: straight-line code that waits, thousands on a thread, with `fiber::net` for its
//!   sockets and files.
//! - [`timer`], [`task`], [`time`]: what happens later, what waits, and the clock.
//! - [`bus`]: messages between threads and processes: channels, broadcasts, requests, agents.
//! - [`feed`]: numbered messages in packets, and a sequencer that survives loss.
//! - [`log`]: log lines that cost the thread that writes them next to nothing, and outlast it.
//! - [`websocket`]: clients and servers of RFC 6455, with compression.
//! - [`buffer`]: byte buffers that wrap without a copy.
//! - [`http`]: HTTP/1.1 and HTTP/2 as server and client, routers of `axum`.
//! - [`relay`]: endpoints, framing, bounded subscriber queues and statistics of a live relay.
//! - [`feed`]: packets of numbered messages, and a sequencer that survives loss.
//! - [`market`]: order books from an exchange's lines, and an exchange to try them on.
//!
//! ```
//! use tautline::prelude::*;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = Runtime::new(Config::default())?;
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! # let address = listener.local_addr()?;
//! listener.on_accept(|stream| stream.on_data(|stream, bytes| stream.write(bytes)))?;
//! # runtime.block_on(TcpStream::connect(address))??;
//! # tautline::timer::after(std::time::Duration::ZERO, || drop(tautline::stop()))?;
//! runtime.run()?;
//! # Ok(())
//! # }
//! ```
//!
//! The `tautline` program is built from the same parts: see `tautline --help`.

#![forbid(unsafe_code)]

pub use tautline_buffer as buffer;
pub use tautline_bus as bus;
pub use tautline_feed as feed;
pub use tautline_http as http;
pub use tautline_log as log;
pub use tautline_market as market;
pub use tautline_net as net;
pub use tautline_relay as relay;
pub use tautline_runtime as runtime;
#[doc(inline)]
pub use tautline_runtime::{
    Budgets, Config, Conn, Descriptor, DriverChoice, Error, Runtime, WaitMode, Wish, defer,
    fiber_local, listen, now, now_precise, offload, remote, stop, task, time, timer, watch,
};
pub use tautline_websocket as websocket;

/// Fibers: straight-line code on the loop.
pub mod fiber {
    pub use crate::net::fiber as net;
    pub use tautline_runtime::fiber::*;
}

/// What most programs use.
pub mod prelude {
    pub use crate::net::{TcpListener, TcpStream, UdpSocket};
    pub use crate::{Config, Conn, Runtime, task, timer};
}

/// The examples of the pages that are no Rust files, compiled and run as tests.
#[cfg(doctest)]
mod pages {
    macro_rules! pages {
        ($($name:ident: $path:literal,)*) => {$(
            #[doc = include_str!(concat!("../../../", $path))]
            mod $name {}
        )*};
    }

    pages! {
        readme: "README.md",
        the_loop: "docs/loop.md",
        fibers: "docs/fibers.md",
        bus: "docs/bus.md",
        feed: "docs/feed.md",
        operations: "docs/operations.md",
        buffers: "docs/buffers.md",
        codecs: "docs/codecs.md",
        log: "docs/log.md",
        multicast: "docs/multicast.md",
        tls: "docs/tls.md",
        http: "docs/http.md",
        waiting: "docs/waiting.md",
        websocket: "docs/websocket.md",
        relay: "docs/relay.md",
        market: "docs/market.md",
    }
}
