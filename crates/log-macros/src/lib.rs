//! Call sites of `tautline-log`: format strings taken apart at compile time.
//!
//! Used through `tautline_log`, whose macros `info!` and the like end here. What comes out is a
//! static that says all that is known of the call at compile time, and a call that hands over the
//! arguments, each in a form that its type picks.

#![forbid(unsafe_code)] // what it writes into other crates is theirs

mod call;
mod emit;
mod parse;

use syn::{Error, parse_macro_input};

/// `[crate] [level] target: .., "format", arguments..`: writes a line.
///
/// # Errors
/// At compile time, at the place that is wrong.
#[proc_macro]
pub fn line(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let call = parse_macro_input!(input as call::Call);
    emit::emit(&call).unwrap_or_else(Error::into_compile_error).into()
}
