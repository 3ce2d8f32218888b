//! Starts the parties and brings them together.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use crate::party::{Cue, Event, Kind, PLAY};
use crate::process::Process;
use crate::tracing::Tracer;
use crate::{Failure, Outcome, Pattern, Result, Role, Setup};

/// The program to execute for each party: it must hand the last argument to [`play`](crate::party::play), together with
/// the registry that it knows.
#[derive(Clone, Debug)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// Words that stand before it, such as a debugger's. With any, system calls are not counted: who is traced by one cannot
    /// be by another.
    pub before: Vec<OsString>,
}

impl Program {
    /// This program.
    ///
    /// # Errors
    /// Where it is cannot be known.
    pub fn this() -> Result<Self> {
        Ok(Self { path: std::env::current_exe()?, before: Vec::new() })
    }

    fn command(&self, setup: &Setup) -> Result<Command> {
        let mut words = self.before.iter().cloned().chain([self.path.clone().into_os_string()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).arg(PLAY).arg(serde_json::to_string(setup).map_err(Failure::failed)?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // What a terminal's Ctrl-C sends is for the conductor, who then ends the parties: a party that dies of it at the same
        // time would look like one that failed.
        command.process_group(0);
        // It goes with the thread that starts it, which is the one that conducts, or its tracer.
        twixt_sys::spawn::die_with_parent(&mut command);
        twixt_sys::spawn::unblock_signals(&mut command);
        Ok(command)
    }
}

/// How many messages a run has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Length {
    pub(crate) warm_up: u64,
    pub(crate) count: u64,
}

/// What a run has brought: what the publishers did, and the subscribers.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) publishers: Vec<Outcome>,
    pub(crate) subscribers: Vec<Outcome>,
    /// The system calls of all of them from their start to their end, if those were counted.
    pub(crate) calls: Option<u64>,
}

/// How long parties may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// For the run.
    pub(crate) run: Duration,
    /// For anything else.
    pub(crate) patience: Duration,
}

/// How long others may take to say what has happened, once one has failed.
const GRACE: Duration = Duration::from_secs(2);

/// How often the end of a run is sent again to those who have not had it, over what loses messages.
const AGAIN: Duration = Duration::from_millis(100);

/// Runs a workload once, its system calls counted or not.
pub(crate) fn conduct(
    program: &Program,
    setup: &Setup,
    length: Length,
    limits: Limits,
    counts_calls: bool,
    is_stopped: &dyn Fn() -> bool,
) -> Result<Run> {
    let workload = setup.workload;
    let roles = (0..workload.publishers)
        .map(Role::Publisher)
        .chain((0..workload.subscribers).map(Role::Subscriber))
        .enumerate();
    let (roles, commands) = roles
        .map(|(index, role)| {
            let cpu = setup.cpu.map(|cpus| index % cpus.max(1));
            Ok((role, program.command(&Setup { role, cpu, ..setup.clone() })?))
        })
        .collect::<Result<(Vec<Role>, Vec<Command>)>>()?;
    let (said, heard) = mpsc::channel();
    let mut stage = Stage { parties: Vec::new(), heard, patience: limits.patience, is_stopped };
    let mut tracer = None;
    if counts_calls {
        let (thread, traced) = Tracer::start(commands)?;
        tracer = Some(thread);
        let processes: Vec<Process> = traced.into_iter().map(Process::Traced).collect();
        for (index, (role, process)) in roles.into_iter().zip(processes).enumerate() {
            stage.parties.push(Party::new(process, role, index, said.clone())?);
        }
    } else {
        for (index, (role, mut command)) in roles.into_iter().zip(commands).enumerate() {
            let process = Process::Own(command.spawn()?);
            stage.parties.push(Party::new(process, role, index, said.clone())?);
        }
    }
    drop(said);
    let all = |event: &Event| matches!(event, Event::Prepared | Event::Connected);
    stage.gather(&all)?;
    stage.tell(&Cue::Connect, |_| true)?;
    stage.gather(&all)?;
    let run = Cue::Run { warm_up: length.warm_up, count: length.count };
    // Who receives is ready before there is anything.
    stage.tell(&run, |role| matches!(role, Role::Subscriber(_)))?;
    stage.tell(&run, |role| matches!(role, Role::Publisher(_)))?;
    let outcomes = stage.finish(workload.pattern, limits.run)?;
    stage.end();
    let calls = tracer.map(Tracer::count).transpose()?;
    let (publishers, subscribers) =
        outcomes.into_iter().partition::<Vec<_>, _>(|(role, _)| matches!(role, Role::Publisher(_)));
    let outcome = |(_, outcome)| outcome;
    Ok(Run {
        publishers: publishers.into_iter().map(outcome).collect(),
        subscribers: subscribers.into_iter().map(outcome).collect(),
        calls,
    })
}

