//! One session of an echo client: what it sends, and what has to come back.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use super::scene::Scene;

/// A session. Its bytes never repeat, so that none can pass for another.
pub(super) struct Echo {
    pub(super) scene: Rc<Scene>,
    pub(super) id: usize,
    salt: u64,
    /// Bytes that go there and back.
    total: usize,
    sent: Cell<usize>,
    got: Cell<usize>,
}

impl Echo {
    pub(super) fn new(scene: &Rc<Scene>, id: usize) -> Self {
        let salt = scene.draw(0..usize::MAX) as u64;
        let total = scene.draw(1..scene.plan.most_bytes + 1);
        Self { scene: scene.clone(), id, salt, total, sent: Cell::new(0), got: Cell::new(0) }
    }

    /// The next bytes to send, some of them; none if all are sent.
    pub(super) fn chunk(&self) -> Vec<u8> {
        let sent = self.sent.get();
        let most = self.scene.draw(1..self.total + 1);
        (sent..self.total.min(sent + most)).map(|at| byte(self.salt, at)).collect()
    }

    /// So many more were sent.
    pub(super) fn advance(&self, n: usize) {
        self.sent.set(self.sent.get() + n);
    }

    /// Bytes that have still to come back.
    pub(super) fn missing(&self) -> usize {
        self.total - self.got.get()
    }

    /// These came back.
    pub(super) fn take(&self, bytes: &[u8]) -> io::Result<()> {
        let at = self.got.get();
        let expected = (at..self.total).map(|at| byte(self.salt, at));
        let wrong = bytes.iter().copied().zip(expected).position(|(got, sent)| got != sent);
        if let Some(wrong) = wrong {
            return Err(self.complain(&format!("byte {} is not the one sent", at + wrong)));
        }
        if bytes.len() > self.missing() {
            return Err(self.complain("more came back than was sent"));
        }
        self.got.set(at + bytes.len());
        Ok(())
    }

    /// The stream ended in order.
    pub(super) fn end(&self) -> io::Result<()> {
        match self.missing() {
            0 => Ok(()),
            missing => Err(self.complain(&format!("ended {missing} bytes too early"))),
        }
    }

    /// Notes what did not hold, and gives an error that ends the session.
    pub(super) fn complain(&self, what: &str) -> io::Error {
        let (id, total) = (self.id, self.total);
        self.scene.complain(format!("client {id}, {total} bytes to echo: {what}"));
        io::ErrorKind::ConnectionReset.into()
    }
}

fn byte(salt: u64, at: usize) -> u8 {
    (salt ^ at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()[1]
}
