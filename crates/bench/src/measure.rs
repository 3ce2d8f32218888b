//! The whole of what is to be measured, in an order that is fair.
//!
//! For each workload the floor comes first, then the transports one after the other, and all of that again for each repeat:
//! whatever the machine does besides, it does to all of them.

use std::cell::RefCell;
use std::time::Duration;

use crate::conductor::{Length, Limits, Run, conduct};
use crate::directory::{Directory, remove_leftovers};
use crate::forecast::{Forecast, Progress, names};
use crate::noise::Gauge;
use crate::{
    Entry, Failure, Machine, Noise, Outcome, Pattern, Program, Record, Registry, Report, Result, Role, Setup,
    Status, Touch, Waiting, Workload,
};

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Names of transports, or addresses. The floor is measured whether it is named or not.
    pub transports: Vec<String>,
    /// What the parties do.
    pub patterns: Vec<Pattern>,
    /// Bytes of a message.
    pub sizes: Vec<usize>,
    /// How they wait.
    pub waits: Vec<Waiting>,
    /// How much of each message is touched.
    pub touch: Touch,
    /// How many parties send, with [`Pattern::Work`].
    pub publishers: usize,
    /// How many receive, with [`Pattern::Fanout`] and [`Pattern::Work`].
    pub subscribers: usize,
    /// How often each is measured.
    pub repeats: usize,
    /// Whether each party keeps to a CPU of its own, as far as there are enough.
    pub pins: bool,
    /// How long the measured part of a run takes, about.
    pub time: Duration,
    /// How much is to have room in the transports, in bytes.
    pub capacity: Option<u64>,
    /// How many messages each publisher sends in the measured part of a run; as many as take the time, if there is none.
    pub count: Option<u64>,
    /// Whether system calls are counted, in short runs of their own.
    pub counts_calls: bool,
    /// How long the parties may take for anything but the measured part of a run.
    pub patience: Duration,
}

/// Where a measurement is.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// How many runs have been made.
    pub done: usize,
    /// Of how many.
    pub all: usize,
    /// What comes now.
    pub transport: &'a str,
    /// Doing what.
    pub workload: &'a Workload,
    /// For which time.
    pub repeat: usize,
    /// How long it and all that comes after it take, about.
    pub left: Duration,
}

/// Looks on while something is measured.
pub trait Observer {
    /// A run begins.
    fn step(&self, step: Step<'_>) {
        let _ = step;
    }

    /// What is measured is measured on this machine. Comes first.
    fn machine(&self, machine: &Machine) {
        let _ = machine;
    }

    /// A repeat of a workload has ended over all transports: how noisy it was.
    fn noise(&self, noise: &Noise) {
        let _ = noise;
    }

    /// Something cannot be done.
    fn remark(&self, remark: &str) {
        let _ = remark;
    }

    /// A run has ended.
    fn record(&self, record: &Record) {
        let _ = record;
    }

    /// Whether it should end now.
    fn is_stopped(&self) -> bool {
        false
    }
}

/// Measures all of a plan.
///
/// A transport that cannot do a workload, or fails, has a record that says so, and the rest goes on. What killed measurements
/// have left behind is removed first.
///
/// # Errors
/// [`Failure::Failed`] for a transport that there is not, or a directory that cannot be made; [`Failure::Stopped`].
pub fn measure(
    plan: &Plan,
    registry: &Registry,
    program: &Program,
    observer: &dyn Observer,
) -> Result<Report> {
    for name in &plan.transports {
        registry.find(name)?;
    }
    let names = names(plan, registry);
    let workloads = plan.workloads();
    remove_leftovers(registry);
    let measuring = Measuring {
        plan,
        registry,
        program,
        observer,
        all: workloads.len() * names.len() * plan.repeats,
        remarks: RefCell::default(),
        rates: RefCell::default(),
    };
    let progress = Progress::new(Forecast::new(plan, registry));
    let machine = Machine::this();
    observer.machine(&machine);
    let (mut records, mut noise, mut gauge) = (Vec::new(), Vec::new(), Gauge::new());
    for (at, workload) in workloads.iter().enumerate() {
        let mut courses: Vec<Course> = names.iter().map(|name| Course::new(name)).collect();
        for repeat in 0..plan.repeats {
            let (begun, mut ended) = (records.len(), Ok(()));
            gauge.begin();
            for (index, course) in courses.iter_mut().enumerate() {
                let (done, all) = (records.len(), measuring.all);
                let left = progress.left(at, repeat, index);
                observer.step(Step { done, all, transport: &course.name, workload, repeat, left });
                gauge.look();
                match measuring.run(course, workload, repeat, &mut gauge) {
                    Ok(record) => records.push(record),
                    Err(failure) => {
                        ended = Err(failure);
                        break;
                    }
                }
            }
            // What there is of a repeat is not lost when somebody stops it.
            set_ratios(&mut records[begun..], registry);
            records[begun..].iter().for_each(|record| observer.record(record));
            let heard = gauge.end(workload, repeat);
            observer.noise(&heard);
            noise.push(heard);
            ended?;
        }
    }
    Ok(Report { machine, records, noise, remarks: measuring.remarks.into_inner() })
}

