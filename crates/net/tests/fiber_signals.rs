//! Signals reach fibers. One test alone in its process, for signals are the process's.

mod common;
mod fiber_support;

use fiber_support::{a_while, joined, run};
use tautline_net::fiber::{Signal, Signals};
use tautline_runtime::fiber::{JoinError, Stack, spawn};

/// A fiber waits for one signal after the other while others run, and is cancelled there.
#[test]
fn signals_reach_a_fiber() {
    run(|| {
        let mut signals = Signals::new([Signal::USER_1, Signal::USER_2])?;
        let raising = spawn(Stack::Small, || {
            for signal in [Signal::USER_1, Signal::USER_2, Signal::USER_1] {
                a_while();
                signal_hook::low_level::raise(signal.as_raw()).unwrap();
            }
        })?;
        assert_eq!(signals.recv()?, Signal::USER_1);
        let rest: Vec<Signal> = signals.by_ref().take(2).collect::<Result<_, _>>()?;
        assert_eq!(rest, [Signal::USER_2, Signal::USER_1]);
        joined(raising);
        assert_eq!(signals.try_next(), None);
        let waiting = spawn(Stack::Small, move || signals.recv())?;
        a_while();
        waiting.cancel();
        assert!(matches!(waiting.join(), Err(JoinError::Cancelled)));
        Ok(())
    });
}
