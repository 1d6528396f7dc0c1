//! Interleaved rounds: every contender's slice in each round, in rotating order.

use std::{
    collections::BTreeMap,
    io,
    time::{Duration, Instant},
};

use super::{
    report::{Better, Metric, Row, Values},
    stats::median,
};

/// What a contender is in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Tautline with its default configuration; one a group.
    Tautline,
    /// A bare loop; the best one of a group is its limit.
    Limit,
    /// What people use today.
    Peer,
    /// Another driver or face of ours, or another way to write the bare loop.
    Variant,
}

/// What one slice gave.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    /// One value for each metric of the group, in its order.
    pub(crate) values: Vec<f64>,
    /// Processor time of the side under test per operation, nanoseconds.
    pub(crate) cpu_ns: Option<f64>,
    /// Share of the slice in which the side under test slept (0.0 to 1.0).
    pub(crate) idle: Option<f64>,
    /// Share of the slice in which the generator had nothing to do (0.0 to 1.0).
    pub(crate) spare: Option<f64>,
    /// Share of what was offered that was lost (0.0 to 1.0).
    pub(crate) loss: Option<f64>,
}

impl Sample {
    /// A sample of values alone.
    pub(crate) fn of(values: impl Into<Vec<f64>>) -> Self {
        Self { values: values.into(), ..Self::default() }
    }

    /// The processor time of one of `operations`, in nanoseconds, as the value too: for work of one
    /// thread that never sleeps, whose time on the wall holds what others did on its core besides.
    pub(crate) fn of_work(cpu: Duration, operations: usize) -> Self {
        let nanos = cpu.as_nanos() as f64 / operations as f64;
        Self { values: vec![nanos], cpu_ns: Some(nanos), ..Self::default() }
    }

    /// Adds the processor time that `operations` took of the side under test.
    pub(crate) fn with_cpu(self, cpu: Duration, operations: usize) -> Self {
        Self { cpu_ns: Some(cpu.as_nanos() as f64 / operations as f64), ..self }
    }
}

/// Why a slice gave no sample.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The other side gave no answer in time.
    #[error("no answer within {0:?}: starved by the task that keeps it awake, or stuck")]
    Stalled(Duration),
    /// The two ends disagree about what was moved.
    #[error("miscounted: {sent} sent by one end, {answered} by the other")]
    Miscounted {
        /// Counted by the generator.
        sent: u64,
        /// Counted by the side under test.
        answered: u64,
    },
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A named way to do a group's work.
pub(crate) struct Contender {
    /// Name in the report.
    pub(crate) name: &'static str,
    /// What it counts as.
    pub(crate) role: Role,
    /// Sets up, measures one slice and takes everything down again.
    pub(crate) slice: Box<dyn FnMut() -> Result<Sample, Failure>>,
}

impl Contender {
    /// Names a slice.
    pub(crate) fn new(
        name: &'static str,
        role: Role,
        slice: impl FnMut() -> Result<Sample, Failure> + 'static,
    ) -> Self {
        Self { name, role, slice: Box::new(slice) }
    }
}

/// Rows that are measured by the same slices.
pub(crate) struct Group {
    /// One row each.
    pub(crate) metrics: Vec<Metric>,
    /// Who takes part.
    pub(crate) contenders: Vec<Contender>,
    /// What holds for all its rows.
    pub(crate) note: Option<&'static str>,
}

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Time for the rounds of one group.
    pub(crate) budget: Duration,
    /// Most rounds of a group, the warm-up round included.
    pub(crate) rounds: usize,
    /// Whether the whole run must end within 40 seconds: slices are then shorter.
    pub(crate) quick: bool,
}

/// Fewest rounds of a group: one to warm up, two to compare.
const FEWEST_ROUNDS: usize = 3;

impl Plan {
    /// Splits the time of a run among `shares` groups.
    pub(crate) fn new(quick: bool, shares: u32) -> Self {
        let total = Duration::from_secs(if quick { 24 } else { 150 });
        Self { budget: total / shares, rounds: 201, quick }
    }
}

/// All slices of one contender, `None` where one failed.
#[derive(Default)]
struct Series {
    samples: Vec<Option<Sample>>,
    failure: Option<String>,
}

impl Series {
    /// Two failures in a row are no accident: the contender is left out from then on.
    fn is_out(&self) -> bool {
        matches!(self.samples.as_slice(), [.., None, None])
    }

    fn take(&mut self, contender: &mut Contender) {
        if self.is_out() {
            return self.samples.push(None);
        }
        super::sys::give_back_memory();
        let sample =
            (contender.slice)().map_err(|failure| self.failure = Some(failure.to_string()));
        self.samples.push(sample.ok());
    }

    /// The values of one metric by round, without the warm-up round.
    fn values(&self, metric: usize) -> impl Iterator<Item = Option<f64>> {
        let value = move |sample: &Option<Sample>| sample.as_ref()?.values.get(metric).copied();
        self.samples.iter().skip(1).map(value)
    }

