//! A program that logs: to the console and to a file of JSON lines, with what the loop and other
//! crates say by the crate `log`.
//!
//! ```sh
//! cargo run -p tautline --example logging            # lines of info and above
//! cargo run -p tautline --example logging -- debug   # or as a filter has it
//! ```

use std::time::Duration;

use tautline::log::sink::{Console, File, Json, Rotation, Sink};
use tautline::log::{Config, Filter, Logger, debug, facade, info, warn};
use tautline::{Runtime, timer};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let filter: Filter = std::env::args().nth(1).as_deref().unwrap_or("info").parse()?;
    let path = std::env::temp_dir().join(format!("logging-{}.json", std::process::id()));
    let file = File::open(&path, Rotation::default())?.with_form(Json::new());
    let sinks: Vec<Box<dyn Sink>> = vec![Box::new(Console::stderr()), Box::new(file)];
    // Dropped at the end of `main`: then all lines are written.
    let _guard = Logger::start(Config { filter, sinks, ..Config::default() })?;
    // The loop says what it has to say by the crate `log`.
    facade::install()?;

    let runtime = Runtime::new(tautline::Config::default())?;
    let mut left = 3;
    timer::every(Duration::from_millis(10), move || {
        left -= 1;
        info!("{left} turns are left");
        debug!(target: "logging::detail", "twice that is {}", 2 * left);
        if left == 0 {
            warn!("that was all");
            drop(tautline::stop());
        }
    })?;
    runtime.run()?;
    info!("the same lines are in {}", path.display());
    Ok(())
}
