//! Which values several users may look at at once.

use crate::error::Corrupt;
#[cfg(not(loom))]
use crate::layout::Layout;
#[cfg(not(loom))]
use crate::plain::Plain;
use crate::scope::{Carries, Local, Place, Private};
#[cfg(not(loom))]
use crate::shared::Shared;

/// A scope in which several users may look at one value of `T`: any for [`Private`], those that
/// are `Send` and `Sync` for [`Local`], plain data with a layout for `Shared`, which copies.
///
/// # Safety
/// For the crate alone: a value is borrowed on several threads of the scope at once.
#[diagnostic::on_unimplemented(
    message = "messages of type `{T}` cannot be shown to several users in the scope `{Self}`",
    label = "`{Self}` does not share `{T}`",
    note = "`Private` shows any type, `Local` those that are `Send` and `Sync`, `Shared` plain data \
            with a layout (`derive(Layout)`)"
)]
pub unsafe trait Shows<T>: Carries<T> {
    /// A copy of a value that others may look at too.
    ///
    /// # Errors
    /// [`Corrupt`]: it is none, for another process has written it.
    ///
    /// # Safety
    /// The place holds a value that was published to the caller, as far as the users of the scope
    /// can be trusted.
    #[doc(hidden)]
    unsafe fn copy(place: &Place<T>) -> Result<T, Corrupt>
    where
        T: Clone;
}

macro_rules! shown_as_they_are {
    () => {
        #[inline(always)]
        unsafe fn copy(place: &Place<T>) -> Result<T, Corrupt>
        where
            T: Clone,
        {
            // SAFETY: as promised; the scope shows it to several.
            Ok(unsafe { (*place.to_read()).clone() })
        }
    };
}

// SAFETY: all handles of a private object stay on one thread.
unsafe impl<T> Shows<T> for Private {
    shown_as_they_are!();
}

// SAFETY: values that are `Send` and `Sync` may be borrowed on any threads.
unsafe impl<T: Send + Sync> Shows<T> for Local {
    shown_as_they_are!();
}

// SAFETY: plain data is copied out, and never borrowed.
#[cfg(not(loom))]
unsafe impl<T: Plain + Layout> Shows<T> for Shared {
    #[inline(always)]
    unsafe fn copy(place: &Place<T>) -> Result<T, Corrupt>
    where
        T: Clone,
    {
        // SAFETY: as promised; plain data may be taken more than once.
        unsafe { <Shared as Carries<T>>::get(place) }
    }
}