impl Plan {
    /// Each workload once, in the order in which they are measured.
    pub fn workloads(&self) -> Vec<Workload> {
        let mut workloads = Vec::new();
        for &pattern in &self.patterns {
            for &size in &self.sizes {
                for &waiting in &self.waits {
                    let publishers = if pattern == Pattern::Work { self.publishers } else { 1 };
                    let subscribers =
                        if matches!(pattern, Pattern::Fanout | Pattern::Work) { self.subscribers } else { 1 };
                    workloads.push(Workload {
                        pattern,
                        size,
                        waiting,
                        touch: self.touch,
                        publishers,
                        subscribers,
                    });
                }
            }
        }
        workloads
    }
}

/// A transport on its way through the repeats of a workload.
struct Course {
    name: String,
    /// Messages a second, as far as is known.
    length: Option<u64>,
    /// How much room it is given, once that is known.
    capacity: Option<u64>,
    /// System calls for each message, as far as they could be counted.
    calls: Option<f64>,
    /// Why there is nothing to measure.
    excuse: Option<Status>,
}

impl Course {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), length: None, capacity: None, calls: None, excuse: None }
    }
}

struct Measuring<'a> {
    plan: &'a Plan,
    registry: &'a Registry,
    program: &'a Program,
    observer: &'a dyn Observer,
    all: usize,
    remarks: RefCell<Vec<String>>,
    /// How many messages took the time, of a transport in the workloads that came before.
    rates: RefCell<Vec<(String, Workload, u64)>>,
}

/// The messages of the run that counts system calls: as often as consumers look at the clock in a run, or twice that, so that
/// the looks are the same with twice as many.
const COUNTED: u64 = 64;

/// How many messages may come at once before that is a fault.
const MOST_AT_ONCE: u64 = 1 << 20;

/// The messages of the first run that finds out how fast a transport is.
const TRIAL: u64 = 64;

