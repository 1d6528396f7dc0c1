//! A ring of records belongs to the process that made it.

use tautline_bus::record::{self, Config, Refusal};

/// A child that is made by a bare `fork` is refused to write into the ring of its parent, and does
/// not close it.
#[test]
fn a_forked_child_is_refused() {
    let (mut writer, mut reader) = record::in_memory(Config::default()).unwrap();
    // SAFETY: the child calls nothing but what is checked here, which neither allocates nor locks,
    // and leaves by `_exit`.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let refused = writer.claim(8).is_err_and(|error| error == Refusal::Forked);
        writer.count_dropped();
        drop(writer);
        // SAFETY: it returns to nobody.
        unsafe { libc::_exit(if refused { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: a child of this process, and a place for its status.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0);
    assert!(!reader.is_closed());
    assert_eq!(reader.dropped(), 0);
    assert_eq!(reader.take(&mut Vec::new()), Ok(false));
    writer.claim(8).expect("the parent goes on").commit(8);
}
