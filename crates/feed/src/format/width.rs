//! Numbers on the wire have few bits and wrap around; here they have 64 and do not.

/// Bits of a number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Width {
    /// As RTP (RFC 3550).
    U16,
    /// As [`Compact`](super::Compact).
    U32,
    /// As [`MoldUdp64`](super::MoldUdp64): they do not wrap.
    U64,
}

impl Width {
    /// The number that ends in those bits and is nearest to `near`; `None`: that would be below zero.
    ///
    /// ```
    /// use tautline_feed::format::Width;
    /// assert_eq!(Width::U16.nearest(2, 65_534), Some(65_538));
    /// assert_eq!(Width::U16.nearest(65_534, 65_538), Some(65_534));
    /// assert_eq!(Width::U16.nearest(65_534, 2), None);
    /// assert_eq!(Width::U64.nearest(2, 65_534), Some(2));
    /// ```
    #[inline]
    pub fn nearest(self, wire: u64, near: u64) -> Option<u64> {
        let ahead = match self {
            Self::U16 => i64::from((wire as u16).wrapping_sub(near as u16).cast_signed()),
            Self::U32 => i64::from((wire as u32).wrapping_sub(near as u32).cast_signed()),
            Self::U64 => return Some(wire),
        };
        near.checked_add_signed(ahead)
    }

    /// The same, if it is not behind `near`, nor farther from it than a half of all numbers, less one.
    #[inline]
    pub(crate) fn nearest_before(self, wire: u64, near: u64) -> Option<u64> {
        let before = self.cut(near.wrapping_sub(wire));
        if before < self.half() { near.checked_sub(before) } else { None }
    }

    /// The number as it is on the wire.
    #[inline]
    pub fn cut(self, number: u64) -> u64 {
        match self {
            Self::U16 => number & 0xffff,
            Self::U32 => number & 0xffff_ffff,
            Self::U64 => number,
        }
    }

    /// Half of all numbers: who is farther away is taken for one who is nearer.
    #[inline]
    pub(crate) fn half(self) -> u64 {
        match self {
            Self::U16 => 1 << 15,
            Self::U32 => 1 << 31,
            Self::U64 => 1 << 63,
        }
    }
}
