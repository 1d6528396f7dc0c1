//! Signals reach the loop. One test alone in its process, for signals are the process's.

mod common;

use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;

use common::{block, everywhere, until};
use tautline_net::{Signal, Signals};

fn raise(signal: Signal) {
    let signal = rustix::process::Signal::from_named_raw(signal.as_raw()).unwrap();
    rustix::process::kill_process(rustix::process::getpid(), signal).unwrap();
}

/// Signals are told by their names, to a task that waits, by a direct call and to a
/// handler; one that nobody may handle is refused.
#[test]
fn signals_reach_every_face() {
    everywhere(|runtime| {
        let mut signals = Signals::new([Signal::USER_1, Signal::USER_2]).unwrap();
        assert_eq!(signals.try_next(), None);
        let raised = block(runtime, async {
            let remote = std::thread::spawn(|| raise(Signal::USER_1));
            let signal = signals.next().await?;
            remote.join().unwrap();
            Ok(signal)
        });
        assert_eq!((raised, raised.to_string().as_str()), (Signal::USER_1, "SIGUSR1"));

        raise(Signal::USER_2);
        assert!((0..1_000_000).any(|_| {
            // Another thread of the process may have been chosen to handle it.
            std::thread::yield_now();
            signals.try_next() == Some(Signal::USER_2)
        }));

        let seen = Rc::new(RefCell::new(Vec::new()));
        let log = seen.clone();
        let conn = signals.on_signal(move |signal| log.borrow_mut().push(signal)).unwrap();
        for (count, signal) in
            [Signal::USER_1, Signal::USER_2, Signal::USER_1].into_iter().enumerate()
        {
            raise(signal);
            until(runtime, || seen.borrow().len() > count);
        }
        assert_eq!(*seen.borrow(), [Signal::USER_1, Signal::USER_2, Signal::USER_1]);
        conn.close();

        let refused = Signals::new([Signal::from_raw(9)]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        assert!(refused.to_string().contains("SIGKILL"), "{refused}");
    });
}