impl Measuring<'_> {
    fn run(
        &self,
        course: &mut Course,
        workload: &Workload,
        repeat: usize,
        gauge: &mut Gauge,
    ) -> Result<Record> {
        let mut record = self.empty(course, workload, repeat);
        if let Some(excuse) = &course.excuse {
            record.status = excuse.clone();
            return Ok(record);
        }
        let attempted = self.attempt(course, workload);
        record.capacity = course.capacity.or(self.plan.capacity);
        match attempted {
            Ok((setup, length, run)) => {
                let lossy = self.registry.find(&course.name)?.is_lossy(&setup);
                fill(&mut record, workload, length, &run, lossy);
                record.syscalls_per_msg = course.calls;
                if !setup.is_crowded {
                    let parties = run.publishers.iter().chain(&run.subscribers);
                    let involuntary = parties.map(|party| party.usage.involuntary).sum();
                    gauge.switched(involuntary, elapsed(workload, &run) as f64 / 1e9);
                }
            }
            Err(Failure::Stopped) => return Err(Failure::Stopped),
            Err(Failure::Unsupported(why)) => record.status = Status::Unsupported(why),
            Err(failure) => record.status = Status::Failed(failure.to_string()),
        }
        if !record.is_ok() {
            course.excuse = Some(record.status.clone());
        }
        Ok(record)
    }

    fn attempt(&self, course: &mut Course, workload: &Workload) -> Result<(Setup, Length, Run)> {
        let mut count = match course.length {
            Some(count) => count,
            None => {
                let (count, capacity) = self.choose(&course.name, workload)?;
                course.capacity = capacity;
                course.calls = self.count_calls(&course.name, workload, capacity)?;
                *course.length.insert(count)
            }
        };
        loop {
            let length = Length { warm_up: (count / 10).max(16), count };
            let (setup, run) = self.conduct(&course.name, workload, course.capacity, length, false)?;
            if elapsed(workload, &run) > 0 || self.plan.count.is_some() {
                return Ok((setup, length, run));
            }
            // All came at once: there is no time between the first and the last.
            if count > MOST_AT_ONCE {
                return Err(Failure::failed(format_args!("{count} messages came at once")));
            }
            count *= 8;
            course.length = Some(count);
        }
    }

    /// How many messages take about the time that was asked for, with the room in which most do.
    fn choose(&self, name: &str, workload: &Workload) -> Result<(u64, Option<u64>)> {
        let directory = Directory::new()?;
        let setup = self.setup(name, workload, self.plan.capacity, &directory);
        directory.claim(&setup)?;
        let entry = self.registry.find(name)?;
        entry.supports(&setup)?;
        // Of a shorter message a receiver cannot tell whether it is the next, from whomever it is.
        if workload.size < 8 && (workload.pattern == Pattern::Work || entry.is_lossy(&setup)) {
            let why =
                "messages of fewer than 8 bytes have no room for who has sent them, and which one it is";
            return Err(Failure::Unsupported(why.into()));
        }
        let most = entry.most_messages(&setup);
        if let Some(count) = self.plan.count {
            return Ok((count.min(most), entry.capacities(&setup).first().copied().flatten()));
        }
        let (mut best, mut refusal) = (None::<(u64, Option<u64>)>, None);
        for capacity in entry.capacities(&setup) {
            let expected = best.map(|(best, _)| best).or_else(|| self.expected(name, workload));
            match self.calibrate(name, workload, capacity, expected) {
                // What comes first is the simplest, and stays unless another is faster by more than chance.
                Ok(count) if best.is_none_or(|(best, _)| count > best + best / 16) => {
                    best = Some((count, capacity));
                }
                Ok(_) => {}
                Err(Failure::Unsupported(why)) => refusal = Some(why),
                Err(failure) => return Err(failure),
            }
        }
        match best {
            Some((count, capacity)) => {
                self.rates.borrow_mut().push((name.to_owned(), *workload, count));
                Ok((count.min(most), capacity))
            }
            None => Err(Failure::Unsupported(refusal.unwrap_or_else(|| "no capacity is possible".into()))),
        }
    }

    /// How many messages may take about the time that was asked for: of an earlier workload that differs in nothing but its
    /// size, as many bytes at the most.
    fn expected(&self, name: &str, workload: &Workload) -> Option<u64> {
        let rates = self.rates.borrow();
        let is_like = |other: &Workload| Workload { size: workload.size, ..*other } == *workload;
        let (_, other, count) = rates.iter().rev().find(|(of, other, _)| of == name && is_like(other))?;
        let share = (other.size as f64 / workload.size as f64).min(1.0);
        Some((*count as f64 * share) as u64)
    }

    /// How many messages take about the time that was asked for. If it is about as many as is expected, one short run tells.
    fn calibrate(
        &self,
        name: &str,
        workload: &Workload,
        capacity: Option<u64>,
        expected: Option<u64>,
    ) -> Result<u64> {
        let wanted = self.plan.time.as_nanos() as f64;
        let mut count = expected.map_or(TRIAL, |expected| expected / 6).max(TRIAL);
        loop {
            let length = Length { warm_up: count / 8, count };
            let (_, run) = self.conduct(name, workload, capacity, length, false)?;
            // Where messages get lost, those who receive may have seen the last of them long before they were all sent.
            let took = elapsed(workload, &run).max(span(&run.publishers)) as f64;
            let enough = count as f64 * wanted / took.max(1000.0);
            if took >= wanted / 8.0 || enough <= count as f64 {
                return Ok((enough as u64).max(16));
            }
            // A short run says little of a long one.
            count = (enough / 4.0).min(count as f64 * 64.0) as u64;
        }
    }

    /// System calls of all parties for each message that a publisher sends: what twice as many messages take more.
    ///
    /// Not of those that spin, for a while or all the time: how many attempts a wait has depends on how long it is, and it is
    /// long where every call stops for its tracer.
    fn count_calls(&self, name: &str, workload: &Workload, capacity: Option<u64>) -> Result<Option<f64>> {
        if !self.plan.counts_calls || workload.waiting != Waiting::Block || !self.program.before.is_empty() {
            return Ok(None);
        }
        let count = |count| {
            let (_, run) = self.conduct(name, workload, capacity, Length { warm_up: 0, count }, true)?;
            Ok(run.calls.unwrap_or_default() as f64)
        };
        match count(COUNTED).and_then(|once| Ok(count(2 * COUNTED)? - once)) {
            // A few calls of a process's life come and go: what is finer than a tenth says nothing.
            Ok(more) => {
                let each = more.max(0.0) / (COUNTED * workload.publishers as u64) as f64;
                Ok(Some((each * 10.0).round() / 10.0))
            }
            Err(failure @ (Failure::Stopped | Failure::Wrong(_))) => Err(failure),
            Err(Failure::Unsupported(why)) => {
                self.remark(format!("system calls are not counted: {why}"));
                Ok(None)
            }
            Err(failure) => {
                let pattern = workload.pattern;
                self.remark(format!("system calls of {name} ({pattern}) are not counted: {failure}"));
                Ok(None)
            }
        }
    }

    /// Says something, once.
    fn remark(&self, remark: String) {
        let mut remarks = self.remarks.borrow_mut();
        if !remarks.contains(&remark) {
            self.observer.remark(&remark);
            remarks.push(remark);
        }
    }

    fn setup(&self, name: &str, workload: &Workload, capacity: Option<u64>, directory: &Directory) -> Setup {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Setup {
            transport: name.to_owned(),
            workload: *workload,
            role: Role::Publisher(0),
            name: directory.name.clone(),
            directory: directory.path.clone(),
            capacity,
            cpu: self.plan.pins.then_some(cpus),
            is_crowded: workload.parties() > cpus,
        }
    }

    fn conduct(
        &self,
        name: &str,
        workload: &Workload,
        capacity: Option<u64>,
        length: Length,
        counts_calls: bool,
    ) -> Result<(Setup, Run)> {
        let directory = Directory::new()?;
        let setup = self.setup(name, workload, capacity, &directory);
        self.registry.find(name)?.supports(&setup)?;
        // Ten times what was asked for is a transport that has stopped.
        let limits = Limits { run: self.plan.time * 10 + self.plan.patience, patience: self.plan.patience };
        directory.claim(&setup)?;
        let is_stopped = || self.observer.is_stopped();
        let run = conduct(self.program, &setup, length, limits, counts_calls, &is_stopped);
        self.registry.find(name)?.clean(&setup);
        let run = run?;
        verify(workload, &run, self.registry.find(name)?.is_lossy(&setup))?;
        Ok((setup, run))
    }

    fn empty(&self, course: &Course, workload: &Workload, repeat: usize) -> Record {
        Record {
            transport: course.name.clone(),
            pattern: workload.pattern,
            size: workload.size,
            wait: workload.waiting,
            touch: workload.touch,
            pubs: workload.publishers,
            subs: workload.subscribers,
            repeat,
            status: Status::Ok,
            n: 0,
            p50_ns: None,
            p99_ns: None,
            p999_ns: None,
            max_ns: None,
            msgs_per_s: None,
            bytes_per_s: None,
            floor_ratio: None,
            cpu_ns_per_msg: None,
            switches_per_msg: None,
            syscalls_per_msg: None,
            lost: 0,
            capacity: self.plan.capacity,
            histogram: Vec::new(),
        }
    }
}

