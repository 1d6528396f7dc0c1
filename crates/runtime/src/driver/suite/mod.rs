//! The suite that every driver passes: each clause of the contract, in cases that use
//! the [`Driver`](super::Driver) trait alone.
//!
//! A driver's tests call it as
//!
//! ```ignore
//! driver_suite!(|config: &DriverConfig| UringDriver::new(config).expect("it is there"));
//! ```
//!
//! which makes one test of each case. A simulated world must be free of faults.

pub(crate) mod attempts;
pub(crate) mod bench;
pub(crate) mod cancel;
pub(crate) mod datagrams;
pub(crate) mod files;
pub(crate) mod groups;
pub(crate) mod lifetime;
pub(crate) mod multishot;
pub(crate) mod readiness;
pub(crate) mod streams;
pub(crate) mod waiting;

/// Makes a test of each case of the suite, on the drivers that `$make` makes of a
/// [`DriverConfig`](crate::driver::config::DriverConfig).
macro_rules! driver_suite {
    ($make:expr) => {
        $crate::driver::suite::driver_suite!(@cases $make;
            attempts: an_idle_socket_would_block, bytes_go_both_ways, the_end_is_zero,
                no_descriptor_is_an_error, room_is_there_at_first;
            streams: a_receive_waits_for_bytes, bytes_may_be_there_before,
                what_one_receive_leaves_the_next_one_gets, an_end_behind_bytes_is_seen,
                a_pool_receive_brings_its_buffer, a_send_waits_for_room,
                vectors_are_filled_in_order, messages_go_through_streams,
                a_refused_connect_says_so, addresses_agree, both_directions_at_once,
                half_a_connection_goes_on, a_reset_is_an_error, options_are_accepted,
                an_edge_taken_before_arming_is_not_lost;
            multishot: a_stream_comes_in_order_to_its_end, buffers_go_round_for_ever,
                an_empty_pool_ends_it_and_loses_nothing, an_idle_one_outlives_an_empty_pool,
                every_connection_is_accepted, every_datagram_has_its_buffer,
                a_reset_ends_it, cancelling_loses_nothing;
            cancel: every_kind_ends_by_cancelling, a_blocked_send_ends_by_cancelling,
                an_ended_operation_cannot_be_cancelled, an_unknown_token_is_ignored,
                cancelling_twice_ends_once, a_late_token_spares_the_next_tenant,
                the_other_direction_goes_on, a_race_with_bytes_loses_nothing;
            readiness: bytes_make_a_poll_ready, room_makes_a_poll_ready,
                many_polls_share_a_descriptor, an_end_makes_a_poll_ready,
                each_edge_is_told, a_connection_makes_a_listener_ready;
            datagrams: a_datagram_comes_with_its_source, a_long_datagram_is_flagged,
                an_empty_datagram_is_one, many_datagrams_in_one_call,
                parts_leave_as_one_datagram,
                an_armed_send_reaches_its_destination;
            groups: each_member_gets_a_copy, other_groups_are_for_others,
                sources_are_chosen_while_it_runs, groups_of_ipv6_have_members_too,
                a_dual_socket_joins_both_families, memberships_answer_alike,
                options_of_groups_are_taken, what_is_asked_for_comes_along,
                drops_are_counted_exactly, divided_datagrams_reach_a_group;
            waiting: a_timeout_is_never_early, no_wait_returns_with_nothing,
                a_wake_before_the_wait_ends_it, another_thread_ends_the_wait,
                wakes_do_not_pile_up, a_wake_leaves_completions_alone,
                the_limit_is_kept, what_the_limit_left_is_not_waited_for,
                a_signal_is_nothing_to_tell, a_busy_socket_starves_no_other,
                hundreds_of_descriptors_at_once, a_full_queue_empties;
            lifetime: a_number_used_again_starts_afresh, closing_tells_the_peer;
            files: a_pipe_is_read_and_written, a_full_pipe_waits_for_room,
                operations_on_files_answer_as_promised;
        );
    };
    (@cases $make:expr; $($group:ident: $($case:ident),+;)+) => {
        $(mod $group {
            #[allow(unused_imports, reason = "the maker may name anything around it")]
            use super::*;
            $(
                #[test]
                fn $case() {
                    let make = $make;
                    let driver = make(&$crate::driver::suite::bench::CONFIG);
                    let mut bench = $crate::driver::suite::bench::Bench::new(driver);
                    $crate::driver::suite::$group::$case(&mut bench);
                    bench.finish();
                }
            )+
        })+
    };
}

pub(crate) use driver_suite;
