//! Byte kernels that need SIMD, behind safe functions. Each has a scalar twin that is its
//! definition; tests hold the two against each other.

mod unmask;
pub use unmask::{unmask, unmask_scalar};
