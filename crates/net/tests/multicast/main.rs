//! Multicast over the loopback interface of the real kernel, and in the simulation.

#[path = "../common/mod.rs"]
mod common;
#[path = "../../../runtime/tests/common/skips.rs"]
mod skips;

mod call_backs;
mod delivery;
mod details;
mod fibers;
mod games;
mod memberships;
mod read_buffers;
mod segments;
mod support;
