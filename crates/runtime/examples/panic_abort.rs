//! Fibers in a program that is built with `panic = "abort"`: cancellation comes as an error alone.
//!
//! ```sh
//! CARGO_PROFILE_DEV_PANIC=abort cargo run -p tautline-runtime --example panic_abort
//! ```

use tautline_runtime::fiber::{self, Stack};
use tautline_runtime::{Config, Descriptor, Error, Runtime};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = Runtime::new(Config::default())?;
    let (a, _b) = Descriptor::pair()?;
    let told = runtime.run_fiber(Stack::Small, move || {
        let waits = fiber::spawn(Stack::Small, move || a.blocking().read(&mut [0; 8]))?;
        fiber::yield_now()?;
        waits.cancel();
        Ok::<_, Error>(waits.join())
    })??;
    match told {
        Ok(Err(error)) if cfg!(panic = "abort") => println!("told by an error: {error}"),
        Err(error) if cfg!(panic = "unwind") => println!("unwound: {error}"),
        other => return Err(format!("neither unwound nor told: {other:?}").into()),
    }
    Ok(())
}
