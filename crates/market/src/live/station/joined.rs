//! A line that a station has joined.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use tautline_feed::sequence::LineStats;
use tautline_net::multicast::Peer;
use tautline_net::{Conn, Details, LessGranted, Packet};
use tautline_relay::endpoint::MulticastSource;
use tautline_relay::join_group;
use tautline_runtime::Outcome;

use crate::live::report::LineReport;
use crate::live::run::RunError;

/// What the socket of a line is to hold, as far as the system grants it: a burst, while the loop does
/// something else.
const BUFFER: usize = 4 << 20;

/// Joins the group of a line. Of datagrams nothing is asked but their bytes, and of IPv6 by which
/// interface they came: Linux hands on what came by others too. If `buffer` names what the socket is to
/// hold, and less is granted, that is told.
pub(super) fn join(from: &MulticastSource, buffer: Option<u32>) -> Result<Peer, RunError> {
    let destination = from.group.is_ipv6();
    let details = Details { destination, ..Details::NONE };
    let asked = buffer.map(|bytes| bytes as usize);
    let options = Peer::options().receive_buffer(asked.unwrap_or(BUFFER)).details(details);
    let failed = |error| RunError::line(from.group, &error);
    let peer = join_group(from, &options).map_err(failed)?;
    let asked = asked.map(|asked| LessGranted::of_receive_buffer(peer.conn(), asked));
    if let Some(less) = asked.transpose().map_err(failed)?.flatten() {
        log::warn!("line {}: buffer: {less}", from.group);
    }
    Ok(peer)
}

/// A line that was joined, and receives.
pub(super) struct Joined {
    group: String,
    conn: Conn,
    end: Rc<End>,
}

/// What is left of a line whose socket is closed.
#[derive(Default)]
struct End {
    /// Datagrams that the socket had no room for, when it was asked last.
    dropped: Cell<u32>,
    error: RefCell<Option<String>>,
}

impl Joined {
    /// Hands on what `peer` receives.
    pub(super) fn receive<R: Outcome>(
        group: String,
        peer: Peer,
        receive: impl FnMut(&Conn, Packet<'_>) -> R + 'static,
    ) -> io::Result<Self> {
        let conn = peer.on_datagrams(receive)?;
        let (end, name) = (Rc::new(End::default()), group.clone());
        let last = end.clone();
        conn.on_close(move |conn, why| {
            last.count_drops(conn);
            if let Err(error) = why {
                log::error!("line {name}: {error}: nothing more comes by it");
                last.error.replace(Some(error.to_string()));
            }
        });
        Ok(Self { group, conn, end })
    }

    pub(super) fn group(&self) -> &str {
        &self.group
    }

    /// Receives no more.
    pub(super) fn close(&self) {
        self.end.count_drops(&self.conn);
        self.conn.close();
    }

    pub(super) fn report(&self, stats: LineStats) -> LineReport {
        self.end.count_drops(&self.conn);
        LineReport {
            group: self.group.clone(),
            packets: stats.packets,
            first: stats.first,
            lost: stats.lost,
            late: stats.late,
            behind_us: stats.behind.as_secs_f64() * 1e6,
            dropped: u64::from(self.end.dropped.get()),
            error: self.end.error.borrow().clone(),
        }
    }
}

impl End {
    /// Asks for what the socket has dropped; one that is closed keeps its count.
    fn count_drops(&self, conn: &Conn) {
        if let Ok(dropped) = conn.dropped() {
            self.dropped.set(dropped);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
    use std::time::Duration;

    use tautline_runtime::{Config, Runtime};

    use super::*;

    /// What a socket had no room for is counted though its line breaks between two reports, and why it broke
    /// is kept.
    #[test]
    fn lines_that_break_keep_their_counts() {
        let runtime = Runtime::new(Config::default()).unwrap();
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let group = SocketAddr::from((Ipv4Addr::new(239, 255, 79, 1), port));
        let lo = vec!["lo".into()];
        let from = MulticastSource { group, interfaces: lo, sources: Vec::new() };
        let peer = join_group(&from, &Peer::options().receive_buffer(1).details(Details::NONE));
        let broken = |_: &Conn, _: Packet<'_>| Err::<(), _>(io::Error::other("broken"));
        let line = Joined::receive("a line".to_owned(), peer.unwrap(), broken).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..100 {
            sender.send_to(&[7; 1000], group).unwrap();
        }
        for _ in 0..1000 {
            runtime.run_for(Duration::from_millis(5)).unwrap();
            if !line.conn.is_open() {
                break;
            }
        }
        let report = line.report(LineStats::default());
        assert!(report.dropped > 10, "{report:?}");
        assert_eq!(report.error.as_deref(), Some("broken"));
    }
}
