//! The definition of DEFLATE, RFC 1951, bit by bit: what is deflated is held against it, and not only
//! against the library that has deflated it.

/// What a stream of blocks says.
#[derive(Debug, Default)]
pub(super) struct Puffed {
    pub(super) bytes: Vec<u8>,
    /// The longest way back.
    pub(super) distance: usize,
    /// Blocks that say that they are the last.
    pub(super) finals: usize,
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> usize {
        (0..count).fold(0, |value, bit| {
            let byte = self.bytes[self.at / 8];
            let is_set = usize::from(byte >> (self.at % 8) & 1);
            self.at += 1;
            value | is_set << bit
        })
    }

    fn symbol(&mut self, code: &Code) -> usize {
        let (mut bits, mut first, mut at) = (0, 0, 0);
        for count in code.counts {
            bits |= self.take(1);
            if bits < first + count {
                return code.symbols[at + bits - first];
            }
            at += count;
            first = (first + count) << 1;
            bits <<= 1;
        }
        panic!("no symbol at bit {}", self.at);
    }
}

/// A code that is told by the number of bits of each symbol.
struct Code {
    /// Symbols of 1, 2, 3 bits and so on.
    counts: [usize; 15],
    /// Those of one bit, those of two, and so on.
    symbols: Vec<usize>,
}

impl Code {
    fn new(lengths: &[u8]) -> Self {
        let of = |length| (0..lengths.len()).filter(move |at| lengths[*at] == length);
        let counts = std::array::from_fn(|at| of(at as u8 + 1).count());
        Self { counts, symbols: (1..=15).flat_map(of).collect() }
    }
}

const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// The lengths of both codes of a block that brings its own.
fn own_codes(bits: &mut Bits<'_>) -> (Code, Code) {
    let (literals, distances, count) = (257 + bits.take(5), 1 + bits.take(5), 4 + bits.take(4));
    let mut of_lengths = [0; 19];
    for at in &ORDER[..count] {
        of_lengths[*at] = bits.take(3) as u8;
    }
    let of_lengths = Code::new(&of_lengths);
    let mut lengths: Vec<u8> = Vec::new();
    while lengths.len() < literals + distances {
        let (again, count) = match bits.symbol(&of_lengths) {
            16 => (*lengths.last().expect("there is one before"), 3 + bits.take(2)),
            17 => (0, 3 + bits.take(3)),
            18 => (0, 11 + bits.take(7)),
            length => (length as u8, 1),
        };
        lengths.extend(std::iter::repeat_n(again, count));
    }
    let distances = lengths.split_off(literals);
    (Code::new(&lengths), Code::new(&distances))
}

fn fixed_codes() -> (Code, Code) {
    let length = |at| match at {
        0..144 => 8,
        144..256 => 9,
        256..280 => 7,
        _ => 8,
    };
    (Code::new(&(0..288).map(length).collect::<Vec<_>>()), Code::new(&[5; 30]))
}

/// How many bits there are behind a symbol, and where its values begin.
fn spread(symbol: usize, per_bit: usize, first: usize) -> (usize, usize) {
    let extra = (symbol / per_bit).saturating_sub(1);
    let base = if symbol < per_bit { symbol } else { (per_bit + symbol % per_bit) << extra };
    (extra, base + first)
}

impl Puffed {
    /// Reads blocks until their end, behind what was read before.
    pub(super) fn read(&mut self, bytes: &[u8]) {
        let mut bits = Bits { bytes, at: 0 };
        while bits.at + 7 < bytes.len() * 8 {
            self.finals += bits.take(1);
            match bits.take(2) {
                0 => self.stored(&mut bits),
                1 => self.coded(&mut bits, &fixed_codes()),
                2 => {
                    let codes = own_codes(&mut bits);
                    self.coded(&mut bits, &codes);
                }
                kind => panic!("a block of kind {kind}"),
            }
        }
    }

    fn stored(&mut self, bits: &mut Bits<'_>) {
        bits.at = bits.at.next_multiple_of(8);
        let (len, complement) = (bits.take(16), bits.take(16));
        assert_eq!(len ^ complement, 0xffff);
        self.bytes.extend_from_slice(&bits.bytes[bits.at / 8..][..len]);
        bits.at += 8 * len;
    }

    fn coded(&mut self, bits: &mut Bits<'_>, (literals, distances): &(Code, Code)) {
        loop {
            let length = match bits.symbol(literals) {
                256 => return,
                byte @ 0..256 => {
                    self.bytes.push(byte as u8);
                    continue;
                }
                285 => 258,
                symbol => {
                    let (extra, base) = spread(symbol - 257, 4, 3);
                    base + bits.take(extra)
                }
            };
            let (extra, base) = spread(bits.symbol(distances), 2, 1);
            let distance = base + bits.take(extra);
            self.distance = self.distance.max(distance);
            for _ in 0..length {
                self.bytes.push(self.bytes[self.bytes.len() - distance]);
            }
        }
    }
}

/// The definition reads the examples of RFC 7692 as they are meant, so that it can judge others.
#[test]
fn the_definition_reads_the_examples() {
    let mut puffed = Puffed::default();
    puffed.read(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00, 0x00, 0xff, 0xff]);
    assert_eq!((&puffed.bytes[..], puffed.distance), (&b"Hello"[..], 0));
    puffed.read(&[0xf2, 0x00, 0x11, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff]);
    assert_eq!((&puffed.bytes[..], puffed.distance), (&b"HelloHello"[..], 5));
    puffed.read(&[
        0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00, 0x00, 0x00, 0xff, 0xff,
    ]);
    assert_eq!((puffed.bytes.len(), puffed.finals), (15, 0));
}
