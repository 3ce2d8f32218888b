//! The guard: a process that gives the permits of a POSIX semaphore back, whatever becomes of the one that runs the
//! command.
//!
//! The kernel keeps no owner of such a permit, so somebody must be alive to give it back. The guard is this program again,
//! in a session of its own and with all signals blocked. It takes the permits itself, so that at no moment anybody has
//! them whose death would lose them but the guard.
//!
//! ```text
//! the one that runs the command             the guard
//!        |---- starts ------------------------->| waits for the permits
//!        |<--- "taken" -------------------------|
//!     starts the command                        |
//!        |---- "PID" of the command ----------->| waits until the command has ended, whoever else lives
//!        |<--- "giving" ------------------------| gives back, and ends
//! ```
//!
//! The line on which the guard hears the PID is closed when all who could still start the command have gone: the one
//! that runs it, and the command itself, which has a copy. So if the PID never comes, its end is what the guard
//! waits for.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use rustix::event::{PollFd, PollFlags, poll};
use twixt::os::eventfd::EventFd;
use twixt::os::posix::sem::Semaphore;
use twixt::os::signal::{Action, Pid, PidFd, Signal, SignalSet, kill_thread, this_process, this_thread};
use twixt::os::{Deadline, Error, ErrorKind, Mechanism, Object, Wait};

use super::supervise::{Signals, die_of};
use crate::exit::Exit;
use crate::output;

/// The first argument that makes this program a guard; no user's command line.
const HOLD: &str = "hold-permits";
/// What the guard says.
const TAKEN: &str = "taken";
const GIVING: &str = "giving";
/// Before the PID of the command for which a guard before it has taken the permits.
const FOR: &str = "for:";
/// Before the reason why it has taken nothing.
const TIMED_OUT: &str = "timed-out";
const FAILED: &str = "failed";

/// The guard, as the one that runs the command sees it.
pub struct Guard {
    /// The same one that the guard has, in case that it is killed and no other can be started.
    semaphore: Semaphore,
    name: std::ffi::OsString,
    permits: u16,
    running: Option<Running>,
}

/// A guard that lives, as far as we know.
struct Running {
    process: Child,
    end: PidFd,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

/// What a new guard finds.
#[derive(Clone, Copy)]
enum State {
    /// Nothing was taken yet; it may wait for so long.
    ToBeTaken(Wait),
    /// A guard before it has taken the permits, for the command with this PID.
    Taken(u32),
}

impl Guard {
    /// Starts a guard and waits until it has the permits; or says how the program ends if the time is up or a signal came
    /// first, when nothing is held.
    pub fn take(
        semaphore: Semaphore,
        name: &OsStr,
        permits: u16,
        wait: Wait,
        signals: &Signals,
    ) -> anyhow::Result<Result<Self, Exit>> {
        let mut running = Running::start(name, permits, State::ToBeTaken(wait))?;
        loop {
            let mut polled =
                [PollFd::new(signals, PollFlags::IN), PollFd::new(running.stdout.get_ref(), PollFlags::IN)];
            let _ = poll(&mut polled, None);
            if let Some(signal) = signals.fatal() {
                // It puts back what it has taken.
                running.end();
                return Ok(Err(die_of(signal)));
            }
            if !polled[1].revents().is_empty() {
                break;
            }
        }
        let mut said = String::new();
        running.stdout.read_line(&mut said).context("cannot hear the guard")?;
        if said.trim_end() == TAKEN {
            let name = name.to_owned();
            return Ok(Ok(Self { semaphore, name, permits, running: Some(running) }));
        }
        running.end();
        match said.trim_end().split_once(' ') {
            Some((TIMED_OUT, why)) => {
                output::complain(&anyhow!("{why}"))?;
                Ok(Err(Exit::TimedOut))
            }
            Some((_, why)) => bail!("{why}"),
            None => bail!(
                "cannot hold {}: the guard was killed before it had the permits; was it out of memory?",
                name.display()
            ),
        }
    }

    /// What the command is to have a copy of, so that the guard knows that it lives although nobody told.
    pub fn line(&self) -> anyhow::Result<OwnedFd> {
        let running = self.running.as_ref().ok_or_else(|| anyhow!("there is no guard"))?;
        Ok(running.stdin.as_fd().try_clone_to_owned()?)
    }

