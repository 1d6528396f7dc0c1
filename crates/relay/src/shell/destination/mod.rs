//! Where packets go: one file a sort.

mod connect;
mod datagram;
mod file;
mod listen;
mod messages;
mod shm;
mod subscribers;
mod websocket;

use std::io;
use std::rc::Rc;

use super::fanout::Fanout;
use super::report::Tally;
use crate::endpoint::{Destination as Endpoint, DestinationPlace as Place};
use crate::pool::Run;

/// A place that packets go to.
pub(crate) trait Destination {
    /// Everything is open, and the feed is about to start: what is written over is emptied now.
    fn begin(&self) -> io::Result<()> {
        Ok(())
    }

    /// Queues packets, as the policy says.
    fn deliver(&self, run: &Run);

    /// Sends what is queued, as far as it can be sent now.
    fn flush(&self);

    /// Whether nothing is left to send.
    fn is_idle(&self) -> bool;

    /// Whether somebody is there to receive, or nobody needs to be.
    fn is_attended(&self) -> bool {
        true
    }

    /// Takes nobody new, closes everything in order; what is still queued is lost.
    fn close(&self);

    /// Packets in the fullest queue.
    fn queued(&self) -> usize;

    /// What it has counted.
    fn tally(&self) -> &Tally;
}

/// Opens a destination. One that connects is opened before it is connected.
pub(crate) async fn open(
    to: &Endpoint,
    fanout: &Rc<Fanout>,
    tally: &Rc<Tally>,
) -> io::Result<Rc<dyn Destination>> {
    Ok(match &to.place {
        Place::Udp(address) => datagram::open(to, address, fanout, tally).await?,
        Place::Multicast(group) => datagram::open_group(to, group, fanout, tally)?,
        Place::Tcp(address) => connect::open(to, address, fanout, tally)?,
        Place::TcpListen(address) => listen::tcp(to, address, fanout, tally).await?,
        Place::UnixListen(name) => listen::unix(to, name, fanout, tally)?,
        Place::WebSocket(peer) => websocket::connect(to, peer, fanout, tally)?,
        Place::WebSocketListen(at) => websocket::listen(to, at, fanout, tally).await?,
        Place::Shm(channel) => shm::open(to, channel, fanout, tally)?,
        Place::File(path) => file::open(to, path, fanout, tally)?,
        Place::Stdout => file::stdout(to, fanout, tally)?,
    })
}
