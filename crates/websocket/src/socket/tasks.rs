//! A connection whose messages a task or a fiber reads.

use std::io;

use tautline_buffer::Pool;
use tautline_runtime::fiber;

use super::WebSocket;
use super::receiving::Filled;
use super::receiving::Spot;
use super::shared::{Failure, State};
use crate::read::Event;

/// What a look at a connection has come to.
enum Step {
    Found(Spot),
    Again,
    Wait,
    Ring(Pool),
    Over,
}

impl WebSocket {
    /// The next message, or part, ping or pong; `None` once the connection has ended in order. It
    /// lies where it was received until the next call. Pings were answered by then.
    ///
    /// Dropped before it is over, it has lost nothing.
    ///
    /// # Errors
    /// What the peer did wrong; that it is dead, or has ended the stream without a farewell; what
    /// the kernel says.
    pub async fn read(&mut self) -> io::Result<Option<Event<'_>>> {
        let place = loop {
            match self.step()? {
                Step::Found(place) => break place,
                Step::Again => {}
                Step::Over => return self.farewell().map(|()| None),
                Step::Ring(pool) => {
                    let ring = pool.lending().await.map_err(io::Error::other)?;
                    self.receiving.give(ring);
                }
                Step::Wait => {
                    let ready = self.shared.wire.borrow().link.readiness();
                    // An end is found by the next look.
                    let _ = ready?.await;
                }
            }
        };
        self.show(&place)
    }

    /// The same for fibers: the one that calls waits.
    ///
    /// # Errors
    /// As [`read`](Self::read); outside a fiber.
    pub fn wait_read(&mut self) -> io::Result<Option<Event<'_>>> {
        fiber::wait_as("WebSocket::wait_read", self.read())?
    }

    fn show(&self, spot: &Spot) -> io::Result<Option<Event<'_>>> {
        match self.receiving.event(spot) {
            Ok(event) => Ok(Some(event)),
            Err(error) => {
                self.shared.fail(Failure::Protocol(error));
                self.shared.take_end().map_or(Ok(None), |how| how.map(|_| None))
            }
        }
    }

    /// It is over: with what was said, or why not in order. That is told once.
    fn farewell(&mut self) -> io::Result<()> {
        let Some(end) = self.shared.take_end() else { return Ok(()) };
        self.shared.tell(match &end {
            Ok(ended) => Ok(ended.clone()),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        });
        self.ended = Some(end?);
        Ok(())
    }

    /// Looks for an event in what has come, and then for more of that.
    fn step(&mut self) -> io::Result<Step> {
        if self.shared.state() == State::Over {
            return Ok(Step::Over);
        }
        let place = match self.receiving.find() {
            Ok(Some(place)) => place,
            Ok(None) => return self.fill(),
            Err(error) => {
                self.shared.fail(Failure::Protocol(error));
                return Ok(Step::Over);
            }
        };
        let event = match self.receiving.event(&place) {
            Ok(event @ (Event::Close(_) | Event::Ping(_))) => event,
            Ok(_) => return Ok(Step::Found(place)),
            Err(error) => {
                self.shared.fail(Failure::Protocol(error));
                return Ok(Step::Over);
            }
        };
        match self.shared.heed(event) {
            Ok(Some(_)) => Ok(Step::Found(place)),
            Ok(None) => Ok(Step::Over),
            Err(failure) => {
                self.shared.fail(failure);
                Ok(Step::Over)
            }
        }
    }

    fn fill(&mut self) -> io::Result<Step> {
        let filled = self.receiving.fill(&mut self.shared.wire.borrow_mut().link);
        match filled {
            Ok(Filled::Bytes) => {
                self.shared.hear();
                Ok(Step::Again)
            }
            Ok(Filled::Nothing) => {
                self.receiving.rest();
                Ok(Step::Wait)
            }
            Ok(Filled::End) => {
                self.shared.stream_ended();
                Ok(Step::Over)
            }
            Ok(Filled::NoRing(pool)) => Ok(Step::Ring(pool)),
            Err(error) => {
                self.shared.fail(Failure::Io(error));
                Ok(Step::Over)
            }
        }
    }
}