/// Whether what was received is what was sent.
fn verify(workload: &Workload, run: &Run, is_lossy: bool) -> Result<()> {
    let all = || run.publishers.iter().chain(&run.subscribers);
    if let Some(wrong) = all().find_map(|outcome| outcome.wrong.as_ref()) {
        return Err(Failure::Wrong(wrong.clone()));
    }
    let sum = |outcomes: &[Outcome], what: fn(&Outcome) -> u64| {
        outcomes.iter().map(what).fold(0u64, u64::wrapping_add)
    };
    let sent = sum(&run.publishers, |it| it.sent).wrapping_mul(workload.copies());
    let received = sum(&run.subscribers, |it| it.received);
    if is_lossy && received <= sent {
        return Ok(());
    }
    let digests = sum(&run.publishers, |it| it.digest).wrapping_mul(workload.copies());
    if sent == received && digests == sum(&run.subscribers, |it| it.digest) {
        return Ok(());
    }
    Err(Failure::Wrong(format!("{received} were received of {sent} that were to be")))
}

/// The nanoseconds of the measured part.
fn elapsed(workload: &Workload, run: &Run) -> u64 {
    span(if workload.pattern == Pattern::Rtt { &run.publishers } else { &run.subscribers })
}

/// From the first of their measured parts to the end of the last.
fn span(outcomes: &[Outcome]) -> u64 {
    let begun = outcomes.iter().map(|it| it.first.at_ns).filter(|&at| at > 0).min().unwrap_or_default();
    outcomes.iter().map(|it| it.last.at_ns).max().unwrap_or_default().saturating_sub(begun)
}

