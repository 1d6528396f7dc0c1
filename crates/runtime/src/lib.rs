//! One loop on one pinned thread that owns every connection of its program.
//!
//! The two types that matter: [`Runtime`], made once a thread and run, and
//! [`Descriptor`], anything the kernel can wait for. What happens on a descriptor is an
//! [`Operation`], which is awaited or given a callback, or goes to persistent handlers
//! that are called with a [`Conn`]. All faces share one loop and may be mixed.
//!
//! Data passes from a driver (the `driver` module: io_uring, epoll, or a simulation)
//! through the completion core (`engine`), which keeps order and owns memory, to user
//! code, which only a turn of the loop (`turn`) calls.

// The scenario that the canary shares with the tests outside names this crate.
#[cfg(all(test, not(loom)))]
extern crate self as tautline_runtime;

#[cfg(not(loom))]
mod alternate_stack;
#[cfg(not(loom))]
mod batch;
#[cfg(not(loom))]
mod buf;
#[cfg(all(test, not(loom)))]
mod canary;
#[cfg(not(loom))]
mod compat;
#[cfg(not(loom))]
mod config;
#[cfg(not(loom))]
mod conn;
#[cfg(not(loom))]
mod core;
#[cfg(not(loom))]
mod descriptor;
#[cfg(not(loom))]
mod dispatch;
#[cfg(not(loom))]
mod driver;
#[cfg(not(loom))]
mod engine;
#[cfg(not(loom))]
mod error;
#[cfg(not(loom))]
pub mod fiber;
#[cfg(not(loom))]
mod files;
#[cfg(not(loom))]
mod handlers;
mod inline_fn;
#[cfg(not(loom))]
mod kinds;
#[cfg(not(loom))]
pub mod listen;
#[cfg(not(loom))]
mod machine;
mod mailbox;
#[cfg(not(loom))]
mod offload;
#[cfg(not(loom))]
mod offload_call;
#[cfg(not(loom))]
mod operation;
#[cfg(not(loom))]
mod parcel;
#[cfg(not(loom))]
mod porter;
mod prefetch;
#[cfg(not(loom))]
mod report;
#[cfg(not(loom))]
mod runtime;
#[cfg(all(test, not(loom)))]
#[path = "../tests/common/skips.rs"]
mod skips;
#[cfg(not(loom))]
mod slab;
mod sync;
#[cfg(not(loom))]
pub mod task;
pub mod time;
#[cfg(not(loom))]
pub mod timer;
#[cfg(not(loom))]
mod turn;
mod wake_list;
#[cfg(not(loom))]
pub mod watch;

#[cfg(not(loom))]
pub use self::{
    batch::{
        Arrival, Batch, Details, Envelope, Gather, Gathering, Landed, Packet, Place, PushError,
        Scatter, To, divides_datagrams, places,
    },
    buf::{IoBuf, IoBufMut},
    compat::defer,
    config::{Budgets, Config, DriverChoice, OnStall, Panics, WaitMode, Wish},
    conn::Conn,
    descriptor::Descriptor,
    driver::{KeepAlive, SocketOption, Stamp, sim},
    engine::Stats,
    error::Error,
    handlers::{Drained, Outcome},
    inline_fn::Job,
    kinds::{
        Accept, Connect, Datagram, Fsync, Open, Read, ReadAt, ReadVectored, Ready, ReceiveFrom,
        SendTo, WithBuffer, Write, WriteAt, WriteVectored, Yields,
    },
    mailbox::PostError,
    offload_call::{Offloaded, offload},
    operation::{Operation, Pending},
    report::{Metrics, Report},
    runtime::{Remote, Runtime, now, now_precise, remote, stop},
};
