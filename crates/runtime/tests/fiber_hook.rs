//! A panic hook that waits would let another fiber panic meanwhile, which aborts: calls that wait
//! are refused in there. Alone in its process, for the hook is everybody's.

use std::cell::Cell;
use std::rc::Rc;

use tautline_runtime::fiber::{self, Stack};
use tautline_runtime::{Config, Error, Runtime};

thread_local! {
    static REFUSED: Cell<u32> = const { Cell::new(0) };
}

/// Two fibers panic under a hook that tries to wait: both panics are delivered.
#[test]
fn a_hook_does_not_wait() {
    std::panic::set_hook(Box::new(|_| {
        if matches!(fiber::yield_now(), Err(Error::NotInFiber)) {
            REFUSED.set(REFUSED.get() + 1);
        }
    }));
    let runtime = Runtime::new(Config::default()).unwrap();
    let ended = Rc::new(Cell::new(0));
    for _ in 0..2 {
        let ended = ended.clone();
        fiber::spawn(Stack::Small, || -> () { panic!("on purpose") }).unwrap().then(
            move |result| {
                assert_eq!(result.unwrap_err().message(), Some("on purpose"));
                ended.set(ended.get() + 1);
            },
        );
    }
    runtime.run_until(|| ended.get() == 2).unwrap();
    assert_eq!(REFUSED.get(), 2);
    drop(std::panic::take_hook());
}
