//! The macros.

/// Writes a line of a level that is said: `log!(Level::Info, "{n} left")`.
///
/// The level must be a constant. See [`info!`](crate::info) for the rest.
///
/// ```
/// use tautline_log::{Level, log};
/// log!(Level::Warn, "{} left", 3);
/// log!(target: "stock", Level::Warn, "{} left", 3);
/// ```
#[macro_export]
macro_rules! log {
    (target: $target:expr, $level:expr, $($line:tt)+) => {
        $crate::__line!([$crate] [$level] target: $target, $($line)+)
    };
    ($level:expr, $($line:tt)+) => {
        $crate::__line!([$crate] [$level] $($line)+)
    };
}

macro_rules! levels {
    ($dollar:tt $($(#[$doc:meta])* $name:ident => $level:ident;)*) => {$(
        $(#[$doc])*
        #[macro_export]
        macro_rules! $name {
            ($dollar($line:tt)+) => {
                $crate::__line!([$crate] [$crate::Level::$level] $dollar($line)+)
            };
        }
    )*};
}

levels! { $
    /// Writes a line about something that has failed. See [`info!`](crate::info).
    error => Error;

    /// Writes a line about something that somebody should look at. See [`info!`](crate::info).
    warn => Warn;

    /// Writes a line about what happens when all goes well.
    ///
    /// It takes what `format!` takes, with a literal for the format string (`concat!` and the like are
    /// not expanded), and before that, if wanted, a target: `target: "orders",`.
    /// Without one, the target is the path of the module. If nobody wants lines of this level, the
    /// arguments are not evaluated.
    ///
    /// Numbers, `bool`, `char` and texts are copied into the record and formatted by another thread.
    /// Any other value is formatted here, straight into the record. A line may have 32 arguments.
    ///
    /// ```
    /// use tautline_log::info;
    /// let (id, price) = (17, 2.5);
    /// info!("order {id} filled at {price:.2}, {} left", 3);
    /// info!(target: "orders", "{:?}", [1, 2]);
    /// ```
    ///
    /// What `format!` refuses does not compile:
    ///
    /// ```compile_fail
    /// tautline_log::info!("{} and {}", 1);
    /// ```
    ///
    /// ```compile_fail
    /// struct Unshown;
    /// tautline_log::info!("{}", Unshown);
    /// ```
    info => Info;

    /// Writes a line that helps to find a mistake. See [`info!`](crate::info).
    debug => Debug;

    /// Writes a line about a step. See [`info!`](crate::info).
    trace => Trace;
}