fn fill(record: &mut Record, workload: &Workload, length: Length, run: &Run, is_lossy: bool) {
    let seconds = elapsed(workload, run) as f64 / 1e9;
    let per_second = if workload.pattern == Pattern::Rtt {
        record.n = length.count;
        length.count as f64 / seconds
    } else {
        record.n = run.subscribers.iter().map(measured).sum();
        record.n as f64 / seconds / workload.copies() as f64
    };
    if seconds > 0.0 && record.n > 0 {
        record.msgs_per_s = Some(per_second);
        record.bytes_per_s = Some(per_second * workload.size as f64);
    }
    if let Some(pinger) = run.publishers.first().filter(|pinger| !pinger.round_trips.is_empty()) {
        let quantile = |share: f64| Some(quantile(&pinger.round_trips, share));
        record.p50_ns = quantile(0.5);
        record.p99_ns = quantile(0.99);
        record.p999_ns = quantile(0.999);
        record.max_ns = quantile(1.0);
        record.histogram = pinger.round_trips.clone();
    }
    record.cpu_ns_per_msg = Some(per_message(workload, run, |it| it.usage.cpu_ns));
    record.switches_per_msg =
        Some(per_message(workload, run, |it| it.usage.voluntary + it.usage.involuntary));
    if is_lossy {
        let sent: u64 = run.publishers.iter().map(|it| it.sent).sum();
        let received: u64 = run.subscribers.iter().map(|it| it.received).sum();
        record.lost = (sent * workload.copies()).saturating_sub(received);
    }
}

/// The messages of a party's measured part.
fn measured(outcome: &Outcome) -> u64 {
    outcome.last.messages.saturating_sub(outcome.first.messages)
}

/// What all parties together have used for one message that a publisher sent: a publisher's part of it, and that of the one
/// subscriber who receives it, or of each of them with fan-out. The two sides are divided by their own messages, since their
/// measured parts are not the same.
fn per_message(workload: &Workload, run: &Run, what: fn(&Outcome) -> u64) -> f64 {
    let side = |outcomes: &[Outcome]| {
        let messages: u64 = outcomes.iter().map(measured).sum();
        outcomes.iter().map(what).sum::<u64>() as f64 / messages.max(1) as f64
    };
    side(&run.publishers) + side(&run.subscribers) * workload.copies() as f64
}

/// What that share of the round trips does not exceed.
fn quantile(round_trips: &[(u64, u64)], share: f64) -> f64 {
    let all: u64 = round_trips.iter().map(|(_, count)| count).sum();
    let wanted = (all as f64 * share).ceil().max(1.0) as u64;
    let mut seen = 0;
    for &(value, count) in round_trips {
        seen += count;
        if seen >= wanted {
            return value as f64;
        }
    }
    round_trips.last().map_or(0.0, |&(value, _)| value as f64)
}

/// Sets the records of one repeat beside the best of the floor in the same.
fn set_ratios(records: &mut [Record], registry: &Registry) {
    let is_floor = |record: &Record| registry.find(&record.transport).is_ok_and(Entry::is_yardstick);
    let floors: Vec<&Record> = records.iter().filter(|record| record.is_ok() && is_floor(record)).collect();
    let least = floors.iter().filter_map(|floor| floor.p50_ns).reduce(f64::min);
    let most = floors.iter().filter_map(|floor| floor.msgs_per_s).reduce(f64::max);
    for record in records {
        record.floor_ratio = match record.pattern {
            Pattern::Rtt => record.p50_ns.zip(least).map(|(own, floor)| own / floor),
            _ => record.msgs_per_s.zip(most).map(|(own, floor)| floor / own),
        };
    }
}
