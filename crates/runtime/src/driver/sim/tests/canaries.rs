//! Mistakes that the suite must find: a suite that passes them checks nothing.

use super::super::config::Bug;
use super::{Config, bench};
use crate::driver::suite;

fn with(bug: Bug) -> Config {
    Config { bug: Some(bug), ..Config::new(1) }
}

/// The canary of exactly one final completion.
#[test]
#[should_panic(expected = "of nothing that is armed")]
fn a_second_final_completion_is_found() {
    suite::streams::a_receive_waits_for_bytes(&mut bench(&with(Bug::CompletesTwice)));
}

/// The canary of cancelling without loss.
#[test]
#[should_panic(expected = "would block for ever")]
fn bytes_lost_by_cancelling_are_found() {
    suite::cancel::a_race_with_bytes_loses_nothing(&mut bench(&with(Bug::CancelLosesBytes)));
}

/// The canary of every operation's end.
#[test]
#[should_panic(expected = "waited in vain until a completion comes")]
fn a_silent_cancel_is_found() {
    suite::cancel::every_kind_ends_by_cancelling(&mut bench(&with(Bug::CancelIsSilent)));
}
