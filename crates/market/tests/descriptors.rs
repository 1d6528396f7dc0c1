//! How many subscribers a gateway has room for. Alone in its process, whose limit it changes.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tautline_market::live::{GatewayConfig, run_gateway};

/// A gateway takes as many descriptors as the system grants, however few the process begins with: each
/// subscriber needs one.
#[test]
fn gateways_take_as_many_descriptors_as_they_are_granted() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(200), ..limit }).unwrap();
    let to = vec!["tcp-listen://127.0.0.1:0".parse().unwrap()];
    let run_for = Some(Duration::from_millis(10));
    run_gateway(&GatewayConfig { to, run_for, ..GatewayConfig::default() }, &mut |_| {}).unwrap();
    assert_eq!(getrlimit(Resource::Nofile).current, limit.maximum);
}
