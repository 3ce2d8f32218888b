//! `twixt work`.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use twixt::address::{BusName, Endpoint};
use twixt::bus::queue::{Consumer, Job, Producer};
use twixt::bus::{self, Kind, Options};
use twixt::object::bus_options;
use twixt::os::memfd::Memfd;
use twixt::os::popen::Command;
use twixt::os::signal::{Pid, Signal, Target, kill};
use twixt::os::{Deadline, ErrorKind, Wait};

use crate::args::Work;
use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::output::{self, beginning};

/// How often a job is handed out where nobody has said anything.
const RETRIES: u32 = 5;
/// How long one waits at a time, so that the end of the others is seen.
const LOOK: Duration = Duration::from_millis(100);

/// Works until there is a reason to end.
pub fn run(arguments: &Work) -> anyhow::Result<Exit> {
    let Endpoint::Queue(name) = arguments.address.endpoint() else {
        bail!(
            "cannot work off {}: only queues on the bus hand a job out again; give queue:NAME",
            arguments.address
        );
    };
    let interrupt = Interrupt::new()?;
    let options = options(arguments)?;
    // Made, or found missing, before anybody works.
    let first = Consumer::open(name, &options)?;
    let stat = bus::stat(Kind::Queue, name, None)?;
    let retries = match arguments.retries {
        Some(retries) => retries,
        // The queue itself puts aside what was handed out too often.
        None if stat.retries > 0 => 0,
        None => RETRIES,
    };
    if let Some(wanted) = arguments.visibility.filter(|&wanted| stat.visibility != Some(wanted)) {
        let (there, name) = (stat.visibility, name.as_str());
        let there = there.map_or("without one".to_owned(), |there| format!("with {there:?}"));
        bail!(
            "cannot work off queue:{name} with a visibility of {wanted:?}: it was made {there}; leave it out"
        );
    }
    let crew = Crew {
        arguments,
        name,
        options,
        retries,
        interrupt: &interrupt,
        taken: AtomicU64::new(0),
        is_over: AtomicBool::new(false),
        has_put_aside: AtomicBool::new(false),
        failure: Mutex::new(None),
    };
    thread::scope(|scope| {
        let mut first = Some(first);
        for number in 1..=arguments.jobs {
            let (crew, consumer) = (&crew, first.take());
            let worker = move || {
                crew.interrupt.attend();
                if let Err(end) = crew.work(consumer) {
                    crew.end(end);
                }
            };
            let builder = thread::Builder::new().name(format!("worker {number}"));
            if let Err(error) = builder.spawn_scoped(scope, worker) {
                crew.end(End::Failed(error.into()));
                break;
            }
        }
    });
    let end = crew.failure.into_inner().unwrap_or_else(PoisonError::into_inner);
    let signal = interrupt.signal().map(Exit::Stopped);
    let usual = if crew.has_put_aside.into_inner() { Exit::Nothing } else { Exit::Success };
    match end {
        Some(End::Failed(error)) => Err(error),
        Some(End::Unusable(exit, error)) => {
            output::complain(&error)?;
            Ok(exit)
        }
        Some(End::TimedOut(error)) => Err(error),
        None => Ok(signal.unwrap_or(usual)),
    }
}

/// How the queue is opened.
fn options(arguments: &Work) -> anyhow::Result<Options> {
    let mut options = bus_options(&arguments.address);
    let given = arguments.address.options();
    let creates = arguments.create || given.create();
    if !creates && let Some(name) = given.given().next() {
        bail!(
            "cannot open {}: option {name}: it says how a new object is made; add create",
            arguments.address
        );
    }
    if let (Some(retries), None, true) = (arguments.retries, given.retries(), creates) {
        options = options.retries(retries);
    }
    if let (Some(visibility), None) = (arguments.visibility, given.visibility()) {
        options = options.visibility(visibility);
    }
    Ok(options.create(creates))
}

/// Those who work here.
struct Crew<'a> {
    arguments: &'a Work,
    name: &'a BusName,
    options: Options,
    /// How often a job is handed out before it is put aside here; 0 for any number of times.
    retries: u32,
    interrupt: &'a Interrupt,
    taken: AtomicU64,
    /// Whether nothing more is to be taken.
    is_over: AtomicBool,
    has_put_aside: AtomicBool,
    failure: Mutex<Option<End>>,
}

