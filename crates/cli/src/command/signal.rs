//! `twixt signal`.

use std::io::{self, IsTerminal};
use std::time::Duration;

use anyhow::{anyhow, bail};
use serde::Serialize;
use twixt::os::signal::{self, Info, Presence, Signal, SignalSet, Target};
use twixt::os::{Deadline, ErrorKind, Wait};

use crate::args::{SignalCommand, Targets};
use crate::exit::Exit;
use crate::output::{self, HEADING};

/// Does one of the three.
pub fn run(command: SignalCommand) -> anyhow::Result<Exit> {
    match command {
        SignalCommand::List { signals, json, noheadings } => list(&signals, json, !noheadings && !json),
        SignalCommand::Send { targets: Targets(targets), signal, value } => send(&targets, signal, value),
        SignalCommand::Wait { signals, timeout, json } => wait(&signals, timeout, json),
    }
}

/// A signal; the fields are stable.
#[derive(Serialize)]
struct Row {
    schema: u32,
    number: i32,
    name: &'static str,
    action: String,
    meaning: &'static str,
}

fn list(signals: &[Signal], json: bool, headings: bool) -> anyhow::Result<Exit> {
    let signals: Vec<Signal> = if signals.is_empty() { Signal::all().collect() } else { signals.to_vec() };
    if headings {
        output::line(&format!(
            "{HEADING}{:>6}  {:11}  {:9}  MEANING{HEADING:#}",
            "NUMBER", "NAME", "ACTION"
        ))?;
    }
    for signal in signals {
        let (number, name, meaning) = (signal.as_raw(), signal.name(), signal.description());
        let action = signal.default_action().to_string();
        if json {
            output::json(&Row { schema: 1, number, name, action, meaning })?;
        } else {
            output::line(&format!("{number:>6}  {name:11}  {action:9}  {meaning}"))?;
        }
    }
    Ok(Exit::Success)
}

/// Sends to all targets, if all can be reached.
fn send(targets: &[Target], signal: Signal, value: Option<i32>) -> anyhow::Result<Exit> {
    let mut sends: Vec<Box<dyn Fn() -> twixt::os::Result<()>>> = Vec::new();
    for &target in targets {
        match (value, target) {
            (Some(value), Target::Process(pid)) => {
                sends.push(Box::new(move || signal::queue(pid, signal, value)))
            }
            (Some(_), Target::Group(_) | Target::OwnGroup) => bail!(
                "cannot send {signal} with a value to process group {}: only a process can be sent a value; \
                 name the processes of the group, or leave --value out",
                target.as_raw(),
            ),
            (None, _) => sends.push(Box::new(move || signal::kill(target, signal))),
        }
    }
    // What can be foreseen is, so that not some get it and others not.
    if targets.len() > 1
        && let Some(exit) = refusal(targets, signal)?
    {
        return Ok(exit);
    }
    let mut exit = Exit::Success;
    for send in sends {
        if let Err(error) = send() {
            let error = error.into();
            output::complain(&error)?;
            exit = Exit::of(&error);
        }
    }
    Ok(exit)
}

/// How the program ends if a target cannot be reached. All that cannot are told.
fn refusal(targets: &[Target], signal: Signal) -> anyhow::Result<Option<Exit>> {
    let mut refused = None;
    for &target in targets {
        let whom = match target {
            Target::Process(pid) => format!("process {}", pid.as_raw_nonzero()),
            Target::Group(pid) => format!("process group {}", pid.as_raw_nonzero()),
            Target::OwnGroup => "the own process group".to_owned(),
        };
        match signal::probe(target)? {
            Presence::Reachable => {}
            Presence::Forbidden => {
                let advice = "the sender must be its user or have CAP_KILL";
                output::complain(&anyhow!("cannot send {signal} to {whom}: it is another user's; {advice}"))?;
                refused = Some(Exit::Refused);
            }
            Presence::Absent => {
                output::complain(&anyhow!("cannot send {signal} to {whom}: there is none"))?;
                refused = refused.or(Some(Exit::Nothing));
            }
        }
    }
    if refused.is_some() {
        output::note("nothing was sent")?;
    }
    Ok(refused)
}

fn wait(signals: &[Signal], timeout: Option<Duration>, json: bool) -> anyhow::Result<Exit> {
    if let Some(signal) = signals.iter().find(|signal| !signal.is_catchable()) {
        bail!("cannot wait for {signal}: no process can catch or block it; only SIGKILL and SIGSTOP are so");
    }
    let set: SignalSet = signals.iter().copied().collect();
    // Before anything is said, since whoever reads it may send at once.
    set.block()?.keep();
    let deadline = timeout.map(Deadline::after);
    if io::stderr().is_terminal() {
        // For the user's convenience: waiting does not depend on it.
        let _ = output::note(&format!("waiting as {}", signal::this_process().as_raw_nonzero()));
    }
    match set.wait_with(deadline.map_or(Wait::forever(), Wait::until)) {
        Ok(info) => {
            print(&info, json)?;
            Ok(Exit::Success)
        }
        Err(error) if error.kind() == ErrorKind::TimedOut => {
            let names: Vec<&str> = signals.iter().map(|signal| signal.name()).collect();
            let names = names.join(" or ");
            // Whether or not that can be said, the exit status says it.
            let _ = output::complain(&anyhow!("no {names} came within {:?}", timeout.unwrap_or_default()));
            Ok(Exit::TimedOut)
        }
        Err(error) => Err(error.into()),
    }
}

/// A signal that came; the fields are stable.
#[derive(Serialize)]
struct Came {
    schema: u32,
    signal: &'static str,
    number: i32,
    /// None if the sender cannot be seen from here, or it was the kernel.
    pid: Option<i32>,
    uid: Option<u32>,
    /// None if it was sent without one.
    value: Option<i32>,
}

fn print(info: &Info, json: bool) -> io::Result<()> {
    let came = Came {
        schema: 1,
        signal: info.signal().name(),
        number: info.signal().as_raw(),
        pid: info.pid().map(|pid| pid.as_raw_nonzero().get()),
        uid: info.uid(),
        value: info.value().map(|value| value.as_i32()),
    };
    if json {
        return output::json(&came);
    }
    let mut line = came.signal.to_owned();
    let mut add = |name: &str, number: Option<i64>| {
        if let Some(number) = number {
            line += &format!(" {name}={number}");
        }
    };
    add("pid", came.pid.map(i64::from));
    add("uid", came.uid.map(i64::from));
    add("value", came.value.map(i64::from));
    output::line(&line)
}
