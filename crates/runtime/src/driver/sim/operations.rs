//! What is armed, and which completions wait to be told.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::RawFd;

use super::super::{Completion, Interest, Op, Token};

/// An operation between submission and its final completion.
#[derive(Debug)]
pub(super) struct Armed {
    pub(super) token: Token,
    pub(super) op: Op,
    /// Completions that were not yet told, oldest first.
    outbox: VecDeque<Completion>,
    telling: Telling,
    /// The final completion is in `outbox`.
    over: bool,
}

/// When the outbox is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Telling {
    /// There is nothing to tell.
    Quiet,
    /// By an event that is planned.
    Late,
    /// It stands in the queue.
    Queued,
}

/// All armed operations.
#[derive(Debug, Default)]
pub(super) struct Operations {
    /// By token index.
    slots: Vec<Option<Armed>>,
    /// Operations that are not over, by descriptor, oldest first.
    waiting: BTreeMap<RawFd, Vec<u32>>,
    /// Operations with something to tell, each once.
    queue: VecDeque<u32>,
}

impl Operations {
    /// Arms `op`.
    ///
    /// # Panics
    /// When the slot's last tenant is still armed: the engine broke the contract.
    pub(super) fn arm(&mut self, token: Token, op: Op) {
        let index = token.index();
        if self.slots.len() <= index as usize {
            self.slots.resize_with(index as usize + 1, || None);
        }
        let slot = &mut self.slots[index as usize];
        assert!(slot.is_none(), "{token:?} was armed while {slot:?} still was");
        *slot = Some(Armed {
            token,
            op,
            outbox: VecDeque::new(),
            telling: Telling::Quiet,
            over: false,
        });
        if let Some((fd, _)) = op.waits_for() {
            self.waiting.entry(fd).or_default().push(index);
        }
    }

    /// Operation `index`, if it is not over.
    pub(super) fn pending(&self, index: u32) -> Option<&Armed> {
        self.slots.get(index as usize)?.as_ref().filter(|armed| !armed.over)
    }

    /// The operation under `token`, if it is not over.
    pub(super) fn find(&self, token: Token) -> Option<&Armed> {
        self.pending(token.index()).filter(|armed| armed.token == token)
    }

    /// What waits for `interest` on `fd`, oldest first.
    pub(super) fn waiting_on(&self, fd: RawFd, interest: Interest) -> Vec<u32> {
        let indices = self.waiting.get(&fd).into_iter().flatten().copied();
        let fits = |&index: &u32| {
            let op = self.pending(index).and_then(|armed| armed.op.waits_for());
            op.is_some_and(|(_, wants)| wants == interest)
        };
        indices.filter(fits).collect()
    }

    /// All that is armed and not over.
    pub(super) fn all_pending(&self) -> impl Iterator<Item = &Armed> {
        self.slots.iter().flatten().filter(|armed| !armed.over)
    }

    /// Puts `completion` into the outbox of its operation, which is not over. Whether
    /// that has to be announced.
    pub(super) fn complete(&mut self, completion: Completion) -> bool {
        let index = completion.token.index();
        let Some(armed) = self.slots.get_mut(index as usize).and_then(Option::as_mut) else {
            return false;
        };
        armed.outbox.push_back(completion);
        armed.over = !completion.more;
        let (over, op, telling) = (armed.over, armed.op, armed.telling);
        if over {
            self.disarm(index, &op);
        }
        telling == Telling::Quiet
    }

    fn disarm(&mut self, index: u32, op: &Op) {
        let Some((fd, _)) = op.waits_for() else {
            return;
        };
        if let Some(indices) = self.waiting.get_mut(&fd) {
            indices.retain(|&other| other != index);
            if indices.is_empty() {
                self.waiting.remove(&fd);
            }
        }
    }

    /// The outbox of operation `index` is told by an event to come.
    pub(super) fn announce_later(&mut self, index: u32) {
        if let Some(armed) = self.slots.get_mut(index as usize).and_then(Option::as_mut) {
            armed.telling = Telling::Late;
        }
    }

    /// The outbox of operation `token` is told from now on.
    pub(super) fn announce(&mut self, token: Token) {
        let slot = self.slots.get_mut(token.index() as usize).and_then(Option::as_mut);
        if let Some(armed) = slot.filter(|armed| armed.token == token)
            && armed.telling != Telling::Queued
        {
            armed.telling = Telling::Queued;
            self.queue.push_back(token.index());
        }
    }

    /// How many operations have something to tell.
    pub(super) fn telling(&self) -> usize {
        self.queue.len()
    }

    /// The oldest completion of the operation at `place` in the queue. If there are more
    /// of it, it goes to the end; if it is over, its slot is free.
    pub(super) fn tell(&mut self, place: usize) -> Option<Completion> {
        let index = self.queue.remove(place)?;
        let slot = self.slots.get_mut(index as usize)?;
        let armed = slot.as_mut()?;
        let completion = armed.outbox.pop_front();
        if !armed.outbox.is_empty() {
            self.queue.push_back(index);
        } else if armed.over {
            *slot = None;
        } else {
            armed.telling = Telling::Quiet;
        }
        completion
    }

    /// Forgets operation `index` without a word.
    #[cfg(test)]
    pub(super) fn forget(&mut self, index: u32) {
        if let Some(armed) = self.slots.get_mut(index as usize).and_then(Option::take) {
            self.disarm(index, &armed.op);
            self.queue.retain(|&other| other != index);
        }
    }
}

/// As the trace names it.
pub(super) fn label(op: &Op) -> &'static str {
    match op {
        Op::Recv { .. } => "recv",
        Op::RecvPool { .. } => "recv into pool",
        Op::RecvMulti { .. } => "recv multishot",
        Op::Send { .. } => "send",
        Op::Read { .. } => "read",
        Op::Write { .. } => "write",
        Op::Readv { .. } => "readv",
        Op::Writev { .. } => "writev",
        Op::RecvMsg { .. } => "recvmsg",
        Op::SendMsg { .. } => "sendmsg",
        Op::Accept { .. } => "accept",
        Op::AcceptMulti { .. } => "accept multishot",
        Op::Connect { .. } => "connect",
        Op::Poll { .. } => "poll",
        Op::PollMulti { .. } => "poll multishot",
        Op::ReadAt { .. } | Op::WriteAt { .. } | Op::Fsync { .. } | Op::Open { .. } => "file",
    }
}
