//! Requests as a client sends them, and what tells that they were answered.

use std::net::TcpStream;
use std::time::Instant;

use super::BODY;
use crate::echo::{PATIENCE, Received, receive, send};
use crate::harness::Failure;

/// One request of HTTP/1.1.
pub(super) const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";

/// Counts answers in what comes.
pub(super) trait Counts {
    fn count(&mut self, bytes: &[u8]) -> Result<u64, Failure>;
}

/// Answers of HTTP/1.1: by the last byte of their body, which is in no header that anybody sends.
pub(super) struct Bodies;

impl Counts for Bodies {
    fn count(&mut self, bytes: &[u8]) -> Result<u64, Failure> {
        Ok(bytes.iter().filter(|byte| **byte == BODY[BODY.len() - 1]).count() as u64)
    }
}

/// Frames of HTTP/2, RFC 9113 §4.1.
pub(super) struct Frames {
    /// Of a frame that has not come whole.
    head: Vec<u8>,
    left: usize,
    /// What has to be answered: SETTINGS and PING.
    pub(super) answers: Vec<u8>,
    payload: Vec<u8>,
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;

impl Frames {
    pub(super) fn new() -> Self {
        Self { head: Vec::new(), left: 0, answers: Vec::new(), payload: Vec::new() }
    }

    /// A frame has come whole. Whether it ends an answer.
    fn frame(&mut self) -> Result<bool, Failure> {
        let (kind, flags) = (self.head[3], self.head[4]);
        match kind {
            DATA | HEADERS => return Ok(flags & END_STREAM != 0),
            SETTINGS if flags & ACK == 0 => put(&mut self.answers, SETTINGS, ACK, 0, &[]),
            PING if flags & ACK == 0 => put(&mut self.answers, PING, ACK, 0, &self.payload),
            RST_STREAM | GOAWAY => {
                let text = format!("frame {kind} from the server: {:?}", self.payload);
                return Err(std::io::Error::other(text).into());
            }
            _ => {}
        }
        Ok(false)
    }
}

impl Counts for Frames {
    fn count(&mut self, mut bytes: &[u8]) -> Result<u64, Failure> {
        let mut ended = 0;
        loop {
            if self.head.len() < 9 {
                let (head, rest) = bytes.split_at(bytes.len().min(9 - self.head.len()));
                self.head.extend_from_slice(head);
                bytes = rest;
                if self.head.len() < 9 {
                    return Ok(ended);
                }
                let length = [0, self.head[0], self.head[1], self.head[2]];
                self.left = u32::from_be_bytes(length) as usize;
                self.payload.clear();
            }
            let (payload, rest) = bytes.split_at(bytes.len().min(self.left));
            self.payload.extend_from_slice(payload);
            self.left -= payload.len();
            bytes = rest;
            if self.left > 0 {
                return Ok(ended);
            }
            ended += u64::from(self.frame()?);
            self.head.clear();
        }
    }
}

/// Appends a frame.
pub(super) fn put(to: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = (payload.len() as u32).to_be_bytes();
    to.extend_from_slice(&length[1..]);
    to.extend_from_slice(&[kind, flags]);
    to.extend_from_slice(&stream.to_be_bytes());
    to.extend_from_slice(payload);
}

/// How HTTP/2 begins: the preface, settings, and a window for everything that will ever come.
pub(super) fn preface() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    put(&mut bytes, SETTINGS, 0, 0, &[]);
    const WINDOW_UPDATE: u8 = 8;
    let most = (i32::MAX as u32 - 65_535).to_be_bytes();
    put(&mut bytes, WINDOW_UPDATE, 0, 0, &most);
    bytes
}

/// Appends a request on a stream: `GET http://a/`, its fields in the shortest form that takes nothing from the
/// requests before (RFC 7541 §6.1, §6.2.2).
pub(super) fn put_request(to: &mut Vec<u8>, stream: u32) {
    const END_HEADERS: u8 = 4;
    put(to, HEADERS, END_HEADERS | END_STREAM, stream, &[0x82, 0x86, 0x84, 0x01, 1, b'a']);
}

/// One connection of the generator: keeps so many requests unanswered.
pub(super) struct Speaker<C> {
    stream: TcpStream,
    counts: C,
    pub(super) sent: u64,
    pub(super) answered: u64,
}

impl<C: Counts> Speaker<C> {
    pub(super) fn new(stream: TcpStream, counts: C) -> Self {
        Self { stream, counts, sent: 0, answered: 0 }
    }

    pub(super) fn counts(&mut self) -> &mut C {
        &mut self.counts
    }

    /// Sends `count` requests.
    pub(super) fn say(&mut self, requests: &[u8], count: u64) -> Result<(), Failure> {
        send(&self.stream, requests)?;
        self.sent += count;
        Ok(())
    }

    pub(super) fn is_done(&self) -> bool {
        self.answered == self.sent
    }

    /// Takes in what is there. Whether anything was.
    pub(super) fn hear(&mut self, buffer: &mut [u8]) -> Result<bool, Failure> {
        match receive(&self.stream, buffer) {
            Received::Bytes(count) => {
                self.answered += self.counts.count(&buffer[..count])?;
                Ok(true)
            }
            Received::Nothing => Ok(false),
            Received::Closed => {
                Err(std::io::Error::other("the server closed the connection").into())
            }
        }
    }

    /// Waits for everything that is unanswered.
    pub(super) fn hear_all(&mut self, buffer: &mut [u8]) -> Result<(), Failure> {
        let start = Instant::now();
        let mut looks = 0_u32;
        while !self.is_done() {
            self.hear(buffer)?;
            looks += 1;
            if looks.is_multiple_of(1024) && start.elapsed() > PATIENCE {
                return Err(Failure::Stalled(PATIENCE));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers are counted wherever their bytes are cut, and what has to be answered is.
    #[test]
    fn frames_are_counted_wherever_they_are_cut() {
        let mut bytes = Vec::new();
        put(&mut bytes, SETTINGS, 0, 0, &[0; 6]);
        put(&mut bytes, HEADERS, 4, 1, b"head");
        put(&mut bytes, DATA, END_STREAM, 1, BODY);
        put(&mut bytes, PING, 0, 0, b"12345678");
        put(&mut bytes, HEADERS, 4 | END_STREAM, 3, b"head");
        for step in 1..bytes.len() {
            let mut frames = Frames::new();
            let ended: u64 = bytes.chunks(step).map(|piece| frames.count(piece).unwrap()).sum();
            assert_eq!(ended, 2);
            assert_eq!(frames.answers.len(), 9 + 17);
        }
    }
}
