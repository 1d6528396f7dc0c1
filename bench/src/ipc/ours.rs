//! Tautline's channels between processes, one each way, opened by their names.

use std::{io, marker::PhantomData};

use tautline_bus::{
    Shared,
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

/// Words of which a message that is larger is written and read, where it lies.
const PIECE: usize = 128;

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
        if WORDS <= PIECE {
            return self.give(Words::of(number));
        }
        let Ok(mut draft) = self.0.loan() else { return false };
        let (mut view, piece) = (draft.view_mut(), [number; PIECE]);
        (0..WORDS).step_by(PIECE).for_each(|at| view.copy_from(at * 8, piece.as_bytes()));
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
        if WORDS <= PIECE {
            let mut number = None;
            self.take(|message| number = Some(message.number()));
            return number;
        }
        let (loan, mut piece, mut sum) = (self.0.take().ok()?, [0; PIECE], 0_u64);
        let mut view = loan.view();
        while view.copy_to(piece.as_mut_bytes()) != 0 {
            sum = sum.wrapping_add(piece.sum());
            view = view.part(size_of_val(&piece)..view.len())?;
        }
        Some(sum / WORDS as u64)
    }
}
