//! Why a value was not sent, or not received.

use std::fmt;

use crate::error::Error;

/// Why a value was not sent. It holds the value.
#[derive(PartialEq, Eq, Clone, Copy)]
pub struct SendError<T> {
    /// What was to be sent.
    pub value: T,
    /// Why it was not.
    pub reason: Unsent,
}
