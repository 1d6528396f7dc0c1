//! What a receive asks for with each datagram.

use crate::driver::{SocketOption, Stamp};

/// What a receive asks for with each datagram besides its bytes. Room is made for that
/// alone, and the kernel is not troubled with the rest.
///
/// The socket has to be asked as well: [`options`](Self::options) are to be set on it. A
/// socket that tells more than there is room for leaves out what does not fit, which may be
/// what was asked for.
///
/// ```
/// # use socket2::{Domain, Type};
/// # use tautline_runtime::{Batch, Config, Descriptor, Details, Runtime, Stamp};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Runtime::new(Config::default())?;
/// # let any: std::net::SocketAddr = ([127, 0, 0, 1], 0).into();
/// # let a = Descriptor::socket(Domain::IPV4, Type::DGRAM, None)?;
/// # let b = Descriptor::socket(Domain::IPV4, Type::DGRAM, None)?;
/// # b.bind(&any.into())?;
/// let details = Details { destination: true, time: Some(Stamp::Kernel), ..Details::NONE };
/// for option in details.options() {
///     b.set_option(option)?;
/// }
/// a.conn().try_send_to(b"timed", Some(&b.conn().local_addr()?))?;
/// let mut batch = Batch::with_details(16, 1500, details);
/// batch.receive(b.conn())?;
/// let packet = batch.get(0).ok_or("one datagram")?;
/// assert_eq!(packet.destination(), Some([127, 0, 0, 1].into()));
/// assert!(packet.arrival().is_some_and(|arrival| arrival.kernel.is_some()));
/// assert_eq!(packet.source(), None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Details {
    /// Who sent it.
    pub source: bool,
    /// To which address it was sent, and by which interface it came: which group, on a
    /// socket that has joined several.
    pub destination: bool,
    /// How many networks it might still have crossed: its time to live, or hop limit.
    pub hops: bool,
    /// When it arrived, and by whose clock.
    pub time: Option<Stamp>,
    /// How many the socket has dropped for want of room.
    pub drops: bool,
    /// How it is to be divided, on a socket with [`SocketOption::ReceiveOffload`]. Costs
    /// nothing on others.
    pub offload: bool,
}

impl Details {
    /// The bytes alone.
    pub const NONE: Self = Self {
        source: false,
        destination: false,
        hops: false,
        time: None,
        drops: false,
        offload: false,
    };

    /// What a socket must be told to tell as much as this, and no more.
    pub const fn options(self) -> [SocketOption; 4] {
        [
            SocketOption::PacketInfo(self.destination),
            SocketOption::HopCount(self.hops),
            SocketOption::ArrivalTime(self.time),
            SocketOption::DropCount(self.drops),
        ]
    }

    /// Bytes of the control messages that carry it; 0 for none.
    pub(super) const fn room(self) -> usize {
        let mut room = 0;
        if self.destination {
            // A socket of IPv6 tells of a datagram of IPv4 in both ways.
            room += space(size_of::<libc::in_pktinfo>()) + space(size_of::<libc::in6_pktinfo>());
        }
        if self.hops {
            room += space(size_of::<i32>());
        }
        room += match self.time {
            None => 0,
            Some(Stamp::Kernel) => space(size_of::<libc::timespec>()),
            Some(Stamp::Hardware) => space(size_of::<[libc::timespec; 3]>()),
        };
        if self.drops {
            room += space(size_of::<u32>());
        }
        if self.offload {
            room += space(size_of::<i32>());
        }
        room
    }
}

/// The source, and how a datagram is to be divided: what costs next to nothing.
impl Default for Details {
    fn default() -> Self {
        Self { source: true, offload: true, ..Self::NONE }
    }
}

/// What a control message takes whose value has `bytes` bytes.
const fn space(bytes: usize) -> usize {
    // SAFETY: plain arithmetic.
    unsafe { libc::CMSG_SPACE(bytes as u32) as usize }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Room is made for what is asked for alone.
    #[test]
    fn room_follows_from_what_is_asked() {
        assert_eq!(Details::NONE.room(), 0);
        assert_eq!(Details { source: true, ..Details::NONE }.room(), 0);
        let time = |stamp| Details { time: Some(stamp), ..Details::NONE }.room();
        assert!(0 < time(Stamp::Kernel) && time(Stamp::Kernel) < time(Stamp::Hardware));
        let drops = Details { drops: true, ..Details::NONE };
        let both = Details { destination: true, ..drops };
        assert!(drops.room() > 0 && both.room() > drops.room());
        assert!(Details { hops: true, ..both }.room() > both.room());
    }
}
