//! The sorts of operations, by which their results are told apart. A caller seldom
//! names them.

pub use tautline_runtime::{
    Accept, Connect, Fsync, Read, ReadAt, ReadVectored, Ready, ReceiveFrom, SendTo, Write, WriteAt,
    WriteVectored,
};
