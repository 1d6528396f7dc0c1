//! The operations that a caller can start: what each owns while it is pending, how the
//! kernel sees it, and what it yields.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::rc::Rc;

use socket2::SockAddr;

use crate::buf::{IoBuf, IoBufMut};
use crate::core::Core;
use crate::descriptor::Descriptor;
use crate::driver::{Interest, Op};
use crate::engine::io::Class;
use crate::engine::ops::{Kind, Side};
use crate::engine::outcome::Outcome;

/// What an operation of one sort yields. The sorts are the runtime's own.
pub trait Yields {
    /// What the caller gets.
    type Output;
}

/// How the result of an operation reaches its caller.
pub(crate) trait Yield: Kind + Yields {
    /// Makes it from what the kernel answered.
    fn output(self, core: &Rc<Core>, outcome: Outcome) -> Self::Output;
}

/// A result and the buffer that the operation owned.
pub type WithBuffer<B> = (io::Result<usize>, B);

/// Reads once, or until the buffer is full if `EXACT`.
#[derive(Debug)]
pub struct Read<B, const EXACT: bool> {
    pub(crate) buf: B,
    pub(crate) class: Class,
}

impl<B: IoBufMut, const EXACT: bool> Kind for Read<B, EXACT> {
    const SIDE: Side = Side::Read;
    const EXACT: bool = EXACT;

    fn op(&mut self, fd: RawFd, done: usize) -> Op {
        let rest = &mut self.buf.bytes_mut()[done..];
        let (buf, len) = (rest.as_mut_ptr(), rest.len());
        if self.class.is_socket() { Op::Recv { fd, buf, len } } else { Op::Read { fd, buf, len } }
    }
}

impl<B: IoBufMut, const EXACT: bool> Yields for Read<B, EXACT> {
    type Output = WithBuffer<B>;
}

impl<B: IoBufMut, const EXACT: bool> Yield for Read<B, EXACT> {
    fn output(self, _: &Rc<Core>, outcome: Outcome) -> Self::Output {
        (outcome.map_err(Into::into), self.buf)
    }
}

/// Writes once, or until everything is written if `EXACT`.
#[derive(Debug)]
pub struct Write<B, const EXACT: bool> {
    pub(crate) buf: B,
    pub(crate) class: Class,
}

impl<B: IoBuf, const EXACT: bool> Kind for Write<B, EXACT> {
    const SIDE: Side = Side::Write;
    const EXACT: bool = EXACT;

    fn op(&mut self, fd: RawFd, done: usize) -> Op {
        let rest = &self.buf.bytes()[done..];
        let (buf, len) = (rest.as_ptr(), rest.len());
        if self.class.is_socket() { Op::Send { fd, buf, len } } else { Op::Write { fd, buf, len } }
    }
}

impl<B: IoBuf, const EXACT: bool> Yields for Write<B, EXACT> {
    type Output = WithBuffer<B>;
}

impl<B: IoBuf, const EXACT: bool> Yield for Write<B, EXACT> {
    fn output(self, _: &Rc<Core>, outcome: Outcome) -> Self::Output {
        (outcome.map_err(Into::into), self.buf)
    }
}

/// Reads into several buffers in one call.
#[derive(Debug)]
pub struct ReadVectored<B> {
    pub(crate) bufs: Vec<B>,
    vectors: Vectors,
}

/// Writes several buffers in one call.
#[derive(Debug)]
pub struct WriteVectored<B> {
    pub(crate) bufs: Vec<B>,
    vectors: Vectors,
}

/// The kernel's list of buffers. Points into buffers owned beside it.
#[derive(Debug, Default)]
struct Vectors(Vec<libc::iovec>);

impl Vectors {
    /// Buffers beyond the kernel's limit are left out; the count tells what moved.
    const MOST: usize = 1024;

    fn fill(
        &mut self,
        parts: impl Iterator<Item = (*mut u8, usize)>,
    ) -> (*const libc::iovec, usize) {
        self.0.clear();
        self.0.extend(
            parts
                .take(Self::MOST)
                .map(|(base, len)| libc::iovec { iov_base: base.cast(), iov_len: len }),
        );
        (self.0.as_mut_ptr().cast_const(), self.0.len())
    }
}

impl<B> ReadVectored<B> {
    pub(crate) fn new(bufs: Vec<B>) -> Self {
        Self { bufs, vectors: Vectors::default() }
    }
}

impl<B> WriteVectored<B> {
    pub(crate) fn new(bufs: Vec<B>) -> Self {
        Self { bufs, vectors: Vectors::default() }
    }
}

