//! Values that each fiber has for itself.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;

use crate::core::Core;
use crate::error::Error;
use crate::fiber::cancel::Here;

/// A value that each fiber has for itself, made when the fiber first looks at it and dropped
/// when the fiber ends, the latest first. Declared by [`fiber_local!`](crate::fiber_local).
///
/// A `thread_local!` is shared by all fibers of a loop; worse, what one has borrowed from it
/// stays borrowed while others run. Use this instead, or [`undivided`](super::undivided).
pub struct LocalKey<T: 'static> {
    make: fn() -> T,
}

/// Declares values that each fiber has for itself.
///
/// ```
/// # use std::cell::Cell;
/// # use tautline_runtime::{Config, Runtime, fiber::{self, Stack}, fiber_local};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// fiber_local! {
///     static DEPTH: Cell<u32> = Cell::new(1);
/// }
/// # let runtime = Runtime::new(Config::default())?;
/// let other = runtime.run_fiber(Stack::Small, || {
///     DEPTH.with(|depth| depth.set(7))?;
///     fiber::spawn(Stack::Small, || DEPTH.with(Cell::get)).map(|other| other.join())
/// })??.unwrap();
/// assert_eq!(other?, 1);
/// # Ok(())
/// # }
/// ```
#[macro_export]
macro_rules! fiber_local {
    ($($(#[$attribute:meta])* $visible:vis static $name:ident: $type:ty = $value:expr;)*) => {$(
        $(#[$attribute])*
        $visible static $name: $crate::fiber::LocalKey<$type> =
            $crate::fiber::LocalKey::new(|| $value);
    )*};
}

impl<T: 'static> LocalKey<T> {
    /// What [`fiber_local!`](crate::fiber_local) makes.
    #[doc(hidden)]
    pub const fn new(make: fn() -> T) -> Self {
        Self { make }
    }

    /// Calls `look` with this fiber's value.
    ///
    /// # Errors
    /// [`Error::NotInFiber`], [`Error::NoRuntime`]; [`Error::LocalGone`] in a destructor, where
    /// this value was dropped before.
    pub fn with<R>(&'static self, look: impl FnOnce(&T) -> R) -> Result<R, Error> {
        let core = Core::current_or_going()?;
        let here = Here::of(&core)?;
        let value = here.slot.locals.get(self)?;
        // SAFETY: the value lies in a box that is dropped when the fiber is over, and this is
        // the fiber.
        Ok(look(unsafe { &*value }))
    }
}

impl<T> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

/// A fiber's own values. Few, so that a list does.
#[derive(Default)]
pub(super) struct Locals(RefCell<Vec<Local>>);

/// The address of a key, and its value. While a fiber's values are dropped, keys stay behind
/// without one, so that none is made twice.
type Local = (usize, Option<Box<dyn Any>>);

impl Locals {
    fn get<T: 'static>(&self, key: &'static LocalKey<T>) -> Result<*const T, Error> {
        let name = std::ptr::from_ref(key).addr();
        if let Some((_, value)) = self.0.borrow().iter().find(|(of, _)| *of == name) {
            let value = value.as_ref().and_then(|value| value.downcast_ref());
            return value.map(std::ptr::from_ref).ok_or(Error::LocalGone);
        }
        // Not borrowed: making it may look at others.
        let made = Box::new((key.make)());
        let value = std::ptr::from_ref(&*made);
        self.0.borrow_mut().push((name, Some(made)));
        Ok(value)
    }

    /// Drops them, the latest first; those that are made meanwhile too.
    pub(super) fn clear(&self) {
        while let Some(value) = self.take_latest() {
            drop(value);
        }
        self.0.borrow_mut().clear();
    }

    fn take_latest(&self) -> Option<Box<dyn Any>> {
        self.0.borrow_mut().iter_mut().rev().find_map(|(_, value)| value.take())
    }

    /// Whether there is none.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }
}
