//! The socket of a line.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;

use socket2::SockAddr;
use tautline_net::MulticastPeer as Peer;
use tautline_relay::endpoint::MulticastDestination;
use tautline_runtime::{Batch, To};

use super::report::SentReport;
use super::run::RunError;
use crate::exchange::LineCounts;

/// Packets that one call sends at most.
const MOST: usize = 64;

/// The socket of a line: what goes in one turn of the loop leaves together.
pub(super) struct Sender {
    peer: Peer,
    group: SocketAddr,
    to: SockAddr,
    /// What is to leave.
    batch: RefCell<Batch>,
    /// Calls of the system.
    calls: Cell<u64>,
    refused: Cell<u64>,
    error: RefCell<Option<String>>,
    /// Packets are crowded out, which was told.
    is_crowded: Cell<bool>,
}

impl Sender {
    /// Of packets that are at most so long.
    pub(super) fn open(to: &MulticastDestination, packet: usize) -> Result<Self, RunError> {
        let peer = tautline_relay::open_group(to);
        let peer = peer.map_err(|error| RunError::line(to.group, &error))?;
        Ok(Self {
            peer,
            group: to.group,
            to: to.group.into(),
            batch: RefCell::new(Batch::new(MOST, packet)),
            calls: Cell::default(),
            refused: Cell::default(),
            error: RefCell::default(),
            is_crowded: Cell::default(),
        })
    }

    pub(super) fn group(&self) -> SocketAddr {
        self.group
    }

    /// A packet goes, at the latest with the next [`flush`](Self::flush).
    pub(super) fn send(&self, bytes: &[u8]) {
        let mut batch = self.batch.borrow_mut();
        if batch.len() == batch.capacity() {
            self.send_all(&mut batch);
        }
        if let Err(error) = batch.push(bytes, None) {
            self.refuse(1, &error.to_string());
        }
    }

    /// All that was to go leaves.
    pub(super) fn flush(&self) {
        self.send_all(&mut self.batch.borrow_mut());
    }

    fn send_all(&self, batch: &mut Batch) {
        let mut gone = 0;
        while gone < batch.len() {
            self.calls.set(self.calls.get() + 1);
            match self.peer.try_send_batch(batch, gone, To::All(&self.to)) {
                Ok(taken) => gone += taken,
                // There is no room, nor will there be for those behind it.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.refuse(batch.len() - gone, &error.to_string());
                    break;
                }
                Err(_) => {
                    // This one is in the way: alone, it has its error by name.
                    self.send_alone(batch.get(gone).map_or(&[], |packet| packet.bytes));
                    gone += 1;
                }
            }
        }
        batch.clear();
    }

    fn send_alone(&self, bytes: &[u8]) {
        self.calls.set(self.calls.get() + 1);
        if let Err(error) = self.peer.try_send_to(bytes, self.group) {
            self.refuse(1, &error.to_string());
        }
    }

    fn refuse(&self, packets: usize, text: &str) {
        self.refused.set(self.refused.get() + packets as u64);
        // Told when it changes: a system that has no room says the same each time.
        if self.error.borrow().as_deref() != Some(text) {
            log::warn!("{}: {text}", self.group);
            self.error.replace(Some(text.to_owned()));
        }
    }

    /// Tells once that packets are lost for which there is no room on the line, where `most` can be on
    /// their way at a time.
    pub(super) fn see_crowding(&self, counts: LineCounts, most: usize) {
        if counts.crowded_out > 0 && !self.is_crowded.replace(true) {
            log::warn!(
                "line {}: packets are crowded out, for more than {most} would be on their way: lower \
                 --delay or --rate",
                self.group
            );
        }
    }

    pub(super) fn report(&self, counts: LineCounts) -> SentReport {
        SentReport {
            group: self.group.to_string(),
            packets: counts.packets,
            sent: counts.delivered.saturating_sub(self.refused.get()),
            calls: self.calls.get(),
            lost: counts.lost,
            doubled: counts.doubled,
            reordered: counts.reordered,
            crowded_out: counts.crowded_out,
            refused: self.refused.get(),
            error: self.error.borrow().clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::time::Duration;

    use tautline_net::multicast::Peer as Member;
    use tautline_relay::endpoint::InterfaceName;
    use tautline_runtime::{Runtime, timer};

    fn line(group: [u8; 4], port: u16) -> Sender {
        let interface = Some(InterfaceName::Name("lo".to_owned()));
        let group = (group, port).into();
        let to = MulticastDestination { group, interface, hops: 0, loopback: true };
        Sender::open(&to, 100).unwrap()
    }

    fn counts(delivered: u64) -> LineCounts {
        LineCounts { delivered, ..LineCounts::default() }
    }

    /// What goes in one turn leaves by one call, more than that by one for each batch, in order.
    #[test]
    fn what_goes_together_leaves_by_one_call() {
        let runtime = Runtime::new(tautline_runtime::Config::default()).unwrap();
        let member = Member::bind("0.0.0.0:0").unwrap();
        let (group, port) = ([239, 255, 90, 1], member.local_addr().unwrap().port());
        member.join_on(std::net::IpAddr::from(group), "lo").unwrap();
        let sender = line(group, port);
        for n in 0..100 {
            sender.send(&[n]);
        }
        assert_eq!(sender.calls.get(), 1, "the first 64");
        sender.flush();
        sender.flush();
        let report = sender.report(counts(100));
        assert_eq!((report.calls, report.sent, report.refused, report.error), (2, 100, 0, None));
        let heard = runtime.block_on(async {
            let (mut batch, mut heard) = (member.batch(64, 100), Vec::new());
            while heard.len() < 100 {
                let limit = Duration::from_secs(10);
                timer::timeout(limit, member.receive_batch(&mut batch)).await.unwrap().unwrap();
                heard.extend(batch.iter().map(|packet| packet.bytes[0]));
            }
            heard
        });
        assert!(heard.unwrap().into_iter().eq(0..100));
    }

    /// A packet that cannot go is counted, with the reason, and holds up none of those behind it.
    #[test]
    fn what_cannot_go_holds_up_nothing() {
        let _runtime = Runtime::new(tautline_runtime::Config::default()).unwrap();
        let sender = line([239, 255, 90, 2], 9);
        sender.send(&[0; 101]);
        sender.send(&[0; 100]);
        sender.flush();
        let report = sender.report(counts(2));
        assert_eq!((report.sent, report.refused), (1, 1));
        assert!(report.error.is_some_and(|error| error.contains("101")));
        // A port that nobody can send to.
        let sender = line([239, 255, 90, 2], 0);
        for n in 0..3 {
            sender.send(&[n]);
        }
        sender.flush();
        let report = sender.report(counts(3));
        assert_eq!((report.sent, report.refused, report.calls), (0, 3, 6), "{report:?}");
        assert!(report.error.is_some_and(|error| error.contains("nvalid")));
    }
}
