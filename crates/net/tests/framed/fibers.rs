//! The face of fibers.

use tautline_net::codec::{Error, LengthPrefix, Lines};
use tautline_net::fiber::Framed;
use tautline_runtime::Error as RuntimeError;
use tautline_runtime::fiber::{self, Stack};

use super::common::block;
use super::on_every_driver;

/// Fibers talk by the same names, and each waits where a task would await.
#[test]
fn fibers_talk_in_items() {
    on_every_driver(|runtime| {
        let (near, far) = block(runtime, super::streams());
        let done = runtime.run_fiber(Stack::Small, move || {
            let echo = fiber::spawn(Stack::Small, move || {
                let mut far = Framed::new(far, LengthPrefix::u16());
                let (reader, writer) = far.halves();
                while let Some(item) = reader.next() {
                    writer.ready()?;
                    writer.send(item?)?;
                }
                far.close()
            })?;
            let near = Framed::new(near, LengthPrefix::u16());
            let (mut reader, mut writer) = near.split();
            let sender = fiber::spawn(Stack::Small, move || {
                for round in 0..1000_u32 {
                    writer.ready()?;
                    writer.send(round.to_string().repeat(100))?;
                }
                writer.finish()
            })?;
            for round in 0..1000_u32 {
                let item = reader.next().expect("the echo has all")?;
                assert_eq!(item, round.to_string().repeat(100).as_bytes());
            }
            assert!(reader.next().is_none());
            sender.join().unwrap()?;
            echo.join().unwrap()
        });
        done.unwrap().unwrap();
    });
}

/// A fiber that is cancelled while it waits for an item ends, and its buffer goes back; outside a fiber
/// waiting is refused by name.
#[test]
fn a_cancelled_fiber_gives_everything_back() {
    on_every_driver(|runtime| {
        let (near, far) = block(runtime, super::streams());
        let (options, read, _) = super::with_pools(1, 4096);
        let mut framed = Framed::from(options.open(far, Lines::new(80)));
        assert_eq!(near.try_write(b"half").unwrap(), 4);
        let refused = framed.next().unwrap().unwrap_err();
        let Error::Io(refused) = refused else { panic!("{refused}") };
        let inner = refused.get_ref().and_then(|error| error.downcast_ref::<RuntimeError>());
        assert!(matches!(inner, Some(RuntimeError::NotInFiber)), "{refused}");
        let waits = fiber::spawn(Stack::Small, move || framed.next().is_none()).unwrap();
        runtime.run_for(std::time::Duration::from_millis(2)).unwrap();
        assert_eq!(read.lent(), 1);
        waits.fiber().cancel();
        runtime.run_for(std::time::Duration::from_millis(2)).unwrap();
        assert!(waits.is_finished());
        assert_eq!(read.lent(), 0);
    });
}

/// A call that waits too long is given up, and what had come by then is not lost.
#[test]
fn timeouts_lose_nothing() {
    on_every_driver(|runtime| {
        let (near, far) = block(runtime, super::streams());
        let done = runtime.run_fiber(Stack::Small, move || {
            let (mut reader, _writer) = Framed::new(far, Lines::new(80)).split();
            reader.set_read_timeout(Some(std::time::Duration::from_millis(1)))?;
            near.try_write(b"half")?;
            let late = reader.next().expect("an error").unwrap_err();
            let Error::Io(late) = late else { panic!("{late}") };
            assert_eq!(late.kind(), std::io::ErrorKind::TimedOut);
            near.try_write(b" a line\n")?;
            assert_eq!(reader.next().expect("a line")?, "half a line");
            std::io::Result::Ok(())
        });
        done.unwrap().unwrap();
    });
}