/// Slices of a caller that waits, as the kernel's list: `std` promises that they are laid out like
/// it. Made and used up within one call of the fiber face, which outlasts the operation.
#[derive(Debug)]
pub(crate) struct Slices<const WRITES: bool> {
    iov: *const libc::iovec,
    count: usize,
}

impl Slices<false> {
    /// To be read into.
    pub(crate) fn to_fill(slices: &mut [io::IoSliceMut<'_>]) -> Self {
        let count = slices.len().min(Vectors::MOST);
        Self { iov: slices.as_mut_ptr().cast_const().cast(), count }
    }
}

impl Slices<true> {
    /// To be written.
    pub(crate) fn to_send(slices: &[io::IoSlice<'_>]) -> Self {
        Self { iov: slices.as_ptr().cast(), count: slices.len().min(Vectors::MOST) }
    }
}

impl<const WRITES: bool> Kind for Slices<WRITES> {
    const SIDE: Side = if WRITES { Side::Write } else { Side::Read };

    fn op(&mut self, fd: RawFd, _: usize) -> Op {
        let Self { iov, count } = *self;
        if WRITES { Op::Writev { fd, iov, count } } else { Op::Readv { fd, iov, count } }
    }
}

impl<const WRITES: bool> Yields for Slices<WRITES> {
    type Output = io::Result<usize>;
}

impl<const WRITES: bool> Yield for Slices<WRITES> {
    fn output(self, _: &Rc<Core>, outcome: Outcome) -> Self::Output {
        outcome.map_err(Into::into)
    }
}

impl<B: IoBufMut> Kind for ReadVectored<B> {
    const SIDE: Side = Side::Read;

    fn op(&mut self, fd: RawFd, _: usize) -> Op {
        let parts = self.bufs.iter_mut().map(|buf| {
            let bytes = buf.bytes_mut();
            (bytes.as_mut_ptr(), bytes.len())
        });
        let (iov, count) = self.vectors.fill(parts);
        Op::Readv { fd, iov, count }
    }
}

impl<B: IoBuf> Kind for WriteVectored<B> {
    const SIDE: Side = Side::Write;

    fn op(&mut self, fd: RawFd, _: usize) -> Op {
        let parts = self.bufs.iter().map(|buf| {
            let bytes = buf.bytes();
            (bytes.as_ptr().cast_mut(), bytes.len())
        });
        let (iov, count) = self.vectors.fill(parts);
        Op::Writev { fd, iov, count }
    }
}

impl<B: IoBufMut> Yields for ReadVectored<B> {
    type Output = (io::Result<usize>, Vec<B>);
}

impl<B: IoBufMut> Yield for ReadVectored<B> {
    fn output(self, _: &Rc<Core>, outcome: Outcome) -> Self::Output {
        (outcome.map_err(Into::into), self.bufs)
    }
}

impl<B: IoBuf> Yields for WriteVectored<B> {
    type Output = (io::Result<usize>, Vec<B>);
}

impl<B: IoBuf> Yield for WriteVectored<B> {
    fn output(self, _: &Rc<Core>, outcome: Outcome) -> Self::Output {
        (outcome.map_err(Into::into), self.bufs)
    }
}

/// Accepts one connection.
#[derive(Debug)]
pub struct Accept;

impl Kind for Accept {
    const SIDE: Side = Side::Read;

    fn op(&mut self, fd: RawFd, _: usize) -> Op {
        Op::Accept { fd }
    }
}

impl Yields for Accept {
    type Output = io::Result<Descriptor>;
}

impl Yield for Accept {
    fn output(self, core: &Rc<Core>, outcome: Outcome) -> Self::Output {
        Descriptor::adopt(core, outcome? as RawFd, Class::Stream)
    }
}

/// Connects a socket.
#[derive(Debug)]
pub struct Connect {
    /// Boxed, so that it stays where the kernel was told it is.
    pub(crate) addr: Box<SockAddr>,
}

impl Kind for Connect {
    const SIDE: Side = Side::Write;

    fn op(&mut self, fd: RawFd, _: usize) -> Op {
        Op::Connect { fd, addr: &raw const *self.addr }
    }
}

impl Yields for Connect {
    type Output = io::Result<()>;
}

impl Yield for Connect {
    fn output(self, _: &Rc<Core>, outcome: Outcome) -> Self::Output {
        outcome.map(|_| ()).map_err(Into::into)
    }
}

/// Waits until a descriptor is ready.
#[derive(Debug)]
pub struct Ready {
    pub(crate) interest: Interest,
}

impl Kind for Ready {
    const SIDE: Side = Side::Unordered;

