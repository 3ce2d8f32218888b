//! Standing between a command and whoever started us, as if we were not there.
//!
//! The command is in our process group. What a terminal sends (Ctrl-C, Ctrl-Z) it sends to all of the group, so the
//! command has had it already; what a process sends to us alone is passed on. When the command stops, so do we; when it
//! ends, so do we, and in the same way.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Resource, Rlimit, WaitId, WaitIdOptions, getrlimit, getsid, setrlimit, waitid};
use twixt::os::ErrorKind;
use twixt::os::signal::{
    Action, Cause, Disposition, Info, PidFd, SelfPipe, Signal, SignalSet, raise, this_process,
};

use super::guard::Guard;
use crate::exit::Exit;

/// The signals that we pass on, and those about the command, as records to read.
///
/// They are caught rather than blocked, since a command inherits what is blocked; and what is ignored (`nohup`) is left
/// so, since a command inherits that too.
pub struct Signals(SelfPipe);

const PASSED_ON: [Signal; 8] = [
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::TERM,
    Signal::USR1,
    Signal::USR2,
    Signal::CONT,
    Signal::WINCH,
];

impl Signals {
    /// Catches them for the rest of the process's life.
    pub fn catch() -> anyhow::Result<Self> {
        let pipe = SelfPipe::new()?;
        for signal in PASSED_ON.into_iter().chain(Signal::all().filter(|signal| signal.is_real_time())) {
            if Disposition::of(signal)? != Disposition::Ignore {
                Action::record(&pipe).restart().install(signal)?.keep();
            }
        }
        Action::record(&pipe).restart().install(Signal::CHLD)?.keep();
        Ok(Self(pipe))
    }

    /// The next one that has come.
    fn next(&self) -> Option<Info> {
        self.0.try_receive().ok()
    }

    /// The next one that would have ended us if we had not caught it.
    pub fn fatal(&self) -> Option<Signal> {
        let harmless = [Signal::CHLD, Signal::CONT, Signal::WINCH];
        std::iter::from_fn(|| self.next()).map(|info| info.signal()).find(|signal| !harmless.contains(signal))
    }
}

/// Readable when one has come.
impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Waits for the command's end, passing on signals, and looking after the guard.
pub fn supervise(
    child: Child,
    signals: &Signals,
    mut guard: Option<&mut Guard>,
) -> anyhow::Result<ExitStatus> {
    let command = PidFd::of_child(&child)?;
    // Whatever came until now may have come before the command was the command.
    let mut early = true;
    loop {
        while let Some(info) = signals.next() {
            pass_on(&info, &command, early);
        }
        early = false;
        if let Some(stopped_by) = stopped(&command) {
            stop_too(stopped_by, &command);
        }
        match command.try_reap() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            ended => return Ok(ended?),
        }
        if let Some(guard) = &mut guard {
            guard.look_after(&child);
        }
        let mut polled = vec![PollFd::new(signals, PollFlags::IN), PollFd::new(&command, PollFlags::IN)];
        if let Some(end) = guard.as_ref().and_then(|guard| guard.end()) {
            polled.push(PollFd::from_borrowed_fd(end, PollFlags::IN));
        }
        // An interruption is a signal, which is looked at next.
        let _ = poll(&mut polled, None);
    }
}

fn pass_on(info: &Info, command: &PidFd, early: bool) {
    let signal = info.signal();
    let from_terminal = info.cause() == Cause::Kernel;
    // The hang-up goes to the leader of the session alone, which may be us.
    let has_it_too = from_terminal && !(signal == Signal::HUP && leads_session());
    if signal == Signal::CHLD || (has_it_too && !early) {
        return;
    }
    // It may have ended meanwhile, or become another user's.
    let _ = match info.cause() {
        Cause::Queue { value, .. } => command.queue(signal, value),
        _ => command.send(signal),
    };
}

fn leads_session() -> bool {
    getsid(None).is_ok_and(|session| session == this_process())
}

/// The signal that has stopped the command since this was last asked, if it is stopped.
fn stopped(command: &PidFd) -> Option<Signal> {
    let what = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
    let status = waitid(WaitId::PidFd(command.as_fd()), what).ok()??;
    Signal::new(status.stopping_signal()?)
}

/// Has whoever does job control for us see that the command has stopped, and waits until it has us go on.
///
/// For the terminal's own stops this finds nothing to do: they stop us as well, and by the time we go on so does the
/// command. SIGSTOP is another matter: whoever sends it to the command alone knows the command, and not us.
fn stop_too(signal: Signal, command: &PidFd) {
    if matches!(signal, Signal::TSTP | Signal::TTIN | Signal::TTOU) {
        let _ = raise(signal);
        let _ = command.send(Signal::CONT);
    }
}

/// How we end when the command has.
pub fn exit_of(ended: ExitStatus) -> Exit {
    match (ended.code(), ended.signal().and_then(Signal::new)) {
        (Some(code), _) => Exit::Command(u8::try_from(code).unwrap_or(u8::MAX)),
        (None, Some(signal)) => die_of(signal),
        (None, None) => Exit::Refused,
    }
}

/// Ends the process by a signal, as a shell wants to see it. Returns what comes next to it if the kernel declines.
pub fn die_of(signal: Signal) -> Exit {
    // One core file is enough, and it was the command's.
    let limit = getrlimit(Resource::Core);
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), ..limit });
    if signal.is_catchable()
        && let Ok(installed) = Action::default_disposition().install(signal)
    {
        installed.keep();
    }
    if let Ok(unblocked) = SignalSet::from(signal).unblock() {
        unblocked.keep();
    }
    let _ = raise(signal);
    Exit::Stopped(u8::try_from(signal.as_raw()).unwrap_or(u8::MAX))
}
