//! Where packets come from: one file a sort.

mod connect;
mod datagram;
mod feed;
mod intake;
mod listen;
mod shm;
mod websocket;

use std::io;
use std::rc::Rc;

use super::fanout::Fanout;
use super::files;
use crate::endpoint::{Source as Endpoint, SourcePlace as Place};

/// A place that packets come from.
pub(crate) trait Source {
    /// Starts to receive.
    fn start(&self);

    /// There is room again: goes on with what was held back.
    fn resume(&self);

    /// Receives no more. What was received and not passed on is dropped.
    fn stop(&self);

    /// Packets that it has made up, if it is the built-in feed.
    fn written(&self) -> Option<u64> {
        None
    }
}

/// Opens a source. It receives nothing before it is started.
pub(crate) async fn open(from: &Endpoint, fanout: &Rc<Fanout>) -> io::Result<Rc<dyn Source>> {
    Ok(match &from.place {
        Place::Udp(address) => datagram::open(from, address, fanout).await?,
        Place::Multicast(group) => datagram::open_group(from, group, fanout)?,
        Place::Tcp(address) => connect::tcp(from, address, fanout),
        Place::Unix(name) => connect::unix(from, name, fanout),
        Place::TcpListen(address) => listen::tcp(from, address, fanout).await?,
        Place::UnixListen(name) => listen::unix(from, name, fanout)?,
        Place::WebSocket(peer) => websocket::connect(from, peer, fanout)?,
        Place::WebSocketListen(at) => websocket::listen(from, at, fanout).await?,
        Place::Shm(channel) => shm::open(from, channel, fanout)?,
        Place::File(path) => intake::whole(from, files::open_source(path)?, fanout),
        Place::Stdin => intake::whole(from, files::stdin()?, fanout),
        Place::Demo(shape) => feed::open(*shape, fanout),
    })
}

/// Slots that the source itself keeps, to receive to.
pub(crate) fn places(from: &Endpoint) -> usize {
    if matches!(from.place, Place::Udp(_) | Place::Multicast(_)) { datagram::BATCH } else { 0 }
}

/// Whether the source comes to an end by itself.
pub(crate) fn is_finite(from: &Endpoint) -> bool {
    matches!(from.place, Place::File(_) | Place::Stdin)
}