    /// The median over the rounds that are `shown`.
    fn median(&self, metric: usize, shown: &[bool]) -> Option<f64> {
        let shown = self.values(metric).zip(shown).filter(|(_, shown)| **shown);
        median(shown.filter_map(|(value, _)| value))
    }

    /// The processor time of an operation, over the same rounds.
    fn cpu_ns(&self, shown: &[bool]) -> Option<f64> {
        let samples = self.samples.iter().skip(1).zip(shown).filter(|(_, shown)| **shown);
        median(samples.filter_map(|(sample, _)| sample.as_ref()?.cpu_ns))
    }

    fn median_of(&self, field: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        median(self.samples.iter().skip(1).flatten().filter_map(field))
    }

    /// Median over rounds of this contender's value over the other's in the same round.
    fn ratio(&self, metric: usize, other: &Self) -> Option<f64> {
        let pairs = self.values(metric).zip(other.values(metric));
        median(pairs.filter_map(|(own, other)| Some(own? / other?)))
    }
}

/// Runs the rounds of a group and turns them into its rows.
pub(crate) fn measure(mut group: Group, plan: &Plan) -> Vec<Row> {
    let all = rounds(&mut group.contenders, plan);
    (0..group.metrics.len()).map(|metric| row(&group, metric, &all)).collect()
}

fn rounds(contenders: &mut [Contender], plan: &Plan) -> Vec<Series> {
    let count = contenders.len();
    let mut all: Vec<Series> = contenders.iter().map(|_| Series::default()).collect();
    let end = Instant::now() + plan.budget;
    for round in 0..plan.rounds {
        if round >= FEWEST_ROUNDS && Instant::now() > end {
            break;
        }
        for place in 0..count {
            let index = turn_of(round, place, count);
            all[index].take(&mut contenders[index]);
        }
    }
    all
}

/// Who comes at `place` in `round`: the start rotates and the direction alternates, so that
/// nobody always follows the same neighbour.
fn turn_of(round: usize, place: usize, count: usize) -> usize {
    let step = if round.is_multiple_of(2) { place } else { count - 1 - place };
    (round + step) % count
}

/// Which rounds the values of a row are taken from: the faster half, by how everybody did in them.
///
/// A machine that changes its speed gives values of two kinds. The median over all rounds is then
/// of either kind, for one contender not of the same as for the next, and the values of a row
/// contradict its ratios. (Ratios compare within a round and need no such choice.)
fn shown(all: &[Series], metric: usize, better: Better) -> Vec<bool> {
    let count = all.iter().map(|series| series.values(metric).count()).max().unwrap_or(0);
    let everything = vec![true; count];
    // What each took in each round, in units of its own median.
    let relative = all.iter().filter_map(|series| {
        let middle = series.median(metric, &everything)?;
        let took = move |value: f64| match better {
            Better::Lower => value / middle,
            Better::Higher => middle / value,
        };
        Some(series.values(metric).map(move |value| value.map(took)).collect::<Vec<_>>())
    });
    let relative: Vec<_> = relative.collect();
    let took = |round: usize| median(relative.iter().filter_map(|of_one| of_one[round]));
    let took: Vec<_> = (0..count).map(took).collect();
    let middle = median(took.iter().flatten().copied());
    took.into_iter().map(|took| took <= middle).collect()
}

fn row(group: &Group, metric: usize, all: &[Series]) -> Row {
    let Metric { name, unit, better } = group.metrics[metric].clone();
    let sole =
        group.contenders.iter().filter(|contender| contender.role == Role::Limit).count() == 1;
    let named =
        || group.contenders.iter().map(move |contender| (contender, key(contender, sole))).zip(all);
    let of = |role: Role| named().filter(move |((contender, _), _)| contender.role == role);
    let shown = shown(all, metric, better);
    let medians = |role| of(role).map(|((_, key), series)| (key, series.median(metric, &shown)));
    let limit = of(Role::Limit)
        .filter_map(|(_, series)| Some((series, series.median(metric, &shown)?)))
        .reduce(|a, b| if better.pick(a.1, b.1) == a.1 { a } else { b });
    let mut variants: Values = medians(Role::Variant).collect();
    if !sole {
        variants.extend(medians(Role::Limit));
    }
    let ratio = |series: &Series| series.ratio(metric, limit?.0);
    let cpu_ns = named().map(|((_, key), series)| (key, series.cpu_ns(&shown)));
    Row {
        metric: name,
        unit,
        better,
        tautline: medians(Role::Tautline).next().and_then(|(_, value)| value),
        limit: limit.map(|(_, value)| value),
        peers: medians(Role::Peer).collect(),
        variants,
        ratios: named().map(|((_, key), series)| (key, ratio(series))).collect(),
        cpu_ns: cpu_ns.filter(|(_, value)| value.is_some()).collect(),
        note: note(group, all),
    }
}

/// The contender's name in the maps of a row: its role where the row has a field for it.
fn key(contender: &Contender, sole_limit: bool) -> &'static str {
    match contender.role {
        Role::Tautline => "tautline",
        Role::Limit if sole_limit => "limit",
        _ => contender.name,
    }
}

