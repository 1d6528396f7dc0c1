//! Keys that a client masks with.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::frame::MaskKey;

/// Draws a fresh key for each frame from a cryptographic generator (ChaCha with eight rounds, a
/// block of 64 keys at a time), so that whoever chooses the payload cannot foresee what lies on the
/// wire, RFC 6455 §5.3 and §10.3.
#[derive(Debug)]
pub struct Keys {
    generator: ChaCha8Rng,
}

impl Keys {
    /// Seeded by the system.
    ///
    /// # Panics
    /// If the system has no random numbers.
    pub fn new() -> Self {
        Self { generator: ChaCha8Rng::from_os_rng() }
    }

    /// The next.
    //= RFC 6455 §5.3
    #[inline]
    pub fn draw(&mut self) -> MaskKey {
        self.generator.next_u32().to_ne_bytes()
    }

    /// Sixteen bytes for the opening handshake, RFC 6455 §4.1.
    //= RFC 6455 §4.1
    pub fn nonce(&mut self) -> [u8; 16] {
        let mut nonce = [0; 16];
        self.generator.fill_bytes(&mut nonce);
        nonce
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self::new()
    }
}
