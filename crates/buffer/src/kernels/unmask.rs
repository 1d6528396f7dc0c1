//! Masking of WebSocket payload, RFC 6455 §5.3: byte `i` is combined with `key[i % 4]` by
//! exclusive or, so that masking and unmasking are the same.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// From this length on, choosing the widest kernel costs less than it saves.
const WIDE_FROM: usize = 64;

/// Masks or unmasks `bytes` in place, the first of which lies `phase` bytes behind the start of
/// the payload. Returns the phase of what follows, from 0 to 3, for the payload's next piece.
///
/// ```
/// use tautline_buffer::kernels::unmask;
///
/// let key = [0x37, 0xfa, 0x21, 0x3d];
/// let mut bytes = *b"\x7f\x9f\x4d\x51\x58"; // RFC 6455 §5.7
/// let phase = unmask(&mut bytes[..3], key, 0); // in two pieces
/// unmask(&mut bytes[3..], key, phase);
/// assert_eq!(&bytes, b"Hello");
/// ```
//= RFC 6455 §5.3
#[inline(always)] // of a short one the call would be a fifth
pub fn unmask(bytes: &mut [u8], key: [u8; 4], phase: usize) -> usize {
    let next = next_phase(bytes, phase);
    let key = rotated(key, phase);
    if bytes.len() < WIDE_FROM {
        narrow(bytes, key)
    } else {
        wide(bytes, key)
    }
    next
}

/// As [`unmask`], byte by byte: the definition that the fast ones are tested against.
///
/// ```
/// use tautline_buffer::kernels::unmask_scalar;
/// let mut bytes = [0, 0, 0];
/// assert_eq!(unmask_scalar(&mut bytes, [1, 2, 3, 4], 2), 1);
/// assert_eq!(bytes, [3, 4, 1]);
/// ```
//= RFC 6455 §5.3
pub fn unmask_scalar(bytes: &mut [u8], key: [u8; 4], phase: usize) -> usize {
    let next = next_phase(bytes, phase);
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte ^= key[(phase % 4 + i) % 4];
    }
    next
}

#[inline]
fn next_phase(bytes: &[u8], phase: usize) -> usize {
    phase.wrapping_add(bytes.len()) % 4
}

/// The key as it lies over bytes that start at `phase`.
#[inline]
fn rotated(key: [u8; 4], phase: usize) -> [u8; 4] {
    let bits = 8 * (phase % 4) as u32;
    u32::from_le_bytes(key).rotate_right(bits).to_le_bytes()
}

/// The widest kernel that this processor has.
fn wide(bytes: &mut [u8], key: [u8; 4]) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        unsafe { by_avx2(bytes, key) };
    } else {
        by_sse2(bytes, key);
    }
    #[cfg(target_arch = "aarch64")]
    by_neon(bytes, key);
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    by_words(bytes, key);
}

/// Eight bytes at a time, then as few.
#[cfg(any(test, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
fn by_words(bytes: &mut [u8], key: [u8; 4]) {
    let (words, tail) = bytes.as_chunks_mut::<8>();
    for chunk in words {
        *chunk = masked(*chunk, key);
    }
    narrow(tail, key);
}

/// For fewer than [`WIDE_FROM`] bytes: the first and the last of them in one piece each, which
/// overlap, with no loop. Who copies the result finds it in pieces as wide as those of the copy;
/// narrower ones would have to leave the store buffer first.
#[inline(always)]
fn narrow(bytes: &mut [u8], key: [u8; 4]) {
    match bytes.len() {
        0..4 => bytes.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key),
        4..8 => both_ends::<4>(bytes, key),
        8..16 => both_ends::<8>(bytes, key),
        16..32 => both_ends::<16>(bytes, key),
        _ => both_ends::<32>(bytes, key),
    }
}

/// `N` to `2 N` bytes. Both pieces are read before either is written.
#[inline(always)]
fn both_ends<const N: usize>(bytes: &mut [u8], key: [u8; 4]) {
    let (Some(&first), Some(&last)) = (bytes.first_chunk::<N>(), bytes.last_chunk::<N>()) else {
        return;
    };
    let phase = bytes.len() - N;
    let (first, last) = (masked(first, key), masked(last, rotated(key, phase)));
    bytes[..N].copy_from_slice(&first);
    bytes[phase..].copy_from_slice(&last);
}

/// A few bytes in registers, as wide as the compiler has them.
#[inline(always)]
fn masked<const N: usize>(mut bytes: [u8; N], key: [u8; 4]) -> [u8; N] {
    for chunk in bytes.as_chunks_mut::<4>().0 {
        *chunk = (u32::from_ne_bytes(*chunk) ^ u32::from_ne_bytes(key)).to_ne_bytes();
    }
    bytes
}

/// Blocks of 64 bytes in four registers of SSE2, which every x86-64 processor has.
#[cfg(target_arch = "x86_64")]
fn by_sse2(bytes: &mut [u8], key: [u8; 4]) {
    // SAFETY: the processor has SSE2, as the target requires.
    let mask = unsafe { _mm_set1_epi32(i32::from_ne_bytes(key)) };
    let (blocks, tail) = bytes.as_chunks_mut::<64>();
    for block in blocks {
        for part in block.as_chunks_mut::<16>().0 {
            let at = part.as_mut_ptr().cast::<__m128i>();
            // SAFETY: `part` is 16 bytes that are ours alone; neither call needs alignment.
            unsafe { _mm_storeu_si128(at, _mm_xor_si128(_mm_loadu_si128(at), mask)) };
        }
    }
    narrow(tail, key);
}

