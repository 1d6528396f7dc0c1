//! Signals reach the loop. One test alone in its process, for signals are the process's.

mod common;

use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;

use common::{block, everywhere, until};
use tautline_net::{Signal, Signals};

/// Raises it on this thread: its handler has run when this returns.
fn raise(signal: Signal) {
    signal_hook::low_level::raise(signal.as_raw()).unwrap();
}

/// Signals are told by their names, again and again, to a task that waits, by a direct call
/// and to a handler; one that nobody may handle is refused.
#[test]
fn signals_reach_every_face() {
    everywhere(|runtime| {
        let mut signals = Signals::new([Signal::USER_1, Signal::USER_2]).unwrap();
        assert_eq!(signals.try_next(), None);
        for _ in 0..2 {
            let raised = block(runtime, async {
                let remote = std::thread::spawn(|| raise(Signal::USER_1));
                let signal = signals.next().await?;
                remote.join().unwrap();
                Ok(signal)
            });
            assert_eq!((raised, raised.to_string().as_str()), (Signal::USER_1, "SIGUSR1"));
        }
        for _ in 0..2 {
            raise(Signal::USER_1);
            assert_eq!((signals.try_next(), signals.try_next()), (Some(Signal::USER_1), None));
        }

        // One of two is taken by a direct call: the other one is the handler's.
        raise(Signal::USER_1);
        raise(Signal::USER_2);
        let first = signals.try_next().unwrap();
        let seen = Rc::new(RefCell::new(Vec::new()));
        let log = seen.clone();
        let conn = signals.on_signal(move |signal| log.borrow_mut().push(signal)).unwrap();
        until(runtime, || seen.borrow().len() == 1);
        assert_ne!(seen.take(), [first]);

        let told = [Signal::USER_1, Signal::USER_1, Signal::USER_2, Signal::USER_1];
        for (count, signal) in told.into_iter().enumerate() {
            raise(signal);
            until(runtime, || seen.borrow().len() > count);
        }
        assert_eq!(*seen.borrow(), told);
        conn.close();

        let refused = Signals::new([Signal::from_raw(9)]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        assert!(refused.to_string().contains("SIGKILL"), "{refused}");
    });
}
