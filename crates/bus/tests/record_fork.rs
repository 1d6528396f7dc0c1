//! A ring of records belongs to the process that made it.

use tautline_bus::record::{self, Config, Refusal};

/// A child that is made by a bare `fork` is refused to write into the ring of its parent, and not
/// told to wait for room in it; nor does it close it. It may have one of its own.
#[test]
fn a_forked_child_is_refused() {
    let (mut writer, mut reader) = record::in_memory(Config::default()).unwrap();
    while writer.claim(4096).map(|claim| claim.commit(4096)).is_ok() {}
    // SAFETY: no other thread of this process holds a lock, for it has none but the harness's, which
    // waits; the child leaves by `_exit`.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let refused = writer.claim(8).is_err_and(|error| error == Refusal::Forked);
        writer.count_dropped();
        drop(writer);
        let (mut own, _reader) = record::in_memory(Config::default()).unwrap();
        let refused = refused && own.claim(8).is_ok();
        // SAFETY: it returns to nobody.
        unsafe { libc::_exit(if refused { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: a child of this process, and a place for its status.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0);
    assert!(!reader.is_closed());
    assert_eq!(reader.dropped(), 0);
    assert_eq!(reader.take(&mut Vec::new()), Ok(true));
    reader.release(reader.position());
    writer.claim(8).expect("the parent goes on").commit(8);
}