struct Stage<'a> {
    parties: Vec<Party>,
    heard: Receiver<(usize, Option<Event>)>,
    patience: Duration,
    is_stopped: &'a dyn Fn() -> bool,
}

impl Stage<'_> {
    fn tell(&mut self, cue: &Cue, whom: impl Fn(Role) -> bool) -> Result<()> {
        self.parties.iter_mut().filter(|party| whom(party.role)).try_for_each(|party| party.tell(cue))
    }

    /// The next thing that any party says; `None` if none has said anything in time.
    fn hear(&mut self, limit: Duration) -> Result<Option<(usize, Event)>> {
        let end = Instant::now() + limit;
        loop {
            if (self.is_stopped)() {
                return Err(Failure::Stopped);
            }
            let step = end.saturating_duration_since(Instant::now()).min(Duration::from_millis(50));
            match self.heard.recv_timeout(step) {
                Ok((index, event @ (None | Some(Event::Failed { .. })))) => {
                    return Err(self.blame(index, event));
                }
                Ok((index, Some(event))) => return Ok(Some((index, event))),
                Err(RecvTimeoutError::Timeout) if Instant::now() < end => {}
                Err(_) => return Ok(None),
            }
        }
    }

    /// A party has failed or ended. One that has lost the other often says so before the other's own words are heard: all are
    /// given time to say something, and what tells most is what counts.
    fn blame(&mut self, index: usize, event: Option<Event>) -> Failure {
        let mut gone = vec![false; self.parties.len()];
        let mut told: Option<(u8, Failure)> = None;
        let end = Instant::now() + self.patience.min(GRACE);
        let mut heard = Some((index, event));
        loop {
            let (rank, failure) = match heard.take() {
                Some((index, Some(Event::Failed { what, kind }))) => {
                    gone[index] = true;
                    match kind {
                        Kind::Wrong => (0, Failure::Wrong(what)),
                        Kind::Unsupported => (2, Failure::Unsupported(what)),
                        Kind::Failed => (2, Failure::Failed(what)),
                    }
                }
                Some((index, None)) if !gone[index] => {
                    gone[index] = true;
                    (1, Failure::Failed(self.parties[index].end()))
                }
                _ => (u8::MAX, Failure::Stopped),
            };
            if rank < told.as_ref().map_or(u8::MAX, |(least, _)| *least) {
                told = Some((rank, failure));
            }
            let is_told = matches!(told, Some((0, _))) || !gone.contains(&false);
            if (self.is_stopped)() {
                return Failure::Stopped;
            }
            let left = end.saturating_duration_since(Instant::now());
            if is_told || left.is_zero() {
                return told.map_or(Failure::Stopped, |(_, failure)| failure);
            }
            heard = self.heard.recv_timeout(left.min(Duration::from_millis(50))).ok();
        }
    }

    /// Waits until each has said one such thing.
    fn gather(&mut self, what: &dyn Fn(&Event) -> bool) -> Result<()> {
        let mut missing: Vec<usize> = (0..self.parties.len()).collect();
        while !missing.is_empty() {
            match self.hear(self.patience)? {
                Some((index, event)) if what(&event) => missing.retain(|&one| one != index),
                Some((index, event)) => {
                    return Err(Failure::Failed(format!(
                        "{} has said {event:?}",
                        self.parties[index].name()
                    )));
                }
                None => return Err(self.timed_out(&missing)),
            }
        }
        Ok(())
    }

    /// Says who has not ended, and which of them stand still.
    fn timed_out(&mut self, missing: &[usize]) -> Failure {
        let names = missing.iter().map(|&index| {
            let party = &mut self.parties[index];
            let fate = party.process.fate(Duration::ZERO).map(|fate| format!(" ({fate})"));
            format!("{}{}", party.name(), fate.unwrap_or_default())
        });
        Failure::TimedOut(names.collect::<Vec<_>>().join(" and "))
    }

    /// Waits until all have done their part. When all publishers have, subscribers who have not heard so are told again.
    fn finish(&mut self, pattern: Pattern, limit: Duration) -> Result<Vec<(Role, Outcome)>> {
        let mut outcomes: Vec<Option<Outcome>> = vec![None; self.parties.len()];
        let mut end = Instant::now() + limit;
        let mut has_stopped = false;
        while outcomes.iter().any(Option::is_none) {
            let publishing = self
                .parties
                .iter()
                .zip(&outcomes)
                .any(|(party, outcome)| outcome.is_none() && matches!(party.role, Role::Publisher(_)));
            let publishers =
                self.parties.iter().filter(|party| matches!(party.role, Role::Publisher(_))).count();
            let mut step = end.saturating_duration_since(Instant::now());
            if step.is_zero() {
                let missing = outcomes.iter().enumerate().filter(|(_, outcome)| outcome.is_none());
                let missing: Vec<usize> = missing.map(|(index, _)| index).collect();
                return Err(self.timed_out(&missing));
            }
            if !publishing && pattern != Pattern::Rtt {
                // Several publishers cannot know which of them is the last: it is told.
                if has_stopped || publishers > 1 {
                    self.tell(&Cue::Stop, |role| role == Role::Publisher(0))?;
                }
                if !has_stopped {
                    (has_stopped, end) = (true, Instant::now() + self.patience);
                }
                step = step.min(AGAIN);
            }
            match self.hear(step)? {
                // Whoever sends to it would wait for it in vain.
                Some((_, Event::Done(outcome))) if outcome.wrong.is_some() => {
                    return Err(Failure::Wrong(outcome.wrong.unwrap_or_default()));
                }
                Some((index, Event::Done(outcome))) => outcomes[index] = Some(*outcome),
                Some((index, event)) => {
                    return Err(Failure::Failed(format!(
                        "{} has said {event:?}",
                        self.parties[index].name()
                    )));
                }
                None => {}
            }
        }
        Ok(self.parties.iter().map(|party| party.role).zip(outcomes.into_iter().flatten()).collect())
    }

    /// Lets all go, and waits until they have gone.
    fn end(mut self) {
        self.parties.iter_mut().for_each(|party| party.stdin = None);
        let end = Instant::now() + self.patience;
        for party in &mut self.parties {
            party.process.wait(end.saturating_duration_since(Instant::now()));
        }
    }
}

