//! Tautline's channels between processes, one each way, opened by their names.

use std::{hint::black_box, io, marker::PhantomData};

use tautline_bus::{
    Shared, View, ViewMut,
    channel::{Channel, Config, Receiver, Sender},
};

use zerocopy::IntoBytes;

use super::way::{Pass, Way};
use crate::bus::{
    ends::{Give, Message, Take},
    ours::Mode,
};

/// Channels of so many places, in that mode.
pub(super) struct Channels<W, const N: usize>(PhantomData<W>);

/// Words of a message that is written and read where it lies, as is every one that is larger.
const LARGE: usize = 128;
/// Words of a piece of a message of [`LARGE`] words: they stay in registers.
const FEW: usize = 8;
/// Words of a piece of those that are larger: they are copied as fast as the processor can.
const MANY: usize = 128;
const _: () = assert!(LARGE.is_multiple_of(FEW));

/// Writes the message of that number by pieces.
#[inline(always)]
fn fill<const PIECE: usize>(mut view: ViewMut<'_>, number: u64) {
    let piece = [number; PIECE];
    for at in (0..view.len()).step_by(size_of_val(&piece)) {
        view.copy_from(at, piece.as_bytes());
    }
}

/// The sum of all words, a few at a time.
#[inline(always)]
fn sum_of_few(view: View<'_>) -> Option<u64> {
    // Of a loop whose end it knows the compiler makes one piece, and spills what it has read.
    let (view, mut sums) = (black_box(view), [0_u64; FEW]);
    for at in (0..view.len()).step_by(size_of_val(&sums)) {
        let piece = view.read::<[u64; FEW]>(at).ok()?;
        (0..FEW).for_each(|word| sums[word] = sums[word].wrapping_add(piece[word]));
    }
    Some(sums.sum())
}

/// The sum of all words, many at a time.
#[inline(always)]
fn sum_of_many(mut view: View<'_>) -> Option<u64> {
    let (mut piece, mut sum) = ([0_u64; MANY], 0_u64);
    while view.copy_to(piece.as_mut_bytes()) != 0 {
        sum = sum.wrapping_add(piece.sum());
        view = view.part(size_of_val(&piece)..view.len())?;
    }
    Some(sum)
}

type Words<const WORDS: usize> = [u64; WORDS];

/// A channel's end in that mode.
pub(super) struct End<E, W>(E, PhantomData<W>);

impl<W: Mode, const WORDS: usize, const N: usize> Way<Words<WORDS>> for Channels<W, N> {
    type Giver = End<Sender<Words<WORDS>, Shared>, W>;
    type Taker = End<Receiver<Words<WORDS>, Shared>, W>;

    fn first() -> io::Result<(Self::Giver, Self::Taker, Pass)> {
        let pass = Pass::of_name();
        let (giver, taker) = ends::<W, WORDS, N>(&pass, ["there", "back"])?;
        Ok((giver, taker, pass))
    }

    fn second(pass: &Pass) -> io::Result<(Self::Giver, Self::Taker)> {
        ends::<W, WORDS, N>(pass, ["back", "there"])
    }
}

type Ends<W, const WORDS: usize> =
    (End<Sender<Words<WORDS>, Shared>, W>, End<Receiver<Words<WORDS>, Shared>, W>);

fn ends<W: Mode, const WORDS: usize, const N: usize>(
    pass: &Pass,
    [out, into]: [&str; 2],
) -> io::Result<Ends<W, WORDS>> {
    let config = Config { capacity: N, wait: W::wait(), ..Config::default() };
    let open = |name| {
        Channel::<Words<WORDS>, Shared>::open(&pass.text, name, config).map_err(io::Error::other)
    };
    let giver = open(out)?.sender().map_err(io::Error::other)?;
    let taker = open(into)?.receiver().map_err(io::Error::other)?;
    Ok((End(giver, PhantomData), End(taker, PhantomData)))
}

impl<W: Mode, const WORDS: usize> Give<Words<WORDS>> for End<Sender<Words<WORDS>, Shared>, W> {
    #[inline(always)]
    fn give(&mut self, message: Words<WORDS>) -> bool {
        if W::WAITS { self.0.send(message).is_ok() } else { self.0.try_send(message).is_ok() }
    }

    #[inline(always)]
    fn give_number(&mut self, number: u64) -> bool {
        if WORDS < LARGE {
            return self.give(Words::of(number));
        }
        let Ok(mut draft) = self.0.loan() else { return false };
        match WORDS {
            LARGE => fill::<FEW>(draft.view_mut(), number),
            _ => fill::<MANY>(draft.view_mut(), number),
        }
        draft.send_written();
        true
    }
}

impl<W: Mode, const WORDS: usize> Take<Words<WORDS>> for End<Receiver<Words<WORDS>, Shared>, W> {
    #[inline(always)]
    fn take(&mut self, mut each: impl FnMut(&Words<WORDS>)) -> bool {
        let taken = if W::WAITS { self.0.receive() } else { self.0.try_receive() };
        taken.map(|message| each(&message)).is_ok()
    }

    #[inline(always)]
    fn take_number(&mut self) -> Option<u64> {
        if WORDS < LARGE {
            let mut number = None;
            self.take(|message| number = Some(message.number()));
            return number;
        }
        let loan = self.0.take().ok()?;
        let sum = match WORDS {
            LARGE => sum_of_few(loan.view()),
            _ => sum_of_many(loan.view()),
        };
        Some(sum? / WORDS as u64)
    }
}
