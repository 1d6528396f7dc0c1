//! The suite that all drivers pass, on the real ring.

use super::driver::UringDriver;
use crate::driver::config::DriverConfig;
use crate::driver::suite::driver_suite;

driver_suite!(|config: &DriverConfig| {
    UringDriver::new(config).expect("io_uring is granted where these tests run")
});
