//! Room for control messages.

use std::ptr;

/// Room for the control messages of some datagrams, as much for each.
pub(super) struct Controls {
    bytes: Box<[u8]>,
    /// Bytes for each.
    room: usize,
}

impl Controls {
    /// `room` bytes for each of `count` datagrams, or none at all.
    pub(super) fn new(count: usize, room: usize) -> Self {
        Self { bytes: vec![0; count * room].into(), room }
    }

    /// Bytes that there are for each.
    #[inline]
    pub(super) fn room(&self) -> usize {
        self.room
    }

    /// Where those of the datagram at `index` are to be written, and how many bytes there
    /// are: null if there is no room.
    pub(super) fn aim(&mut self, index: usize) -> (*mut libc::c_void, usize) {
        if self.room == 0 {
            return (ptr::null_mut(), 0);
        }
        (self.bytes[index * self.room..][..self.room].as_mut_ptr().cast(), self.room)
    }

    /// Those of the datagram at `index`, `len` bytes.
    #[inline]
    pub(super) fn get(&self, index: usize, len: u16) -> &[u8] {
        let start = index * self.room;
        &self.bytes[start..start + self.room.min(len.into())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each datagram has room of its own, or null where there is none for any.
    #[test]
    fn each_has_room_of_its_own() {
        let mut controls = Controls::new(2, 16);
        let (first, second) = (controls.aim(0), controls.aim(1));
        assert_eq!((first.0.wrapping_byte_add(16), first.1, second.1), (second.0, 16, 16));
        assert_eq!((controls.get(1, 3).len(), controls.get(1, 99).len()), (3, 16));
        let mut none = Controls::new(2, 0);
        assert_eq!((none.aim(1), none.get(1, 5)), ((ptr::null_mut(), 0), &[][..]));
    }
}
