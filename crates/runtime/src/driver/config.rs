//! How large a driver is.

/// How large a driver is. All of it is reserved at start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DriverConfig {
    /// Entries of the submission ring, where there is one: a power of two.
    pub(crate) entries: u32,
    /// Operations that may be armed at a time: tokens' indices stay below it.
    pub(crate) operations: u32,
    /// Buffers of the receive pool, at least 1.
    pub(crate) pool_buffers: u16,
    /// Bytes of each, at least 1.
    pub(crate) pool_buffer_size: usize,
    /// Events that one call may take from the kernel, at least 1.
    pub(crate) events: usize,
}
