//! A child process's output on the loop. In a test program of its own: between fork and
//! exec a child holds every descriptor of its parent open, listeners included.

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use common::{everywhere, until};
use tautline_net::PipeReader;

/// A handler reads a child's output to its end, and hears of the end once.
#[test]
fn a_handler_reads_a_childs_output() {
    everywhere(|runtime| {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "for n in 1 2 3; do echo line $n; done"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let reader = PipeReader::new(child.stdout.take().unwrap()).unwrap();
        let (text, ends) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(0)));
        let (into, count) = (text.clone(), ends.clone());
        let conn =
            reader.on_data(move |_, bytes| into.borrow_mut().extend_from_slice(bytes)).unwrap();
        conn.on_close(move |_, result| {
            result.unwrap();
            count.set(count.get() + 1);
        });
        until(runtime, || ends.get() > 0);
        assert_eq!(*text.borrow(), b"line 1\nline 2\nline 3\n");
        assert!(!conn.is_open());
        assert!(child.wait().unwrap().success());
    });
}
