//! When packets came and how long they were, as a page draws them.

/// Packets of a batch that are told one by one; those beyond are counted.
const MOST: usize = 4096;

/// Finds packets in a stream of the tap: each has its length before it, two bytes, the higher one
/// first (RFC 4571 §2).
#[derive(Debug, Default)]
pub(super) struct Lengths {
    /// The first byte of a length.
    head: Option<u8>,
    /// Bytes of the packet that are still to come.
    left: usize,
}

impl Lengths {
    /// Has `each` hear of the packets that begin in `bytes`.
    pub(super) fn find(&mut self, mut bytes: &[u8], mut each: impl FnMut(u16)) {
        while let [first, rest @ ..] = bytes {
            if self.left > 0 {
                let passed = self.left.min(bytes.len());
                self.left -= passed;
                bytes = &bytes[passed..];
                continue;
            }
            bytes = rest;
            match self.head.take() {
                None => self.head = Some(*first),
                Some(head) => {
                    let length = u16::from_be_bytes([head, *first]);
                    self.left = usize::from(length);
                    each(length);
                }
            }
        }
    }
}

/// A batch for the pages: how many packets are not told of, and of the others when they came, in
/// microseconds from the beginning of the batch, and their bytes; all as `u32`, lowest byte first.
#[derive(Debug, Default)]
pub(super) struct Batch {
    told: Vec<[u32; 2]>,
    beyond: u32,
}

impl Batch {
    pub(super) fn note(&mut self, micros: u32, bytes: u16) {
        if self.told.len() < MOST {
            self.told.push([micros, u32::from(bytes)]);
        } else {
            self.beyond = self.beyond.saturating_add(1);
        }
    }

    /// Writes it in the place of what `message` holds, and begins the next.
    pub(super) fn write(&mut self, message: &mut Vec<u8>) {
        message.clear();
        message.extend(std::mem::take(&mut self.beyond).to_le_bytes());
        let words = self.told.drain(..).flatten();
        message.extend(words.flat_map(u32::to_le_bytes));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Proves that packets are found wherever their stream is cut.
        #[test]
        fn packets_are_found_wherever_the_stream_is_cut(
            packets in proptest::collection::vec(0..700_u16, 0..30),
            cuts in proptest::collection::vec(1..900_usize, 1..60),
        ) {
            let packet = |&length: &u16| {
                [&length.to_be_bytes()[..], &vec![7; usize::from(length)]].concat()
            };
            let stream: Vec<u8> = packets.iter().flat_map(packet).collect();
            let (mut lengths, mut found, mut rest) = (Lengths::default(), Vec::new(), &stream[..]);
            for cut in cuts.iter().cycle() {
                let (now, behind) = rest.split_at((*cut).min(rest.len()));
                lengths.find(now, |length| found.push(length));
                rest = behind;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(found, packets);
        }
    }

    /// Proves that a batch has what was noted, counts what is beyond, and is empty afterwards.
    #[test]
    fn batches_are_bounded() {
        let (mut batch, mut message) = (Batch::default(), vec![9]);
        for n in 0..MOST as u32 + 3 {
            batch.note(n, 1200);
        }
        batch.write(&mut message);
        assert_eq!(message.len(), 4 + 8 * MOST);
        assert_eq!(message[..12], [3, 0, 0, 0, 0, 0, 0, 0, 0xb0, 4, 0, 0]);
        batch.write(&mut message);
        assert_eq!(message, [0; 4]);
    }
}