    fn op(&mut self, fd: RawFd, _: usize) -> Op {
        Op::Poll { fd, interest: self.interest }
    }
}

impl Yields for Ready {
    type Output = io::Result<()>;
}

impl Yield for Ready {
    fn output(self, _: &Rc<Core>, outcome: Outcome) -> Self::Output {
        outcome.map(|_| ()).map_err(Into::into)
    }
}

/// A message's header, vector and address, at addresses that do not change.
pub(crate) struct Message {
    header: libc::msghdr,
    vector: libc::iovec,
    name: libc::sockaddr_storage,
}

impl Message {
    fn new() -> Box<Self> {
        // SAFETY: all three are plain C data for which zeroes are valid.
        unsafe { Box::new(MaybeUninit::zeroed().assume_init()) }
    }

    fn aim(&mut self, base: *mut u8, len: usize) {
        self.vector = libc::iovec { iov_base: base.cast(), iov_len: len };
        self.header.msg_iov = &raw mut self.vector;
        self.header.msg_iovlen = 1;
    }
}

/// Receives a datagram and its source.
pub struct ReceiveFrom<B> {
    pub(crate) buf: B,
    message: Box<Message>,
}

/// A received datagram.
#[derive(Debug, Clone)]
pub struct Datagram {
    /// Bytes received into the buffer.
    pub len: usize,
    /// Who sent it, where the socket's family has addresses.
    pub from: Option<SockAddr>,
    /// The datagram was longer than the buffer; the rest is lost.
    pub truncated: bool,
}

impl<B> ReceiveFrom<B> {
    pub(crate) fn new(buf: B) -> Self {
        Self { buf, message: Message::new() }
    }
}

impl<B: IoBufMut> Kind for ReceiveFrom<B> {
    const SIDE: Side = Side::Read;

    fn op(&mut self, fd: RawFd, _: usize) -> Op {
        let bytes = self.buf.bytes_mut();
        let (base, len) = (bytes.as_mut_ptr(), bytes.len());
        self.message.aim(base, len);
        self.message.header.msg_name = (&raw mut self.message.name).cast();
        self.message.header.msg_namelen = size_of::<libc::sockaddr_storage>() as u32;
        Op::RecvMsg { fd, msg: &raw mut self.message.header }
    }
}

impl<B: IoBufMut> Yields for ReceiveFrom<B> {
    type Output = (io::Result<Datagram>, B);
}

impl<B: IoBufMut> Yield for ReceiveFrom<B> {
    fn output(self, _: &Rc<Core>, outcome: Outcome) -> Self::Output {
        let datagram = outcome.map(|len| Datagram {
            len: len.min(self.message.vector.iov_len),
            // SAFETY: the header was filled by the kernel (or by `fill_message`).
            from: unsafe { source_address(&self.message.header) },
            truncated: self.message.header.msg_flags & libc::MSG_TRUNC != 0,
        });
        (datagram.map_err(Into::into), self.buf)
    }
}

/// Sends a datagram.
pub struct SendTo<B> {
    pub(crate) buf: B,
    message: Box<Message>,
}

impl<B> SendTo<B> {
    /// `to`: none on a connected socket.
    pub(crate) fn new(buf: B, to: Option<&SockAddr>) -> Self {
        let mut message = Message::new();
        if let Some(to) = to {
            // SAFETY: the address's bytes are `to.len()` long and fit into any
            // `sockaddr_storage`, both plain data.
            unsafe {
                let place = (&raw mut message.name).cast::<u8>();
                to.as_ptr().cast::<u8>().copy_to_nonoverlapping(place, to.len() as usize);
            }
            message.header.msg_namelen = to.len();
        }
        Self { buf, message }
    }
}

impl<B: IoBuf> Kind for SendTo<B> {
    const SIDE: Side = Side::Write;

    fn op(&mut self, fd: RawFd, _: usize) -> Op {
        let bytes = self.buf.bytes();
        let (base, len) = (bytes.as_ptr().cast_mut(), bytes.len());
        self.message.aim(base, len);
        if self.message.header.msg_namelen > 0 {
            self.message.header.msg_name = (&raw mut self.message.name).cast();
        }
        Op::SendMsg { fd, msg: &raw const self.message.header }
    }
}

impl<B: IoBuf> Yields for SendTo<B> {
    type Output = WithBuffer<B>;
}

impl<B: IoBuf> Yield for SendTo<B> {
    fn output(self, _: &Rc<Core>, outcome: Outcome) -> Self::Output {
        (outcome.map_err(Into::into), self.buf)
    }
}

/// Opens a file.
#[derive(Debug)]
pub struct Open {
    pub(crate) path: CString,
    pub(crate) flags: i32,
    pub(crate) mode: u32,
    /// Stands for the file in the table while it is being opened.
    pub(crate) _host: Descriptor,
}

impl Kind for Open {
    const SIDE: Side = Side::Unordered;

