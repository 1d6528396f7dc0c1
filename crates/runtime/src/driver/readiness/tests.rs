//! The suite on epoll, and what is this driver's own.

use super::*;
use crate::driver::suite::driver_suite;

driver_suite!(|config: &DriverConfig| ReadinessDriver::new(config).expect("epoll is there"));
