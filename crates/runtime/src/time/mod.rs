//! Time on the loop: instants, the clock that reads them, the wheel that keeps timers.
//!
//! Only the loop owns a [`Clock`]. Everything above is handed [`Instant`]s, so that it
//! runs the same under simulated time.

mod clock;
mod instant;
pub mod wheel;

pub use clock::{Clock, ClockReport, Source};
pub use instant::Instant;
pub(crate) use wheel::Payload;
pub use wheel::{Expired, TimerKey, Wheel, WheelFull};
