//! The standard library's bounded channel, polled.

use std::{
    io,
    ops::ControlFlow,
    sync::mpsc::{Sender, SyncSender, TryRecvError, sync_channel},
};

use super::{CAPACITY, Mailbox, Poster};

/// A bounded channel.
pub(super) struct Channel;

impl Poster for SyncSender<u64> {
    fn post(&mut self, message: u64) -> bool {
        self.try_send(message).is_ok()
    }
}

impl Mailbox for Channel {
    type Poster = SyncSender<u64>;

    fn serve<H>(ready: Sender<Self::Poster>, mut handler: H) -> io::Result<()>
    where
        H: FnMut(u64) -> ControlFlow<()> + Send + 'static,
    {
        let (poster, messages) = sync_channel(CAPACITY);
        ready.send(poster).map_err(|_| io::Error::other("the poster has left"))?;
        loop {
            match messages.try_recv() {
                Ok(message) if handler(message).is_break() => return Ok(()),
                Ok(_) => {}
                Err(TryRecvError::Empty) => std::hint::spin_loop(),
                Err(TryRecvError::Disconnected) => return Ok(()),
            }
        }
    }
}