    /// Tells the guard whose end to wait for.
    pub fn watch(&mut self, command: &Child) {
        if let Some(running) = &mut self.running {
            running.watch(command);
        }
    }

    /// Readable when the guard has ended.
    pub fn end(&self) -> Option<BorrowedFd<'_>> {
        self.running.as_ref().map(|running| running.end.as_fd())
    }

    /// Starts another guard if this one has been killed while the command runs.
    pub fn look_after(&mut self, command: &Child) {
        let Some(running) = &mut self.running else { return };
        if running.end.try_wait_exit().is_err() || running.has_begun_to_give() {
            return;
        }
        let _ = running.process.wait();
        self.running = None;
        match Running::start(&self.name, self.permits, State::Taken(command.id())) {
            Ok(running) => self.running = Some(running),
            Err(error) => {
                let _ = output::note(&format!(
                    "twixt: the guard of {} was killed, and no other can be started ({error:#}); if twixt is killed \
                     too, {} permits are lost",
                    self.name.display(),
                    self.permits
                ));
            }
        }
    }

    /// Waits until the permits are back, once the command has ended or could not be started.
    pub fn finish(mut self) {
        let given = match self.running.take() {
            Some(running) => running.end(),
            None => false,
        };
        if !given {
            give(&self.semaphore, self.permits);
        }
    }
}

impl Running {
    fn start(name: &OsStr, permits: u16, state: State) -> anyhow::Result<Self> {
        let wait = match state {
            State::Taken(command) => format!("{FOR}{command}"),
            State::ToBeTaken(wait) => match wait.deadline() {
                Some(deadline) => deadline.remaining().as_nanos().to_string(),
                None => "forever".to_owned(),
            },
        };
        // The very program that runs, even if another has its place by now.
        let mut command = Command::new("/proc/self/exe");
        command.arg0("twixt").arg(HOLD).arg(name).arg(permits.to_string()).arg(wait);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // It inherits that, and is deaf from its first instruction on.
        let deaf = SignalSet::ALL.block()?;
        let spawned = command.spawn();
        drop(deaf);
        let mut process = spawned.context("cannot start the guard as /proc/self/exe")?;
        let end = PidFd::of_child(&process)?;
        match (process.stdin.take(), process.stdout.take()) {
            (Some(stdin), Some(stdout)) => Ok(Self { process, end, stdin, stdout: BufReader::new(stdout) }),
            _ => bail!("cannot talk to the guard"),
        }
    }

    fn watch(&mut self, command: &Child) {
        // A guard that has been killed will be missed soon.
        let _ = writeln!(self.stdin, "{}", command.id());
    }

    /// Whether a guard that has ended had come to the point where it gives back.
    fn has_begun_to_give(&mut self) -> bool {
        let mut said = String::new();
        let _ = self.stdout.read_to_string(&mut said);
        said.lines().any(|line| line == GIVING)
    }

    /// Closes the line, waits for the guard's end, and tells whether it has given back.
    fn end(self) -> bool {
        let Self { mut process, stdin, mut stdout, .. } = self;
        drop(stdin);
        let mut said = String::new();
        let _ = stdout.read_to_string(&mut said);
        let well = process.wait().is_ok_and(|status| status.success());
        well || said.lines().any(|line| line == GIVING)
    }
}

fn give(semaphore: &Semaphore, permits: u16) {
    for _ in 0..permits {
        if let Err(error) = semaphore.release() {
            let _ = output::complain(&error.into());
        }
    }
}

