//! Items come and go without an allocation in steady state, on all three faces, and by each codec.

mod common;
#[path = "../../runtime/tests/common/counting.rs"]
mod counting;

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use common::{block, everywhere, until};
use counting::{Counting, allocations};
use tautline_net::codec::{
    ByteLines, Decode, Delimiter, Encode, Fixed, Flush, Framed, LengthPrefix, Lines, Options,
};
use tautline_net::{UnixStream, fiber};
use tautline_runtime::fiber::Stack;
use tautline_runtime::{Runtime, task};

#[global_allocator]
static COUNTING: Counting = Counting;

const WARM_UP: usize = 500;
const ROUNDS: usize = 5_000;
/// Items that are on their way at a time.
const BURST: usize = 8;

/// Sends bursts of an item, each when the one before has come back; returns the allocations of all but
/// the first ones, on both sides.
async fn bursts<C, I>(mut near: Framed<C>, item: I) -> io::Result<u64>
where
    C: Decode + Encode<I>,
    I: Copy,
{
    let mut before = 0;
    for round in 0..WARM_UP + ROUNDS {
        if round == WARM_UP {
            before = allocations();
        }
        for _ in 0..BURST {
            near.send(item)?;
        }
        for _ in 0..BURST {
            near.next().await.expect("an echo has no end")?;
        }
    }
    Ok(allocations() - before)
}

fn both<C: Decode + Clone>(options: &Options, codec: C) -> (Framed<C>, Framed<C>) {
    let (near, far) = UnixStream::pair().unwrap();
    (options.open(near, codec.clone()), options.open(far, codec))
}

fn by_tasks<C, I>(runtime: &Runtime, options: &Options, codec: C, item: I)
where
    C: Decode + Clone + for<'b> Encode<C::Item<'b>> + Encode<I> + 'static,
    I: Copy,
{
    let (near, far) = both(options, codec);
    let allocated = block(runtime, async {
        let echo = task::spawn(async move {
            let (mut reader, mut writer) = far.split();
            while let Some(item) = reader.next().await {
                writer.ready().await?;
                writer.send(item?)?;
            }
            io::Result::Ok(())
        })?;
        let allocated = bursts(near, item).await;
        echo.abort();
        allocated
    });
    assert_eq!(allocated, 0, "by tasks, {options:?}");
}

fn by_handler<C, I>(runtime: &Runtime, options: &Options, codec: C, item: I)
where
    C: Decode + Clone + for<'b> Encode<C::Item<'b>> + Encode<I> + 'static,
    I: Copy,
{
    let (near, far) = both(options, codec);
    far.on_item(|tx, item| tx.send(item).map_err(|error| io::Error::other(error.to_string())))
        .unwrap();
    let allocated = block(runtime, bursts(near, item));
    assert_eq!(allocated, 0, "by a handler, {options:?}");
}

fn by_fibers(runtime: &Runtime) {
    let (near, far) = both(&Options::default(), LengthPrefix::u16());
    let (mut near, mut far) = (fiber::Framed::from(near), fiber::Framed::from(far));
    let done = Rc::new(Cell::new(None));
    let result = done.clone();
    let echo = tautline_runtime::fiber::spawn(Stack::Small, move || {
        let (reader, writer) = far.halves();
        while let Some(Ok(item)) = reader.next() {
            writer.send(item).unwrap();
        }
    });
    let caller = tautline_runtime::fiber::spawn(Stack::Small, move || {
        let mut before = 0;
        for round in 0..WARM_UP + ROUNDS {
            if round == WARM_UP {
                before = allocations();
            }
            for _ in 0..BURST {
                near.send(b"item").unwrap();
            }
            for _ in 0..BURST {
                near.next().unwrap().unwrap();
            }
        }
        result.set(Some(allocations() - before));
    });
    until(runtime, || done.get().is_some());
    assert_eq!(done.get(), Some(0), "by fibers");
    drop((echo, caller));
}

/// Nothing is allocated for an item, however it is framed, received and sent.
#[test]
fn items_allocate_nothing() {
    everywhere(|runtime| {
        let usual = Options::default();
        by_tasks(runtime, &usual, LengthPrefix::u32(), b"item");
        by_tasks(runtime, &usual, Lines::new(80), "item");
        by_tasks(runtime, &usual, Delimiter::new("\0", 80), "item");
        by_tasks(runtime, &usual.clone().flush(Flush::After(1)), LengthPrefix::varint(), b"item");
        by_handler(runtime, &usual, LengthPrefix::u16(), b"item");
        by_handler(runtime, &usual, ByteLines::new(80), b"item");
        by_handler(runtime, &usual, Fixed::<4>, *b"item");
        by_fibers(runtime);
    });
}
