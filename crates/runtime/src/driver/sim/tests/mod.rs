//! The simulated world under test: the suite of all drivers, Linux's manners, echo under
//! every fault, and the mistakes that tests must find.

mod canaries;
mod chaos;
mod groups;
mod manners;
mod time;

use crate::driver::config::DriverConfig;
use crate::driver::suite::bench::{Bench, CONFIG};
use crate::driver::suite::driver_suite;

use super::{Config, SimDriver};

fn sim(config: &Config) -> SimDriver {
    SimDriver::new(&CONFIG, config).expect("a small pool fits")
}

fn bench(config: &Config) -> Bench<SimDriver> {
    Bench::new(sim(config))
}

mod suite {
    use super::*;

    driver_suite!(|size: &DriverConfig| SimDriver::new(size, &Config::new(1)).unwrap());
}
