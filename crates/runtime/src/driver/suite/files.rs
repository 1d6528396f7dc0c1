//! Operations on descriptors that are no sockets. Nothing of it is in a simulated
//! world.

use std::io;
use std::os::fd::{IntoRawFd, RawFd};
use std::os::unix::ffi::OsStringExt;

use super::bench::Bench;
use crate::driver::{Attempt, Driver, Op};

/// A pipe's reading and writing end, in blocking mode: drivers must not rely on it.
fn pipe<D: Driver>(bench: &mut Bench<D>) -> io::Result<(RawFd, RawFd)> {
    let (read, write) = io::pipe()?;
    Ok((bench.adopt(read.into_raw_fd()), bench.adopt(write.into_raw_fd())))
}

/// Bytes go through a pipe, attempted and armed, to their end.
pub(crate) fn a_pipe_is_read_and_written<D: Driver>(bench: &mut Bench<D>) {
    if bench.is_virtual() {
        return;
    }
    let (reader, writer) = pipe(bench).expect("a pipe");
    let (into, from) = (bench.zeroed(16), bench.copy(b"piped"));
    let read = Op::Read { fd: reader, buf: into.start, len: into.len };
    let write = Op::Write { fd: writer, buf: from.start, len: from.len };
    assert_eq!(bench.attempt(read), Attempt::WouldBlock);
    let token = bench.submit(read);
    bench.settle();
    assert!(bench.is_armed(token));
    assert_eq!(bench.attempt(write), Attempt::Done(5));
    assert_eq!(bench.result_of(token), 5);
    assert_eq!(into.first(5), b"piped");
    assert_eq!(bench.run(write), 5);
    assert_eq!(bench.attempt(read), Attempt::Done(5));
    bench.close(writer);
    assert_eq!(bench.run(read), 0);
}

/// A write into a full pipe waits until it is read from.
pub(crate) fn a_full_pipe_waits_for_room<D: Driver>(bench: &mut Bench<D>) {
    if bench.is_virtual() {
        return;
    }
    let (reader, writer) = pipe(bench).expect("a pipe");
    let page = bench.copy(&[7; 4096]);
    let write = Op::Write { fd: writer, buf: page.start, len: page.len };
    let mut filled = 0;
    while let Attempt::Done(count) = bench.attempt(write) {
        filled += usize::try_from(count).expect("a write into a pipe with room");
        assert!(filled < 16 << 20, "a pipe without end");
    }
    let token = bench.submit(write);
    bench.settle();
    assert!(bench.is_armed(token), "the pipe is full");
    let into = bench.zeroed(filled);
    let read = Op::Read { fd: reader, buf: into.start, len: filled };
    assert_eq!(bench.attempt(read), Attempt::Done(filled as i32));
    assert!(bench.result_of(token) > 0);
}

/// Operations on files work where the driver serves them, and else end with an error.
pub(crate) fn operations_on_files_answer_as_promised<D: Driver>(bench: &mut Bench<D>) {
    if bench.is_virtual() {
        return;
    }
    let mut folder = std::env::temp_dir().into_os_string().into_vec();
    folder.push(0);
    let path = bench.copy(&folder);
    let flags = libc::O_TMPFILE | libc::O_RDWR;
    let open = bench.run(Op::Open { path: path.start.cast(), flags, mode: 0o600 });
    if !bench.driver.files() {
        assert!(open < 0, "an operation that is not served brought {open}");
        return;
    }
    let fd = bench.adopt(open);
    let (from, into) = (bench.copy(b"in a file"), bench.zeroed(16));
    let write = Op::WriteAt { fd, buf: from.start, len: from.len, offset: 3 };
    assert_eq!(bench.run(write), 9);
    assert_eq!(bench.run(Op::Fsync { fd, data_only: true }), 0);
    assert_eq!(bench.run(Op::Fsync { fd, data_only: false }), 0);
    let read = Op::ReadAt { fd, buf: into.start, len: into.len, offset: 6 };
    assert_eq!(bench.run(read), 6);
    assert_eq!(into.first(6), b"a file"[..].to_vec());
}