/// Plays the guard, if this process was started to be one.
pub fn play() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()?.to_str()? != HOLD {
        return None;
    }
    let (name, permits, wait) = (arguments.next()?, arguments.next()?, arguments.next()?);
    let permits = permits.to_str()?.parse().ok()?;
    let held = hold(&name, permits, wait.to_str()?);
    Some(if held.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn hold(name: &OsStr, permits: u16, wait: &str) -> anyhow::Result<()> {
    SignalSet::ALL.block()?.keep();
    // Neither the terminal nor its shell knows of it, and it keeps no directory busy.
    let _ = rustix::process::setsid();
    let _ = rustix::process::chdir("/");
    let line = std::io::stdin();
    let semaphore = match Semaphore::open(name) {
        Ok(semaphore) => semaphore,
        Err(error) => return say(&format!("{FAILED} {error}")),
    };
    let mut told = wait.strip_prefix(FOR).map(str::to_owned).unwrap_or_default();
    if told.is_empty() {
        let wait = match wait.parse() {
            Ok(nanoseconds) => Wait::until(Deadline::after(Duration::from_nanos(nanoseconds))),
            Err(_forever) => Wait::forever(),
        };
        match take(&semaphore, permits, wait, line.as_fd())? {
            Ok(true) => {}
            // Nobody wants them any more.
            Ok(false) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::TimedOut => return say(&format!("{TIMED_OUT} {error}")),
            Err(error) => return say(&format!("{FAILED} {error}")),
        }
        // Whoever does not hear it has gone, which the line will say.
        let _ = say(TAKEN);
        let _ = BufReader::new(line.lock()).read_line(&mut told);
    }
    if let Some(pid) = told.trim_end().parse().ok().and_then(Pid::from_raw)
        // If there is no such process, it has ended.
        && let Ok(command) = PidFd::open(pid)
    {
        command.wait_exit()?;
    }
    // From here on nobody else will give them back: one permit too few is a nuisance, one too many a fault.
    let _ = say(GIVING);
    give(&semaphore, permits);
    Ok(())
}

fn say(text: &str) -> anyhow::Result<()> {
    output::raw(format!("{text}\n").as_bytes())?;
    Ok(std::io::stdout().flush()?)
}

/// Takes the permits, all or none. `false` if the line was closed before, or while, that was done.
fn take(
    semaphore: &Semaphore,
    permits: u16,
    wait: Wait,
    line: BorrowedFd<'_>,
) -> anyhow::Result<twixt::os::Result<bool>> {
    // The semaphore cannot be polled together with the line. So a thread watches the line, and cuts the waiting short
    // by a signal; again and again, since one may come just before the waiting begins.
    Action::interrupt().install(Signal::URG)?.keep();
    let done = EventFd::create(0)?;
    let closed = AtomicBool::new(false);
    let (process, thread) = (this_process(), this_thread());
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut polled =
                [PollFd::from_borrowed_fd(line, PollFlags::IN), PollFd::new(&done, PollFlags::IN)];
            while poll(&mut polled, None).is_err() {}
            closed.store(!polled[0].revents().is_empty(), Ordering::SeqCst);
            while closed.load(Ordering::SeqCst) && done.try_read().is_err() {
                let _ = kill_thread(process, thread, Signal::URG);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let hearing = SignalSet::from(Signal::URG).unblock();
        let taken = take_all(semaphore, permits, wait.interruptible(), &closed);
        drop(hearing);
        let _ = done.add(1);
        let _ = watcher.join();
        if !closed.load(Ordering::SeqCst) {
            return Ok(taken.map(|()| true));
        }
        if taken.is_ok() {
            give(semaphore, permits);
        }
        Ok(Ok(false))
    })
}

/// Never waits while it holds some: two who did that could wait for each other for ever.
fn take_all(semaphore: &Semaphore, permits: u16, wait: Wait, given_up: &AtomicBool) -> twixt::os::Result<()> {
    let refused =
        |kind, why: String| Err(Error::refused(Mechanism::PosixSem, "acquire", object(semaphore), kind, why));
    let mut pause = Duration::from_micros(50);
    loop {
        semaphore.acquire_wait(wait)?;
        let mut taken = 1;
        while taken < permits && semaphore.try_acquire().is_ok() {
            taken += 1;
        }
        if taken == permits {
            return Ok(());
        }
        give(semaphore, taken);
        if wait.has_passed() {
            let why = format!("the time was up, and {taken} of {permits} permits were to be had");
            return refused(ErrorKind::TimedOut, why);
        }
        if given_up.load(Ordering::SeqCst) {
            return refused(ErrorKind::Interrupted, "nobody wants the permits any more".to_owned());
        }
        // Not in step with others who want several.
        std::thread::sleep(pause + Duration::from_nanos(u64::from(std::process::id()) % 50_000));
        pause = (pause * 2).min(Duration::from_millis(4));
    }
}

fn object(semaphore: &Semaphore) -> Object {
    semaphore.name().map_or(Object::Unnamed, |name| Object::name(name.to_string()))
}
