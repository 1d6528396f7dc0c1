//! One connection of a load: what is under way on it, and whether the answers are right.

use std::collections::VecDeque;
use std::time::Duration;

/// What a message is made of: its number, and a pattern behind that.
#[derive(Debug)]
pub(super) struct Pattern(Vec<u8>);

impl Pattern {
    /// Messages of so many bytes, at least eight.
    pub(super) fn of(size: usize) -> Self {
        assert!(size >= 8, "a message has room for its number");
        // Bytes that repeat nowhere near each other: what is moved or mixed up is noticed.
        Self(
            (0..size as u64)
                .map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
                .collect(),
        )
    }

    /// The message of that number.
    pub(super) fn message(&mut self, number: u64) -> &[u8] {
        self.0[..8].copy_from_slice(&number.to_be_bytes());
        &self.0
    }

    /// Whether that is the message of that number.
    pub(super) fn is(&self, number: u64, message: &[u8]) -> bool {
        message.len() == self.0.len()
            && message[..8] == number.to_be_bytes()
            && message[8..] == self.0[8..]
    }
}

/// What is under way on a connection.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    /// The number of the message that is answered next.
    first: u64,
    /// When each was due, in order.
    due: VecDeque<Duration>,
}

impl UnderWay {
    /// The number of the message that leaves next.
    pub(super) fn next(&self) -> u64 {
        self.first + self.due.len() as u64
    }

    /// It has left, and was due at that time.
    pub(super) fn note_sent(&mut self, due: Duration) {
        self.due.push_back(due);
    }

    /// An answer: which number it must have, and when that message was due. `None`: there was nothing
    /// to answer.
    pub(super) fn take(&mut self) -> Option<(u64, Duration)> {
        let due = self.due.pop_front()?;
        let number = self.first;
        self.first += 1;
        Some((number, due))
    }

    /// Messages that were not answered yet.
    pub(super) fn len(&self) -> usize {
        self.due.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that answers are held against what was sent, in order, byte by byte.
    #[test]
    fn wrong_answers_are_noticed() {
        let mut pattern = Pattern::of(40);
        let right = pattern.message(7).to_vec();
        assert!(pattern.is(7, &right) && !pattern.is(8, &right) && !pattern.is(7, &right[..39]));
        for at in 0..right.len() {
            let mut wrong = right.clone();
            wrong[at] ^= 1;
            assert!(!pattern.is(7, &wrong), "byte {at}");
        }
        assert!(!pattern.is(0, b""));
    }

    /// Proves that each answer is for the oldest message that has none.
    #[test]
    fn answers_come_in_order() {
        let mut under_way = UnderWay::default();
        for number in 0..3 {
            assert_eq!(under_way.next(), number);
            under_way.note_sent(Duration::from_secs(number));
        }
        assert_eq!(under_way.take(), Some((0, Duration::ZERO)));
        assert_eq!((under_way.next(), under_way.len()), (3, 2));
        assert_eq!(under_way.take(), Some((1, Duration::from_secs(1))));
        assert_eq!(under_way.take(), Some((2, Duration::from_secs(2))));
        assert_eq!(under_way.take(), None);
    }
}
