//! tokio's bounded channel into a task of a runtime that is kept awake.

use std::{io, ops::ControlFlow, sync::mpsc};

use tokio::{
    runtime::Builder,
    sync::mpsc::{Sender, channel},
};

use super::{CAPACITY, Mailbox, Poster};

/// A bounded channel.
pub(super) struct Channel;

impl Poster for Sender<u64> {
    fn post(&mut self, message: u64) -> bool {
        self.try_send(message).is_ok()
    }
}

impl Mailbox for Channel {
    type Poster = Sender<u64>;

    fn serve<H>(ready: mpsc::Sender<Self::Poster>, mut handler: H) -> io::Result<()>
    where
        H: FnMut(u64) -> ControlFlow<()> + Send + 'static,
    {
        let (poster, mut messages) = channel(CAPACITY);
        ready.send(poster).map_err(|_| io::Error::other("the poster has left"))?;
        Builder::new_current_thread().build()?.block_on(async {
            tokio::spawn(async {
                loop {
                    tokio::task::yield_now().await;
                }
            });
            while let Some(message) = messages.recv().await {
                if handler(message).is_break() {
                    break;
                }
            }
        });
        Ok(())
    }
}
