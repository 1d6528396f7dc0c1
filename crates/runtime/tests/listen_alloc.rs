//! A listener allocates when it is made, and never for a message.

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::thread;

use common::counting::{self, Counting};
use common::{REAL, WAITS, small};
use tautline_bus::Local;
use tautline_bus::bytes::{self, Bytes};
use tautline_bus::channel::{self, Channel};
use tautline_runtime::listen::Listen;
use tautline_runtime::{Config, Runtime};

#[global_allocator]
static COUNTING: Counting = Counting;

const WARM_UP: u32 = 1_000;
const MESSAGES: u32 = 20_000;

/// Messages of another thread, through a channel and a byte channel: handed to handlers without an
/// allocation, on both drivers, whichever way the loop waits.
#[test]
fn messages_are_handed_on_without_an_allocation() {
    for driver in REAL {
        for wait in WAITS {
            let config = Config { driver: driver.clone(), wait, stall: None, ..small() };
            let runtime = Runtime::new(config).unwrap();
            let numbers = Channel::<u32, Local>::new(channel::Config::default()).unwrap();
            let texts = Bytes::<Local>::new(bytes::Config::default()).unwrap();
            let (mut number, mut text) = (numbers.sender().unwrap(), texts.sender().unwrap());
            let heard = Rc::new(Cell::new(0));
            let (count, more) = (heard.clone(), heard.clone());
            let one = numbers.receiver().unwrap().on_message(move |n| {
                count.set(count.get() + u32::from(n.is_ok()));
            });
            let other = texts.receiver().unwrap().on_message(move |bytes| {
                more.set(more.get() + u32::from(bytes.is_ok_and(|bytes| bytes.len() == 4)));
            });
            let thread = thread::spawn(move || {
                for n in 0..WARM_UP + MESSAGES {
                    number.send(n).unwrap();
                    text.send(&n.to_le_bytes()).unwrap();
                }
                (number, text)
            });
            runtime.run_until(|| heard.get() >= 2 * WARM_UP).unwrap();
            let before = counting::allocations();
            // Not to the last: the thread may allocate when it ends.
            runtime.run_until(|| heard.get() >= 2 * MESSAGES).unwrap();
            assert_eq!(counting::allocations() - before, 0, "{wait:?} on {driver:?}");
            runtime.run_until(|| heard.get() == 2 * (WARM_UP + MESSAGES)).unwrap();
            drop(thread.join().unwrap());
            assert!(one.unwrap().is_listening() && other.unwrap().is_listening());
        }
    }
}
