//! What a reader takes at most.

/// What a reader takes at most. Whatever is beyond closes the connection with the code 1009.
///
/// ```
/// use tautline_websocket::read::Limits;
/// let limits = Limits { max_message: 1 << 30, ..Limits::default() };
/// assert!(limits.whole < 1 << 30, "longer ones come in parts");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of a frame's payload. Default 16 MiB.
    pub max_frame: u64,
    /// Bytes of a message, over all of its frames, and inflated. Default 16 MiB.
    pub max_message: u64,
    /// Bytes of a message that is handed on as a whole; a longer one comes in parts. 0: all come in
    /// parts. Default 16 MiB.
    pub whole: u64,
    /// Frames of a message. Default 131,072.
    pub max_fragments: u32,
}

impl Default for Limits {
    fn default() -> Self {
        let most = 16 << 20;
        Self { max_frame: most, max_message: most, whole: most, max_fragments: 1 << 17 }
    }
}
