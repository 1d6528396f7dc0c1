//! Where operations name memory, and the world's bytes go there or come from there.
//!
//! All of it is unsafe for one reason: the engine vouches for what an operation names
//! (see [`Driver::submit`](super::super::Driver::submit)), and nothing here can check it.

use std::{ptr, slice};

use socket2::SockAddr;

use super::Received;
use super::ancillary::Message;
use super::names::Name;

/// Copies `bytes` to `to`.
///
/// # Safety
/// As many bytes may be written there.
pub(super) unsafe fn write(to: *mut u8, bytes: &[u8]) {
    // SAFETY: as the caller promises; world and program share no memory.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
}

/// The `len` bytes at `from`.
///
/// # Safety
/// They may be read as long as the slice lives.
pub(super) unsafe fn read<'a>(from: *const u8, len: usize) -> &'a [u8] {
    if len == 0 {
        return &[];
    }
    // SAFETY: as the caller promises.
    unsafe { slice::from_raw_parts(from, len) }
}

/// The parts of a vector.
///
/// # Safety
/// `count` parts may be read there as long as the slice lives.
unsafe fn parts<'a>(iov: *const libc::iovec, count: usize) -> &'a [libc::iovec] {
    if count == 0 {
        return &[];
    }
    // SAFETY: as the caller promises.
    unsafe { slice::from_raw_parts(iov, count) }
}

/// How many bytes the parts of a vector hold.
///
/// # Safety
/// `iov` names `count` valid parts.
pub(super) unsafe fn capacity(iov: *const libc::iovec, count: usize) -> usize {
    // SAFETY: as the caller promises.
    let parts = unsafe { parts(iov, count) };
    parts.iter().fold(0, |sum, part| sum.saturating_add(part.iov_len))
}

/// Fills the parts of a vector with `bytes`, in order.
///
/// # Safety
/// `iov` names `count` valid parts, which hold as many bytes.
pub(super) unsafe fn scatter(iov: *const libc::iovec, count: usize, mut bytes: &[u8]) {
    // SAFETY: as the caller promises.
    for part in unsafe { parts(iov, count) } {
        let (now, later) = bytes.split_at(bytes.len().min(part.iov_len));
        // SAFETY: no more than the part holds.
        unsafe { write(part.iov_base.cast(), now) };
        bytes = later;
    }
}

/// The bytes of a vector, in order.
///
/// # Safety
/// `iov` names `count` valid parts.
pub(super) unsafe fn gather(iov: *const libc::iovec, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    // SAFETY: as the caller promises.
    for part in unsafe { parts(iov, count) } {
        // SAFETY: the part names as many bytes.
        bytes.extend_from_slice(unsafe { read(part.iov_base.cast(), part.iov_len) });
    }
    bytes
}

/// Where a message is to go, if it says so.
///
/// # Errors
/// `EAFNOSUPPORT` for an address that the world does not have, `EINVAL` for none at all.
///
/// # Safety
/// The header and its name are valid.
pub(super) unsafe fn destination(msg: *const libc::msghdr) -> Result<Option<Name>, i32> {
    // SAFETY: as the caller promises.
    let (name, len) = unsafe { ((*msg).msg_name, (*msg).msg_namelen) };
    if name.is_null() || len == 0 {
        return Ok(None);
    }
    // SAFETY: no more is written than the storage holds, and that is what `len` says.
    let addr = unsafe {
        SockAddr::try_init(|storage, room| {
            if len > *room {
                return Err(std::io::ErrorKind::InvalidInput.into());
            }
            ptr::copy_nonoverlapping(name.cast::<u8>(), storage.cast::<u8>(), len as usize);
            *room = len;
            Ok(())
        })
    };
    let ((), addr) = addr.map_err(|_| libc::EINVAL)?;
    Name::of(&addr).map(Some).ok_or(libc::EAFNOSUPPORT)
}

/// The size of the datagrams into which a message is to be cut (`UDP_SEGMENT`).
///
/// # Safety
/// The header and its ancillary data are valid.
pub(super) unsafe fn segment_size(msg: *const libc::msghdr) -> Option<usize> {
    // SAFETY: the macros stay within the ancillary data; a size takes two bytes.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(msg);
        while let Some(header) = control.as_ref() {
            if (header.cmsg_level, header.cmsg_type) == (libc::SOL_UDP, libc::UDP_SEGMENT) {
                let size = libc::CMSG_DATA(control).cast::<u16>().read_unaligned();
                return (size > 0).then(|| usize::from(size));
            }
            control = libc::CMSG_NXTHDR(msg, control);
        }
    }
    None
}

/// Writes control messages as far as there is room, as Linux does: the first one that does
/// not fit is cut off. Sets `MSG_CTRUNC` then.
///
/// # Safety
/// The header is valid, and its control memory may be written.
unsafe fn tell(header: &mut libc::msghdr, messages: &[Message]) {
    let room: usize = header.msg_controllen as _;
    let mut used = 0;
    for Message { level, kind, value } in messages {
        let (start, left) = (header.msg_control.wrapping_byte_add(used), room - used);
        if header.msg_control.is_null() || left < size_of::<libc::cmsghdr>() {
            header.msg_flags |= libc::MSG_CTRUNC;
            break;
        }
        // SAFETY: no more is written than is left; a header of zeroes is valid.
        unsafe {
            let whole = libc::CMSG_LEN(value.len() as u32) as usize;
            let len = whole.min(left);
            let mut message: libc::cmsghdr = std::mem::zeroed();
            message.cmsg_len = len as _;
            (message.cmsg_level, message.cmsg_type) = (*level, *kind);
            start.cast::<libc::cmsghdr>().write_unaligned(message);
            let value_at = libc::CMSG_LEN(0) as usize;
            write(start.wrapping_byte_add(value_at).cast(), &value[..len.saturating_sub(value_at)]);
            if len < whole {
                header.msg_flags |= libc::MSG_CTRUNC;
            }
            used += (libc::CMSG_SPACE(value.len() as u32) as usize).min(left);
        }
    }
    header.msg_controllen = used as _;
}

/// Fills a message with what was received: bytes, source, flags, control messages.
///
/// # Safety
/// The header is valid, with room for as many bytes.
pub(super) unsafe fn fill(
    msg: *mut libc::msghdr,
    received: &Received,
    messages: &[Message],
    v6: bool,
) {
    // SAFETY: as the caller promises.
    unsafe {
        let header = &mut *msg;
        scatter(header.msg_iov, header.msg_iovlen, &received.bytes);
        header.msg_flags = if received.truncated { libc::MSG_TRUNC } else { 0 };
        tell(header, messages);
        let Some(source) = received.source.as_ref().filter(|_| !header.msg_name.is_null()) else {
            header.msg_namelen = 0;
            return;
        };
        let addr = source.to_addr(v6);
        let len = addr.len().min(header.msg_namelen) as usize;
        ptr::copy_nonoverlapping(addr.as_ptr().cast::<u8>(), header.msg_name.cast(), len);
        header.msg_namelen = addr.len();
    }
}