/// Why there is an end, other than that all was done or the user wanted it.
enum End {
    Failed(anyhow::Error),
    /// The command cannot be run at all.
    Unusable(Exit, anyhow::Error),
    TimedOut(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for End {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Crew<'_> {
    /// Has all of them take nothing more.
    fn end(&self, end: End) {
        self.is_over.store(true, Ordering::Release);
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(end);
    }

    fn is_due(&self) -> bool {
        self.is_over.load(Ordering::Acquire) || self.interrupt.is_due_already()
    }

    /// Works off one job after the other.
    fn work(&self, consumer: Option<Consumer>) -> Result<(), End> {
        let consumer = match consumer {
            Some(consumer) => consumer,
            None => Consumer::open(self.name, &self.options)?,
        };
        let most = self.arguments.count.unwrap_or(u64::MAX);
        while self.taken.fetch_add(1, Ordering::AcqRel) < most {
            match self.next(&consumer)? {
                Some(job) => self.run(job)?,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// The next job; `None` if none is to be taken any more.
    fn next<'c>(&self, consumer: &'c Consumer) -> Result<Option<Job<'c>>, End> {
        let since = Instant::now();
        loop {
            if self.is_due() {
                return Ok(None);
            }
            match consumer.receive_wait(Wait::until(Deadline::after(LOOK)).interruptible()) {
                Ok(job) => return Ok(Some(job)),
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::TimedOut) => {
                    let Some(timeout) = self.arguments.timeout.filter(|&timeout| since.elapsed() >= timeout)
                    else {
                        continue;
                    };
                    let error = anyhow::Error::new(error.with_kind(ErrorKind::TimedOut));
                    return Err(End::TimedOut(error.context(format!("no job came within {timeout:?}"))));
                }
                // One who talks nonsense does not end it for the others.
                Err(error) if error.kind() == ErrorKind::Malformed => output::complain(&error.into())?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Runs the command, and says what came of the job.
    fn run(&self, job: Job<'_>) -> Result<(), End> {
        let bytes = match job.to_vec() {
            Ok(bytes) => bytes,
            // Another has it.
            Err(error) if error.kind() == ErrorKind::Overrun => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let status = match self.command(&job, &bytes) {
            Ok(status) => status,
            Err(Unstarted::Job(why)) => return self.failed(job, &bytes, &why),
            Err(Unstarted::Command(end)) => return Err(end),
        };
        if !status.success() {
            let how = match (status.code(), status.signal()) {
                (Some(code), _) => format!("ended with status {code}"),
                (None, signal) => format!("was ended by signal {}", signal.unwrap_or_default()),
            };
            return self.failed(job, &bytes, &format!("the command {how}"));
        }
        match job.acknowledge() {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::Overrun => self
                .tell(&bytes, "it took longer than the queue's visibility, and another worker has it, too"),
            Err(error) => Err(error.into()),
        }
    }

    /// The job is handed out again, or put aside.
    fn failed(&self, job: Job<'_>, bytes: &[u8], why: &str) -> Result<(), End> {
        let deliveries = job.deliveries();
        if self.retries == 0 || deliveries < self.retries {
            let of = if self.retries == 0 { String::new() } else { format!(" of {}", self.retries) };
            self.tell(bytes, &format!("{why} (attempt {deliveries}{of}); it is handed out again"))?;
            job.reject();
            return Ok(());
        }
        // First there, and then no longer here: whatever happens in between, it is not lost.
        let name = BusName::new(format!("{}.dead", self.name)).map_err(|error| anyhow!("{error}"))?;
        Producer::open(&name, &Options::new().create(true))?.send(bytes)?;
        self.has_put_aside.store(true, Ordering::Release);
        match job.acknowledge() {
            Err(error) if error.kind() != ErrorKind::Overrun => return Err(error.into()),
            _ => {}
        }
        self.tell(bytes, &format!("{why} (attempt {deliveries} of {}); it is in queue:{name}", self.retries))
    }

    fn tell(&self, bytes: &[u8], what: &str) -> Result<(), End> {
        Ok(output::note(&format!("twixt: job {}: {what}", beginning(bytes)))?)
    }

    /// Runs it to its end, which a second signal hastens.
    fn command(&self, job: &Job<'_>, bytes: &[u8]) -> Result<ExitStatus, Unstarted> {
        let mut words = Vec::with_capacity(self.arguments.command.len());
        for word in &self.arguments.command {
            words.push(fill(word, bytes)?);
        }
        // A file rather than a pipe: a command that reads only part of it, or nothing, keeps nobody waiting.
        let stdin = Memfd::create("job")?;
        stdin.write_at(0, bytes)?;
        let mut command = Command::program(&words[0])
            .args(&words[1..])
            .stdin(OwnedFd::from(stdin))
            .env("TWIXT_DELIVERIES", job.deliveries().to_string())
            .env("TWIXT_LENGTH", bytes.len().to_string())
            .env("TWIXT_PUBLISHER", job.producer().to_string())
            .env("TWIXT_SEQUENCE", job.sequence().to_string())
            .die_with_parent();
        // Ctrl-C is for this program, which lets finish what runs.
        command.as_std_mut().process_group(0);
        let mut running = command.run().map_err(|error| unusable(&words[0], error))?;
        let group = running.pids().next().and_then(Pid::from_raw);
        loop {
            match running.wait_with(Wait::forever().interruptible()) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {
                    if let (2.., Some(group)) = (self.interrupt.signals(), group) {
                        let _ = kill(Target::Group(group), Signal::KILL);
                    }
                }
                status => return Ok(status?),
            }
        }
    }
}

/// Why a command has not run.
enum Unstarted {
    /// It is the job's fault.
    Job(String),
    /// No job could be done.
    Command(End),
}

impl From<twixt::os::Error> for Unstarted {
    fn from(error: twixt::os::Error) -> Self {
        Self::Command(error.into())
    }
}

fn unusable(word: &OsStr, error: twixt::os::Error) -> Unstarted {
    let exit = match error.kind() {
        ErrorKind::NotFound => Exit::Command(127),
        // E2BIG: of this job there are too many bytes for an argument.
        ErrorKind::TooLong => return Unstarted::Job(error.to_string()),
        _ => Exit::Command(126),
    };
    let error = anyhow::Error::new(error).context(format!("cannot run {}", word.to_string_lossy()));
    Unstarted::Command(End::Unusable(exit, error))
}

/// The word with the job in the place of each `{}`.
fn fill(word: &OsStr, job: &[u8]) -> Result<OsString, Unstarted> {
    let mut rest = word.as_bytes();
    let mut filled = Vec::with_capacity(rest.len());
    while let Some(at) = rest.windows(2).position(|two| two == b"{}") {
        if job.contains(&0) {
            return Err(Unstarted::Job(
                "it has a zero byte, which no argument of a command can have".to_owned(),
            ));
        }
        filled.extend_from_slice(&rest[..at]);
        filled.extend_from_slice(job);
        rest = &rest[at + 2..];
    }
    filled.extend_from_slice(rest);
    Ok(OsString::from_vec(filled))
}
