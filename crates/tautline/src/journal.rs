//! `tautline log`: what is left of the log of a program.

use std::io;

use tautline_log::sink::{Console, Human, Json, Sink};
use tautline_log::{Recovered, Was};

/// The lines, as they would have been on a console with their threads, or as JSON objects.
pub(crate) fn print(recovered: &Recovered, only_waiting: bool, json: bool) -> io::Result<()> {
    if json {
        give(recovered, only_waiting, Console::stdout().with_form(Json::new()))
    } else {
        give(recovered, only_waiting, Console::stdout().with_form(Human::new().threads(true)))
    }
}

fn give(recovered: &Recovered, only_waiting: bool, mut sink: impl Sink) -> io::Result<()> {
    let mut result = Ok(());
    recovered.visit(|line, was| {
        if result.is_ok() && (was == Was::Waiting || !only_waiting) {
            result = sink.line(line);
        }
    });
    result.and_then(|()| sink.flush())
}
