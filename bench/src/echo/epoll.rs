//! The bare epoll loop: wait, receive, send; level-triggered, so one receive an event.

use std::{io, net::TcpStream};

use rustix::{
    buffer::spare_capacity,
    event::{
        Timespec,
        epoll::{self, CreateFlags, Event, EventData, EventFlags},
    },
};

use super::{End, RECEIVE_BUFFER, Received, Wait, receive, send};

const EVENTS: usize = 256;
const ZERO: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
const TENTH: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Runs until every connection is closed or `end` is over.
pub(super) fn run(connections: &[TcpStream], wait: Wait, end: &mut impl End) -> io::Result<()> {
    let poll = epoll::create(CreateFlags::CLOEXEC)?;
    for (index, stream) in connections.iter().enumerate() {
        epoll::add(&poll, stream, EventData::new_u64(index as u64), EventFlags::IN)?;
    }
    let timeout = if wait == Wait::Spin { ZERO } else { TENTH };
    let mut events: Vec<Event> = Vec::with_capacity(EVENTS);
    let mut buffer = vec![0; RECEIVE_BUFFER];
    let mut open = connections.len();
    while open > 0 && !end.is_over() {
        epoll::wait(&poll, spare_capacity(&mut events), Some(&timeout))?;
        for event in events.drain(..) {
            let stream = &connections[event.data.u64() as usize];
            match receive(stream, &mut buffer) {
                Received::Nothing => {}
                Received::Bytes(count) if end.arrived(count) => send(stream, &buffer[..count])?,
                Received::Bytes(_) => {}
                Received::Closed => {
                    epoll::delete(&poll, stream)?;
                    open -= 1;
                }
            }
        }
    }
    Ok(())
}