/// Above this share of sleep the side under test was not the bottleneck.
const IDLE_LIMIT: f64 = 0.15;
/// Below this share of spare time the generator may have been the bottleneck.
const SPARE_LIMIT: f64 = 0.05;

/// What to know about a row: the group's own note, who waited for whom, losses and failures.
fn note(group: &Group, all: &[Series]) -> Option<String> {
    let named = || group.contenders.iter().map(|contender| contender.name).zip(all);
    let shares = |field: fn(&Sample) -> Option<f64>, keep: fn(f64) -> bool| -> Shares {
        let share = |(name, series): (_, &Series)| Some((name, series.median_of(field)?));
        named().filter_map(share).filter(|&(_, share)| keep(share)).collect()
    };
    let idle = shares(|sample| sample.idle, |share| share > IDLE_LIMIT);
    let spare = shares(|sample| sample.spare, |share| share < SPARE_LIMIT);
    let loss = shares(|sample| sample.loss, |_| true);
    let mut parts: Vec<String> = group.note.map(String::from).into_iter().collect();
    parts.extend(listed("generator was the bottleneck, the side under test slept", &idle));
    parts.extend(listed("generator may have been the bottleneck, its time to spare was", &spare));
    parts.extend(listed("loss", &loss));
    parts.extend(
        named().filter_map(|(name, series)| Some(format!("{name}: {}", series.failure.as_ref()?))),
    );
    (!parts.is_empty()).then(|| parts.join("; "))
}

type Shares = BTreeMap<&'static str, f64>;

fn listed(what: &str, shares: &Shares) -> Option<String> {
    let one = |(name, share): (&&str, &f64)| format!("{name} {:.1} %", share * 100.0);
    let all = shares.iter().map(one).collect::<Vec<_>>().join(", ");
    (!shares.is_empty()).then(|| format!("{what}: {all}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn constant(name: &'static str, role: Role, value: f64) -> Contender {
        Contender::new(name, role, move || Ok(Sample::of([value])))
    }

    fn run(contenders: Vec<Contender>) -> Row {
        run_for(5, contenders)
    }

    fn run_for(rounds: usize, contenders: Vec<Contender>) -> Row {
        let metrics = vec![Metric::higher("rate", "1/s")];
        let plan = Plan { budget: Duration::from_secs(5), rounds, quick: true };
        measure(Group { metrics, contenders, note: None }, &plan).remove(0)
    }

    /// Of several bare loops the best in the row's direction is the limit, and all are shown.
    #[test]
    fn the_best_bare_loop_is_the_limit() {
        let row = run(vec![
            constant("spin", Role::Limit, 90.0),
            constant("ring", Role::Limit, 100.0),
            constant("tokio", Role::Peer, 50.0),
        ]);
        assert_eq!(row.limit, Some(100.0));
        assert_eq!(row.variants, Values::from([("spin", Some(90.0)), ("ring", Some(100.0))]));
        assert_eq!(row.ratios["tokio"], Some(0.5));
        assert_eq!(row.tautline, None);
    }

    /// On a machine that runs at half its speed for a while, all values of a row are of one speed
    /// and agree with the ratios, though one contender was slow more often than fast.
    #[test]
    fn values_are_of_one_speed() {
        let slow_until = |last, name, role, value: f64| {
            let mut round = 0;
            Contender::new(name, role, move || {
                round += 1;
                Ok(Sample::of([if round <= last { value / 2.0 } else { value }]))
            })
        };
        let row = run_for(
            12,
            vec![
                slow_until(6, "spin", Role::Limit, 100.0),
                slow_until(7, "ours", Role::Tautline, 90.0),
            ],
        );
        assert_eq!((row.limit, row.tautline), (Some(100.0), Some(90.0)));
        assert_eq!(row.ratios["tautline"], Some(0.9));
    }

    /// A contender that fails becomes null, and the note says why.
    #[test]
    fn failures_become_null_with_a_reason() {
        let stuck = || Err(Failure::Stalled(Duration::from_millis(300)));
        let row = run(vec![
            constant("spin", Role::Limit, 1.0),
            Contender::new("busy", Role::Peer, stuck),
        ]);
        assert_eq!(row.peers["busy"], None);
        assert!(row.note.is_some_and(|note| note.contains("busy: no answer within 300ms")));
    }

    /// A side under test that sleeps a lot makes the row say that the generator was too slow.
    #[test]
    fn idle_servers_are_named() {
        let idle = || Ok(Sample { values: vec![1.0], idle: Some(0.4), ..Sample::default() });
        let row = run(vec![Contender::new("epoll", Role::Limit, idle)]);
        assert!(
            row.note.is_some_and(|note| note.contains("generator was the bottleneck")
                && note.contains("epoll 40.0 %"))
        );
    }

    /// Every contender has exactly one place in each round.
    #[test]
    fn rotation_is_a_permutation() {
        for round in 0..12 {
            let mut turns: Vec<_> = (0..5).map(|place| turn_of(round, place, 5)).collect();
            turns.sort_unstable();
            assert_eq!(turns, [0, 1, 2, 3, 4]);
        }
    }
}
