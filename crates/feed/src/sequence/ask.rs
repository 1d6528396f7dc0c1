//! Requests for what is missing: merged, spaced, and repeated with growing pauses up to a limit.

use std::ops::Range;
use std::time::Instant;

use super::config::Requests;
use super::event::Event;
use super::gaps::Open;
use super::map::Map;
use super::{Sequencer, Store, Way, later};
use crate::format::Format;

/// A request that is being put together.
struct Request {
    numbers: Range<u64>,
    attempt: u32,
}

impl<F: Format, S: Store> Sequencer<F, S> {
    /// Asks for what is due.
    pub(super) fn ask(&mut self, now: Instant, tell: &mut impl FnMut(Event<'_, F>)) {
        let Some(requests) = self.config.requests else { return };
        while self.ask_at <= now
            && let Some(Request { numbers, attempt }) = self.request(now, &requests)
        {
            self.ask_at = later(now, requests.spacing);
            self.stats.requests += 1;
            self.stats.requested += numbers.end - numbers.start;
            let wire = F::WIDTH.cut(numbers.start);
            tell(Event::Request { wire, missing: numbers.into(), attempt });
        }
    }

    /// Asks for what all lines have passed by, if that is any more than before.
    pub(super) fn ask_what_all_have_passed(
        &mut self,
        now: Instant,
        tell: &mut impl FnMut(Event<'_, F>),
    ) {
        if self.gaps.is_empty() {
            return;
        }
        // A line that has brought nothing has passed nothing: `None` is less than all.
        let slowest = self.ways.iter().map(Way::high).min().flatten();
        if slowest.is_some_and(|below| self.gaps.pass(below, now)) {
            self.ask(now, tell);
        }
    }

    /// The oldest of what is due, and as much behind it as one request takes.
    fn request(&mut self, now: Instant, requests: &Requests) -> Option<Request> {
        let (came, next) = (&self.came, self.next);
        let mut request = None;
        for gap in self.gaps.iter_mut().filter(|gap| gap.due.is_some_and(|due| due <= now)) {
            if !add(gap, came, next, requests, &mut request) {
                break;
            }
            end_round(gap, now, requests);
        }
        request
    }
}

/// Adds what is missing of a gap to a request. Says whether that is all.
fn add(
    gap: &mut Open,
    came: &Map,
    next: u64,
    requests: &Requests,
    request: &mut Option<Request>,
) -> bool {
    while let Some(missing) = came.first_clear(gap.asked.max(next)..gap.numbers.end) {
        let attempt = gap.attempts + 1;
        let first = missing.start;
        let Request { numbers, .. } =
            request.get_or_insert(Request { numbers: first..first, attempt });
        let is_near = first - numbers.end <= requests.merge_within;
        let left = requests.most.saturating_sub(first - numbers.start);
        if !is_near || left == 0 {
            return false;
        }
        numbers.end = missing.end.min(first.saturating_add(left));
        gap.asked = numbers.end;
    }
    true
}

/// All of a gap has been asked for: what does not come is asked for again.
fn end_round(gap: &mut Open, now: Instant, requests: &Requests) {
    let doubled = 1 << gap.attempts.min(31);
    let pause = requests.retry_after.saturating_mul(doubled).min(requests.retry_most);
    gap.attempts += 1;
    gap.asked = gap.numbers.start;
    gap.due = (gap.attempts < requests.attempts).then(|| later(now, pause));
}