/// A process that plays a party. It goes when this is dropped.
struct Party {
    role: Role,
    process: Process,
    stdin: Option<ChildStdin>,
}

impl Party {
    fn new(
        mut process: Process,
        role: Role,
        index: usize,
        said: Sender<(usize, Option<Event>)>,
    ) -> Result<Self> {
        let (stdin, stdout) = process.streams();
        let Some(stdout) = stdout else { return Err(Failure::failed("a party without a standard output")) };
        thread::Builder::new().name("bench-party".into()).spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let event = line.ok().and_then(|line| serde_json::from_str(&line).ok());
                let is_end = event.is_none();
                if said.send((index, event)).is_err() || is_end {
                    return;
                }
            }
            let _ = said.send((index, None));
        })?;
        Ok(Self { role, process, stdin })
    }

    fn name(&self) -> String {
        match self.role {
            Role::Publisher(index) => format!("publisher {index}"),
            Role::Subscriber(index) => format!("subscriber {index}"),
        }
    }

    /// That it has ended, and how.
    fn end(&mut self) -> String {
        let fate = self.process.fate(Duration::from_secs(1)).map(|fate| format!(": {fate}"));
        format!("{} has ended before its time{}", self.name(), fate.unwrap_or_default())
    }

    fn tell(&mut self, cue: &Cue) -> Result<()> {
        let Some(stdin) = &mut self.stdin else { return Ok(()) };
        let mut line = serde_json::to_vec(cue).map_err(Failure::failed)?;
        line.push(b'\n');
        match stdin.write_all(&line) {
            // Its failure, or its end, is what it says last.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            told => Ok(told?),
        }
    }
}
