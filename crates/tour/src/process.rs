//! A party's process, seen from the conductor.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use crate::event::Stamped;
use crate::failure::Failure;
use crate::party::Cue;

/// The program to execute for each party: it must hand its last argument to [`play`](crate::play).
#[derive(Clone, Debug)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// The arguments that make it play a party; the cue follows them.
    pub arguments: Vec<OsString>,
}

impl Program {
    /// The command that plays `cue`. It dies with the thread that starts it.
    pub(crate) fn command(&self, cue: &Cue) -> Result<Command, Failure> {
        let cue = serde_json::to_string(cue).map_err(Failure::wrong)?;
        let mut command = Command::new(&self.path);
        command.args(&self.arguments).arg(cue);
        twixt_sys::spawn::die_with_parent(&mut command);
        Ok(command)
    }
}

/// A running party.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) party: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    /// Bytes of an event that has not come whole yet.
    partial: Vec<u8>,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts a party, in the process group `group` if there is one (0: a new one that it leads).
    pub(crate) fn start(mut command: Command, party: &str, group: Option<i32>) -> Result<Self, Failure> {
        if let Some(group) = group {
            command.process_group(group);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let stdin = child.stdin.take();
        let stdout =
            child.stdout.take().ok_or_else(|| Failure::wrong("a party without a standard output"))?;
        Ok(Self { party: party.to_owned(), child, stdin, stdout, partial: Vec::new(), ended: None })
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// The end of its output has been reached.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Whether it ended well, as far as it has ended.
    pub(crate) fn has_failed(&self) -> bool {
        self.ended.is_some_and(|status| !status.success())
    }

    pub(crate) fn status(&self) -> Option<ExitStatus> {
        self.ended
    }

    /// Tells it one line.
    pub(crate) fn tell(&mut self, line: &str) -> Result<(), Failure> {
        match &mut self.stdin {
            Some(stdin) => Ok(stdin.write_all(format!("{line}\n").as_bytes())?),
            None => Err(Failure::wrong("a party that has ended")),
        }
    }

    /// How much processor time it has used so far, in the kernel's ticks; 0 once it has gone.
    pub(crate) fn processor_time(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        // The command's name stands in parentheses and may hold anything; utime and stime are 11 fields behind it.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        fields.split_ascii_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
    }

    /// Readable when there are events or the end.
    pub(crate) fn output(&self) -> BorrowedFd<'_> {
        self.stdout.as_fd()
    }

    /// Reads once, and gives the events that are whole now. At the end of the output, waits for the process.
    pub(crate) fn read(&mut self) -> Result<Vec<Stamped>, Failure> {
        // As much as a pipe holds: what is left behind would be read later than others' later events.
        let mut bytes = vec![0; 1 << 16];
        let got = self.stdout.read(&mut bytes)?;
        if got == 0 {
            self.stdin = None;
            self.ended = Some(self.child.wait()?);
        }
        self.partial.extend_from_slice(&bytes[..got]);
        let mut events = Vec::new();
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            events.push(serde_json::from_slice(&line).map_err(|_| {
                Failure::wrong(format_args!("{} printed {:?}", self.party, String::from_utf8_lossy(&line)))
            })?);
        }
        Ok(events)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
