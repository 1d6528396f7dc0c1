//! The bare loop: receives, parses headers, unmasks in place, and answers all that one receive has
//! brought in one send.

use std::io;
use std::net::TcpStream;

use tautline_buffer::kernels::unmask;

use super::{BUFFER, Server};
use crate::echo::{Job, Received, receive, send};
use crate::harness::Role;

/// Room for the longest message and what one receive brings beside.
const ROOM: usize = (512 << 10) + BUFFER;

pub(super) fn servers() -> Vec<Server> {
    vec![Server { name: "bare", role: Role::Limit, serve: bare }]
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Bytes of it that hold a part of a message.
    held: usize,
}

/// A non-blocking receive on every connection in turn.
fn bare(job: Job) -> io::Result<u64> {
    let open = |stream| Connection { stream, buffer: vec![0; ROOM], held: 0 };
    let mut connections: Vec<_> = job.connections.into_iter().map(open).collect();
    let (mut out, mut messages) = (vec![0; ROOM], 0);
    while !connections.is_empty() {
        let mut at = 0;
        while at < connections.len() {
            let connection = &mut connections[at];
            let held = connection.held;
            let most = ROOM.min(held + BUFFER);
            match receive(&connection.stream, &mut connection.buffer[held..most]) {
                Received::Nothing => at += 1,
                Received::Closed => drop(connections.swap_remove(at)),
                Received::Bytes(count) => {
                    connection.held += count;
                    messages += connection.answer(&mut out)?;
                    at += 1;
                }
            }
        }
    }
    Ok(messages)
}

impl Connection {
    /// Answers what is there whole. Returns how many messages that were.
    fn answer(&mut self, out: &mut [u8]) -> io::Result<u64> {
        let (mut at, mut to, mut messages) = (0, 0, 0);
        while let Some((start, key, length)) = header(&self.buffer[at..self.held]) {
            let end = at + start + length;
            if end > self.held {
                break;
            }
            let payload = &mut self.buffer[at + start..end];
            unmask(payload, key, 0);
            to += put_header(&mut out[to..], length);
            out[to..to + length].copy_from_slice(payload);
            to += length;
            at = end;
            messages += 1;
        }
        send(&self.stream, &out[..to])?;
        self.buffer.copy_within(at..self.held, 0);
        self.held -= at;
        Ok(messages)
    }
}

/// Where the payload of a masked, final, binary frame starts, its key, and how long it is.
#[inline]
pub(super) fn header(bytes: &[u8]) -> Option<(usize, [u8; 4], usize)> {
    let (&[_, second], rest) = bytes.split_first_chunk()?;
    let (length, rest, start) = match second & 0x7f {
        126 => {
            let (length, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*length)), rest, 8)
        }
        127 => {
            let (length, rest) = rest.split_first_chunk()?;
            (u64::from_be_bytes(*length) as usize, rest, 14)
        }
        short => (usize::from(short), rest, 6),
    };
    Some((start, *rest.first_chunk()?, length))
}

/// Writes the header of the answer; returns its length.
#[inline]
pub(super) fn put_header(room: &mut [u8], length: usize) -> usize {
    room[0] = 0x82;
    match length {
        0..=125 => {
            room[1] = length as u8;
            2
        }
        126..=0xffff => {
            room[1] = 126;
            room[2..4].copy_from_slice(&(length as u16).to_be_bytes());
            4
        }
        _ => {
            room[1] = 127;
            room[2..10].copy_from_slice(&(length as u64).to_be_bytes());
            10
        }
    }
}
