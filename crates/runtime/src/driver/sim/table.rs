//! The descriptor numbers of a simulated world.

use std::collections::{BTreeSet, VecDeque};
use std::os::fd::RawFd;

use super::Numbering;
use super::world::SocketId;

/// The lowest number. Whoever takes a simulated descriptor to the kernel finds nothing
/// there, for real ones are numbered from 0.
const FIRST: RawFd = 1 << 24;

/// Which socket has which number.
#[derive(Debug)]
pub(super) struct Descriptors {
    /// By number less [`FIRST`].
    sockets: Vec<Option<SocketId>>,
    free: Free,
    open: usize,
    limit: usize,
}

/// Numbers below the highest ever given that are free.
#[derive(Debug)]
enum Free {
    Lowest(BTreeSet<usize>),
    /// The one that was freed first goes first, once there are more than `rest`.
    Rested {
        queue: VecDeque<usize>,
        rest: usize,
    },
}

impl Descriptors {
    /// Room for `limit` descriptors.
    pub(super) fn new(limit: usize, numbering: Numbering) -> Self {
        let free = match numbering {
            Numbering::Lowest => Free::Lowest(BTreeSet::new()),
            Numbering::Rested(rest) => Free::Rested { queue: VecDeque::new(), rest },
        };
        Self { sockets: Vec::new(), free, open: 0, limit }
    }

    /// Whether one more fits.
    pub(super) fn has_room(&self) -> bool {
        self.open < self.limit
    }

    /// A number for `socket`; there is room.
    pub(super) fn open(&mut self, socket: SocketId) -> RawFd {
        debug_assert!(self.has_room(), "more descriptors than the limit");
        let index = self.free.take().unwrap_or_else(|| {
            self.sockets.push(None);
            self.sockets.len() - 1
        });
        self.sockets[index] = Some(socket);
        self.open += 1;
        FIRST + index as RawFd
    }

    /// Which socket is `fd`.
    pub(super) fn get(&self, fd: RawFd) -> Option<SocketId> {
        let index = usize::try_from(fd.checked_sub(FIRST)?).ok()?;
        self.sockets.get(index).copied().flatten()
    }

    /// Frees the number `fd`; whose it was.
    pub(super) fn close(&mut self, fd: RawFd) -> Option<SocketId> {
        let socket = self.get(fd)?;
        let index = (fd - FIRST) as usize;
        self.sockets[index] = None;
        self.open -= 1;
        match &mut self.free {
            Free::Lowest(set) => drop(set.insert(index)),
            Free::Rested { queue, .. } => queue.push_back(index),
        }
        Some(socket)
    }
}

impl Free {
    fn take(&mut self) -> Option<usize> {
        match self {
            Self::Lowest(set) => set.pop_first(),
            Self::Rested { queue, rest } if queue.len() > *rest => queue.pop_front(),
            Self::Rested { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(numbering: Numbering) -> Descriptors {
        let mut table = Descriptors::new(4, numbering);
        for id in 0..3 {
            table.open(SocketId(id));
        }
        table
    }

    /// The lowest free number comes back first, as in a kernel.
    #[test]
    fn the_lowest_number_comes_back() {
        let mut table = filled(Numbering::Lowest);
        table.close(FIRST + 1);
        table.close(FIRST);
        assert_eq!(table.open(SocketId(9)), FIRST);
        assert_eq!(table.open(SocketId(10)), FIRST + 1);
        assert_eq!(table.get(FIRST), Some(SocketId(9)));
    }

    /// A number rests until enough others are free.
    #[test]
    fn a_number_rests() {
        let mut table = filled(Numbering::Rested(1));
        table.close(FIRST + 1);
        assert_eq!(table.open(SocketId(9)), FIRST + 3);
        table.close(FIRST);
        assert_eq!(table.open(SocketId(10)), FIRST + 1);
    }

    /// Numbers that are not open name nothing, whatever they are.
    #[test]
    fn what_is_not_open_names_nothing() {
        let mut table = filled(Numbering::Lowest);
        for fd in [-1, 0, i32::MIN, i32::MAX, FIRST + 3] {
            assert_eq!(table.get(fd), None);
            assert_eq!(table.close(fd), None);
        }
        assert!(table.has_room());
        table.open(SocketId(4));
        assert!(!table.has_room());
    }
}