/// Blocks of 64 bytes in two registers of AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn by_avx2(bytes: &mut [u8], key: [u8; 4]) {
    let mask = _mm256_set1_epi32(i32::from_ne_bytes(key));
    let (blocks, tail) = bytes.as_chunks_mut::<64>();
    for block in blocks {
        for part in block.as_chunks_mut::<32>().0 {
            let at = part.as_mut_ptr().cast::<__m256i>();
            // SAFETY: `part` is 32 bytes that are ours alone; neither call needs alignment.
            unsafe { _mm256_storeu_si256(at, _mm256_xor_si256(_mm256_loadu_si256(at), mask)) };
        }
    }
    narrow(tail, key);
}

/// Blocks of 64 bytes in four registers of NEON, which every AArch64 processor has.
#[cfg(target_arch = "aarch64")]
fn by_neon(bytes: &mut [u8], key: [u8; 4]) {
    use std::arch::aarch64::{vdupq_n_u32, veorq_u8, vld1q_u8, vreinterpretq_u8_u32, vst1q_u8};
    // SAFETY: the processor has NEON, as the target requires.
    let mask = unsafe { vreinterpretq_u8_u32(vdupq_n_u32(u32::from_ne_bytes(key))) };
    let (blocks, tail) = bytes.as_chunks_mut::<64>();
    for block in blocks {
        for part in block.as_chunks_mut::<16>().0 {
            let at = part.as_mut_ptr();
            // SAFETY: `part` is 16 bytes that are ours alone; neither call needs alignment.
            unsafe { vst1q_u8(at, veorq_u8(vld1q_u8(at), mask)) };
        }
    }
    narrow(tail, key);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Kernel = fn(&mut [u8], [u8; 4]);

    /// Every kernel that this processor can run, by name.
    fn kernels() -> Vec<(&'static str, Kernel)> {
        let mut all: Vec<(&'static str, Kernel)> = vec![("words", by_words), ("wide", wide)];
        #[cfg(target_arch = "x86_64")]
        {
            all.push(("sse2", by_sse2));
            if std::is_x86_feature_detected!("avx2") {
                // SAFETY: the processor has AVX2.
                all.push(("avx2", |bytes, key| unsafe { by_avx2(bytes, key) }));
            }
        }
        #[cfg(target_arch = "aarch64")]
        all.push(("neon", by_neon));
        all
    }

    /// `bytes[from..]` through the scalar twin.
    fn expected(bytes: &[u8], from: usize, key: [u8; 4], phase: usize) -> Vec<u8> {
        let mut expected = bytes.to_vec();
        unmask_scalar(&mut expected[from..], key, phase);
        expected
    }

    /// The scalar twin does what RFC 6455 §5.3 defines: octet `i` with key octet `i MOD 4`.
    //= RFC 6455 §5.3
    //= type=test
    #[test]
    fn scalar_is_the_definition_of_the_rfc() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        let mut bytes = *b"\x7f\x9f\x4d\x51\x58";
        assert_eq!(unmask_scalar(&mut bytes, key, 0), 1);
        assert_eq!(&bytes, b"Hello");
    }

    /// The same for what is too short for them.
    #[test]
    fn short_ones_equal_the_scalar_twin_at_each_length_and_alignment() {
        let original: Vec<u8> = (0..96).map(|i| (i * 7) as u8).collect();
        let key = [0x12, 0x34, 0x56, 0x78];
        for (from, len) in (0..32).flat_map(|from| (0..WIDE_FROM).map(move |len| (from, len))) {
            let mut bytes = original.clone();
            let expected = expected(&bytes[..from + len], from, key, 0);
            narrow(&mut bytes[from..from + len], key);
            assert_eq!(bytes[..from + len], expected, "from {from}, {len} long");
            assert_eq!(bytes[from + len..], original[from + len..], "from {from}, {len} long");
        }
    }

    /// Every kernel equals the scalar twin for every length up to 300 at every alignment to 32.
    #[test]
    fn every_kernel_equals_the_scalar_twin_at_each_length_and_alignment() {
        let original: Vec<u8> = (0..340).map(|i| (i * 7) as u8).collect();
        let key = [0x12, 0x34, 0x56, 0x78];
        for (name, kernel) in kernels() {
            for (from, len) in (0..32).flat_map(|from| (0..=300).map(move |len| (from, len))) {
                let mut bytes = original[..from + len].to_vec();
                let expected = expected(&bytes, from, key, 0);
                kernel(&mut bytes[from..], key);
                assert_eq!(bytes, expected, "{name} from {from}, {len} long");
            }
        }
    }

    proptest! {
        /// Whatever the bytes, key, alignment and phase: same result, same next phase.
        #[test]
        fn unmask_equals_the_scalar_twin(
            original in proptest::collection::vec(any::<u8>(), 64..1500),
            key: [u8; 4],
            from in 0..64_usize,
            phase in prop_oneof![0..8_usize, any::<usize>()],
        ) {
            let mut bytes = original.clone();
            let next = unmask(&mut bytes[from..], key, phase);
            let mut scalar = original;
            prop_assert_eq!(next, unmask_scalar(&mut scalar[from..], key, phase));
            prop_assert_eq!(bytes, scalar);
        }

        /// A payload unmasked in pieces, the phase handed on, equals one unmasked at once.
        #[test]
        fn pieces_equal_the_whole(
            original in proptest::collection::vec(any::<u8>(), 0..800),
            key: [u8; 4],
            cuts in proptest::collection::vec(0..200_usize, 0..10),
        ) {
            let mut whole = original.clone();
            unmask_scalar(&mut whole, key, 0);
            let mut bytes = original;
            let (mut at, mut phase) = (0_usize, 0);
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let end = at.saturating_add(cut).min(bytes.len());
                phase = unmask(&mut bytes[at..end], key, phase);
                at = end;
            }
            prop_assert_eq!(bytes, whole);
        }
    }
}
