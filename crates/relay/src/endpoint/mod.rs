//! Endpoints: where a feed comes from and where it goes, as one URL each.
//!
//! | URL | as source | as destination |
//! | --- | --- | --- |
//! | `udp://HOST:PORT` | binds and receives | sends to |
//! | `mcast://GROUP:PORT` | joins the group and receives | sends to it |
//! | `tcp://HOST:PORT` | connects and reads | connects and writes |
//! | `tcp-listen://HOST:PORT` | accepts and reads | accepts many subscribers |
//! | `ws://`, `wss://` `HOST:PORT/PATH` | connects; a message is a packet | connects and sends |
//! | `ws-listen://`, `wss-listen://` `HOST:PORT` | accepts and reads | accepts many subscribers |
//! | `unix://PATH` | connects and reads | |
//! | `unix-listen://PATH` | accepts and reads | accepts many subscribers |
//! | `shm://NAMESPACE/NAME` | receives from a byte channel of the bus | sends into one |
//! | `file:PATH` | reads to the end | writes from the start |
//! | `stdin:` / `stdout:` | reads | writes |
//! | `demo:` | the built-in sequenced feed | |
//!
//! `HOST` is a name, an IPv4 address or an IPv6 address in brackets. `@name` in place of a Unix
//! path names an abstract socket. `%XX` in a path stands for one byte (`%3F` is `?`). Options
//! follow as `?key=value&key=value`; each error names what was written and the remedy, in one
//! line.

mod address;
mod channel;
mod destination;
mod error;
mod multicast;
mod options;
mod source;
mod url;
mod websocket;

pub use address::{Host, HostPort, UnixName};
pub use channel::{DEFAULT_CAPACITY, ShmChannel};
pub use destination::{DEFAULT_SUBSCRIBERS, Destination, DestinationPlace};
pub use error::EndpointError;
pub use multicast::{InterfaceName, MulticastDestination, MulticastSource};
pub use source::{DEFAULT_PUBLISHERS, DemoFeed, Source, SourcePlace};
pub use websocket::{Certificate, WebSocketListener, WebSocketPeer};
