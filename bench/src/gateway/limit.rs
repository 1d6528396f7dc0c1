//! A bare receive on both lines in turn, and a bare book update by whatever comes first.

use std::io::{self, ErrorKind};

use tautline_feed::format::{Format, Kind};
use tautline_market::message::Message;

use super::{
    Job, Outcome,
    feed::{Layout, PACKET},
};
use crate::multicast::sockets::joined;

/// Until the last message is in the books; nothing is lost on its lines.
pub(super) fn run(job: Job) -> io::Result<Outcome> {
    let Job { groups, day, ready, mut watch, .. } = job;
    let sockets = [joined(groups[0], false)?, joined(groups[1], false)?];
    let mut books = day.empty_books().map_err(io::Error::other)?;
    let _ = ready.send(());
    let (mut next, mut bytes) = (1, [0; PACKET]);
    loop {
        for socket in &sockets {
            let count = match socket.recv(&mut bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                other => other?,
            };
            let packet = Layout::parse(&bytes[..count]).map_err(io::Error::other)?;
            let Kind::Messages(count) = packet.kind else { continue };
            if packet.number != next {
                continue;
            }
            let mut body = packet.body;
            while let Some((message, rest)) = Layout::split(body) {
                let message = Message::decode(message).map_err(io::Error::other)?;
                books.apply(&message).map_err(io::Error::other)?;
                body = rest;
            }
            next += u64::from(count);
            if watch.reached(next) {
                return Ok(Outcome { done: watch.done, checksum: books.checksum() });
            }
        }
    }
}