    fn op(&mut self, _: RawFd, _: usize) -> Op {
        Op::Open { path: self.path.as_ptr(), flags: self.flags, mode: self.mode }
    }
}

impl Yields for Open {
    type Output = io::Result<Descriptor>;
}

impl Yield for Open {
    fn output(self, core: &Rc<Core>, outcome: Outcome) -> Self::Output {
        Descriptor::adopt(core, outcome? as RawFd, Class::File)
    }
}

/// Reads from or writes to a file at an offset, or makes it durable.
#[derive(Debug)]
pub struct ReadAt<B> {
    pub(crate) buf: B,
    pub(crate) offset: u64,
}

/// Writes to a file at an offset, until everything is written.
#[derive(Debug)]
pub struct WriteAt<B> {
    pub(crate) buf: B,
    pub(crate) offset: u64,
}

/// Makes a file durable.
#[derive(Debug)]
pub struct Fsync {
    pub(crate) data_only: bool,
}

impl<B: IoBufMut> Kind for ReadAt<B> {
    const SIDE: Side = Side::Unordered;

    fn op(&mut self, fd: RawFd, _: usize) -> Op {
        let bytes = self.buf.bytes_mut();
        Op::ReadAt { fd, buf: bytes.as_mut_ptr(), len: bytes.len(), offset: self.offset }
    }
}

impl<B: IoBuf> Kind for WriteAt<B> {
    const SIDE: Side = Side::Unordered;
    const EXACT: bool = true;

    fn op(&mut self, fd: RawFd, done: usize) -> Op {
        let rest = &self.buf.bytes()[done..];
        let offset = self.offset + done as u64;
        Op::WriteAt { fd, buf: rest.as_ptr(), len: rest.len(), offset }
    }
}

impl Kind for Fsync {
    const SIDE: Side = Side::Unordered;

    fn op(&mut self, fd: RawFd, _: usize) -> Op {
        Op::Fsync { fd, data_only: self.data_only }
    }
}

impl<B: IoBufMut> Yields for ReadAt<B> {
    type Output = WithBuffer<B>;
}

impl<B: IoBufMut> Yield for ReadAt<B> {
    fn output(self, _: &Rc<Core>, outcome: Outcome) -> Self::Output {
        (outcome.map_err(Into::into), self.buf)
    }
}

impl<B: IoBuf> Yields for WriteAt<B> {
    type Output = WithBuffer<B>;
}

impl<B: IoBuf> Yield for WriteAt<B> {
    fn output(self, _: &Rc<Core>, outcome: Outcome) -> Self::Output {
        (outcome.map_err(Into::into), self.buf)
    }
}

impl Yields for Fsync {
    type Output = io::Result<()>;
}

impl Yield for Fsync {
    fn output(self, _: &Rc<Core>, outcome: Outcome) -> Self::Output {
        outcome.map(|_| ()).map_err(Into::into)
    }
}

/// The source address that a received message carries.
///
/// # Safety
/// `header.msg_name` is null or names `msg_namelen` initialised bytes.
pub(crate) unsafe fn source_address(header: &libc::msghdr) -> Option<SockAddr> {
    if header.msg_name.is_null() || header.msg_namelen == 0 {
        return None;
    }
    // SAFETY: the caller's promise; an address is never longer than the storage.
    unsafe {
        let mut storage = socket2::SockAddrStorage::zeroed();
        let len = header.msg_namelen.min(storage.size_of());
        let place = (&raw mut storage).cast::<u8>();
        header.msg_name.cast::<u8>().copy_to_nonoverlapping(place, len as usize);
        Some(SockAddr::new(storage, len))
    }
}

/// Fills a message as the kernel would, from a datagram that was saved. Returns the
/// number of bytes that fitted.
///
/// # Safety
/// `msg` and what it names are valid for writing.
pub(crate) unsafe fn fill_message(
    msg: *mut libc::msghdr,
    bytes: &[u8],
    from: Option<SockAddr>,
    truncated: bool,
) -> usize {
    // SAFETY: the caller's promise; lengths are limited to what the message has room for.
    unsafe {
        let header = &mut *msg;
        let vector = &*header.msg_iov;
        let len = bytes.len().min(vector.iov_len);
        vector.iov_base.cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), len);
        let cut = truncated || len < bytes.len();
        header.msg_flags = if cut { libc::MSG_TRUNC } else { 0 };
        let name_len = from.as_ref().map_or(0, |from| from.len()).min(header.msg_namelen);
        if let Some(from) = from.filter(|_| !header.msg_name.is_null()) {
            let place = header.msg_name.cast::<u8>();
            place.copy_from_nonoverlapping(from.as_ptr().cast(), name_len as usize);
        }
        header.msg_namelen = name_len;
        len
    }
}
