//! The shape of a lossy broadcast.

use std::fmt;
use std::marker::PhantomData;

use super::Config;
use crate::bells::{Bells, Rings};
use crate::object::{Object, Parts, Role};
use crate::plain::Plain;
use crate::ring::Line;
use crate::ring::tape::{self, Row};
use crate::scope::{Carries, Word};

/// One ring of words, which the publisher alone writes.
pub(crate) struct Tape<T> {
    config: Config,
    messages: PhantomData<fn(T)>,
}

impl<T: Plain> Tape<T> {
    pub(super) fn new(config: Config) -> Self {
        let capacity = config.capacity.next_power_of_two();
        Self { config: Config { capacity, ..config }, messages: PhantomData }
    }

    #[inline(always)]
    pub(super) fn config(&self) -> Config {
        self.config
    }
}

impl<T: Plain, S: Carries<T>> Object<S> for Tape<T> {
    const KIND: &'static str = "lossy broadcast";
    const USERS: [&'static str; 2] = ["publisher", "subscriber"];
    type Head = Bells<S>;
    type Row = Row<S>;
    type Slot = S::Word;

    fn limits(&self) -> [usize; 2] {
        [1, self.config.subscribers]
    }

    fn head(&self) -> Bells<S> {
        Bells::new(self.config.wait)
    }

    fn rows(&self) -> usize {
        1
    }

    fn row(&self, _: usize) -> Row<S> {
        Line(S::Word::new(0))
    }

    fn slots(&self) -> usize {
        self.config.capacity.saturating_mul(tape::slot_words::<T>())
    }

    fn slot(&self, _: usize) -> S::Word {
        S::Word::new(0)
    }

    fn gone(&self, parts: &Parts<Self, S>, role: Role) {
        Self::tell(parts, role);
    }
}

impl<T: Plain, S: Carries<T>> Rings<S> for Tape<T> {}

impl<T> fmt::Debug for Tape<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}
