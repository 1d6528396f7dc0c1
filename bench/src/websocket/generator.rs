//! Frames as a client sends them, and what a server answers.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

use tautline_buffer::kernels::unmask_scalar;
use tautline_websocket::frame::{Header, Opcode, put};

/// Messages of one length: as they are sent, one behind the other, and as they are to come back.
pub(super) struct Script {
    pub(super) sent: Vec<u8>,
    pub(super) answer: Vec<u8>,
    /// Messages in it.
    pub(super) count: usize,
}

impl Script {
    /// `count` messages of `length` bytes, each masked with a key of its own.
    pub(super) fn new(length: usize, count: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(7);
        let (mut sent, mut answer) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let payload: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(length).collect();
            let mut room = vec![0; length + 14];
            let header = Header::new(Opcode::Binary, length);
            let n = put(&mut room, &header, &payload);
            answer.extend_from_slice(&room[..n]);
            let key = random.u32(..).to_ne_bytes();
            let header = Header { mask: Some(key), ..header };
            let n = header.put(&mut room);
            sent.extend_from_slice(&room[..n]);
            let mut masked = payload;
            unmask_scalar(&mut masked, key, 0);
            sent.extend_from_slice(&masked);
        }
        Self { sent, answer, count }
    }
}

/// One connection of the generator: sends the script again and again, a few of them
/// unanswered.
pub(super) struct Speaker<'s> {
    stream: TcpStream,
    script: &'s Script,
    /// Bytes of the current script that have left.
    out: usize,
    /// Scripts that have left whole.
    pub(super) sent: u64,
    /// Bytes that have come back.
    pub(super) came: u64,
    /// The first script's answer is compared byte by byte.
    checked: usize,
    /// Scripts that may be unanswered.
    ahead: u64,
}

impl<'s> Speaker<'s> {
    pub(super) fn new(stream: TcpStream, script: &'s Script, ahead: u64) -> Self {
        Self { stream, script, out: 0, sent: 0, came: 0, checked: 0, ahead }
    }

    /// Whole answers that have come back.
    pub(super) fn answered(&self) -> u64 {
        self.came / self.script.answer.len() as u64
    }

    /// Messages that have come back.
    pub(super) fn messages(&self) -> f64 {
        self.came as f64 * self.script.count as f64 / self.script.answer.len() as f64
    }

    /// Sends what may be sent, and takes in what is there. Whether anything has happened.
    pub(super) fn turn(&mut self, goes_on: bool, buffer: &mut [u8]) -> io::Result<bool> {
        let sent = self.send(goes_on)?;
        Ok(self.receive(buffer)? || sent)
    }

    /// Sends one script.
    pub(super) fn say(&mut self) -> io::Result<()> {
        let goal = self.sent + 1;
        while self.sent < goal {
            self.send(self.out == 0)?;
        }
        Ok(())
    }

    fn send(&mut self, goes_on: bool) -> io::Result<bool> {
        let mut any = false;
        while self.out > 0 || (goes_on && self.sent < self.answered() + self.ahead) {
            match (&self.stream).write(&self.script.sent[self.out..]) {
                Ok(n) => {
                    any = true;
                    self.out += n;
                    if self.out == self.script.sent.len() {
                        (self.out, self.sent) = (0, self.sent + 1);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(any)
    }

    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        match (&self.stream).read(buffer) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                self.check(&buffer[..n])?;
                self.came += n as u64;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn check(&mut self, bytes: &[u8]) -> io::Result<()> {
        let answer = &self.script.answer[self.checked..];
        let n = bytes.len().min(answer.len());
        if bytes[..n] != answer[..n] {
            return Err(io::Error::other("the answer is not what was asked for"));
        }
        self.checked += n;
        Ok(())
    }

    /// Whether everything that was sent has come back.
    pub(super) fn is_done(&self) -> bool {
        self.out == 0 && self.came == self.sent * self.script.answer.len() as u64
    }
}
