//! Which values several users may look at at once.

use crate::scope::{Carries, Local, Private};

/// A scope in which several users may look at one value of `T`: any for [`Private`], those that
/// are `Send` and `Sync` for [`Local`].
///
/// # Safety
/// For the crate alone: a value is borrowed on several threads of the scope at once.
#[diagnostic::on_unimplemented(
    message = "messages of type `{T}` cannot be shown to several users in the scope `{Self}`",
    label = "`{Self}` does not share `{T}`",
    note = "`Private` shows any type, `Local` those that are `Send` and `Sync`"
)]
pub unsafe trait Shows<T>: Carries<T> {}

// SAFETY: all handles of a private object stay on one thread.
unsafe impl<T> Shows<T> for Private {}

// SAFETY: values that are `Send` and `Sync` may be borrowed on any threads.
unsafe impl<T: Send + Sync> Shows<T> for Local {}
