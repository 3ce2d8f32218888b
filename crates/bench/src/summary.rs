//! The repeats of one measurement taken together, and what two of them have to say about each other.

use serde::Serialize;

use crate::{Pattern, Record, Status, Touch, Waiting};

/// A figure over several repeats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The least.
    pub least: f64,
    /// The one in the middle.
    pub median: f64,
    /// The greatest.
    pub greatest: f64,
    /// Of how many.
    pub repeats: usize,
}

impl Spread {
    /// Of these; `None` of none.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<f64> = figures.into_iter().filter(|figure| figure.is_finite()).collect();
        figures.sort_by(f64::total_cmp);
        let (&least, &greatest) = (figures.first()?, figures.last()?);
        let middle = figures.len() / 2;
        let median = if figures.len() % 2 == 1 {
            figures[middle]
        } else {
            f64::midpoint(figures[middle - 1], figures[middle])
        };
        Some(Self { least, median, greatest, repeats: figures.len() })
    }

    /// How far the repeats are apart, as a share of the median: what `±` says, so that 0.1 is ±10 %. `None` for a single
    /// repeat, of which that cannot be said.
    ///
    /// It is the whole way from the least to the greatest, and not half of it: a few repeats are seldom the extreme ones, and
    /// another run has its processes elsewhere in memory and the machine in another mood. It is what [`compare`] allows each
    /// of two runs.
    pub fn relative(&self) -> Option<f64> {
        (self.repeats > 1 && self.median > 0.0).then(|| (self.greatest - self.least) / self.median)
    }

    /// Whether some repeats of one and some of the other were the same, so that nothing can be said of which is greater.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.least <= other.greatest && other.least <= self.greatest
    }
}

/// The repeats of one workload over one transport.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The transport's name or address.
    pub transport: String,
    /// The pattern.
    pub pattern: Pattern,
    /// Bytes of a message.
    pub size: usize,
    /// How the parties waited.
    pub wait: Waiting,
    /// How much of each message was touched.
    pub touch: Touch,
    /// Parties that sent.
    pub pubs: usize,
    /// Parties that received.
    pub subs: usize,
    /// That all repeats went well, or why the first did not that did not.
    pub status: Status,
    /// How many messages, or round trips, in all repeats.
    pub n: u64,
    /// Half of the round trips took no longer, in nanoseconds.
    pub p50_ns: Option<Spread>,
    /// 99 of 100 took no longer.
    pub p99_ns: Option<Spread>,
    /// 999 of 1000 took no longer.
    pub p999_ns: Option<Spread>,
    /// The longest.
    pub max_ns: Option<Spread>,
    /// Messages per second, as in a [`Record`].
    pub msgs_per_s: Option<Spread>,
    /// Bytes per second.
    pub bytes_per_s: Option<Spread>,
    /// How far it is from the floor: each repeat was set beside the floor of the same repeat.
    pub floor_ratio: Option<Spread>,
    /// Processor time for each message, in nanoseconds.
    pub cpu_ns_per_msg: Option<Spread>,
    /// Context switches for each message.
    pub switches_per_msg: Option<Spread>,
    /// System calls for each message, which are counted once.
    pub syscalls_per_msg: Option<f64>,
    /// Messages that were lost in all repeats.
    pub lost: u64,
    /// How much had room in it, in bytes, if that was chosen.
    pub capacity: Option<u64>,
    /// The round trips of all repeats: how many (second) took so many nanoseconds (first).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub histogram: Vec<(u64, u64)>,
}

impl Summary {
    /// One of each transport and workload, in the order in which they come first.
    pub fn of(records: &[Record]) -> Vec<Self> {
        let mut groups: Vec<Vec<&Record>> = Vec::new();
        for record in records {
            match groups.iter_mut().find(|group| is_same(group[0], record)) {
                Some(group) => group.push(record),
                None => groups.push(vec![record]),
            }
        }
        groups.iter().map(|group| Self::of_one(group)).collect()
    }

    fn of_one(group: &[&Record]) -> Self {
        let first = group[0];
        let ok = || group.iter().filter(|record| record.is_ok());
        let spread =
            |figure: fn(&Record) -> Option<f64>| Spread::of(ok().filter_map(|record| figure(record)));
        let wrong = group.iter().find(|record| !record.is_ok());
        let mut round_trips: Vec<(u64, u64)> =
            ok().flat_map(|record| record.histogram.iter().copied()).collect();
        round_trips.sort_unstable();
        let mut histogram: Vec<(u64, u64)> = Vec::new();
        for (value, count) in round_trips {
            match histogram.last_mut() {
                Some(last) if last.0 == value => last.1 += count,
                _ => histogram.push((value, count)),
            }
        }
        Self {
            transport: first.transport.clone(),
            pattern: first.pattern,
            size: first.size,
            wait: first.wait,
            touch: first.touch,
            pubs: first.pubs,
            subs: first.subs,
            status: wrong.map_or(Status::Ok, |record| record.status.clone()),
            n: ok().map(|record| record.n).sum(),
            p50_ns: spread(|it| it.p50_ns),
            p99_ns: spread(|it| it.p99_ns),
            p999_ns: spread(|it| it.p999_ns),
            max_ns: spread(|it| it.max_ns),
            msgs_per_s: spread(|it| it.msgs_per_s),
            bytes_per_s: spread(|it| it.bytes_per_s),
            floor_ratio: spread(|it| it.floor_ratio),
            cpu_ns_per_msg: spread(|it| it.cpu_ns_per_msg),
            switches_per_msg: spread(|it| it.switches_per_msg),
            syscalls_per_msg: ok().find_map(|record| record.syscalls_per_msg),
            lost: ok().map(|record| record.lost).sum(),
            capacity: ok().find_map(|record| record.capacity).or(first.capacity),
            histogram,
        }
    }

    /// How many repeats have a figure.
    pub fn repeats(&self) -> usize {
        self.figure().map_or(0, |figure| figure.repeats)
    }

    /// The figure that says how fast it is: the median of round trips in nanoseconds, or messages per second.
    pub fn figure(&self) -> Option<Spread> {
        if self.pattern == Pattern::Rtt { self.p50_ns } else { self.msgs_per_s }
    }
}

fn is_same(one: &Record, other: &Record) -> bool {
    let cell = |it: &Record| (it.pattern, it.size, it.wait, it.touch, it.pubs, it.subs);
    one.transport == other.transport && cell(one) == cell(other)
}

/// What two measurements of the same thing say about each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Their medians are no further apart than their spreads allow.
    Agrees,
    /// They are: something is not the same.
    Differs,
    /// There is no figure, or no spread, since there was only one repeat.
    Unknown,
}

/// The share of a figure below which no difference is told: clocks and histograms are not much finer.
const RESOLUTION: f64 = 0.01;

/// Compares two figures, such as those of two runs: whether their medians are no further apart than the widths of both
/// spreads together, from the least to the greatest repeat, or than a hundredth.
pub fn compare(one: Option<Spread>, other: Option<Spread>) -> Comparison {
    match one.zip(other) {
        Some((one, other)) if one.repeats > 1 && other.repeats > 1 => {
            let widths = (one.greatest - one.least) + (other.greatest - other.least);
            let allowed = widths.max(one.median.max(other.median) * RESOLUTION);
            if (one.median - other.median).abs() <= allowed {
                Comparison::Agrees
            } else {
                Comparison::Differs
            }
        }
        _ => Comparison::Unknown,
    }
}
