//! A command for each message.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;

use twixt::channel::Message;
use twixt::os::memfd::Memfd;
use twixt::os::popen::{Command, Job};

use crate::exit::Exit;
use crate::undelivered::{Form, Undelivered};

/// Runs a line of shell for each message.
#[derive(Debug)]
pub struct Runner {
    line: OsString,
}

impl Runner {
    pub fn new(line: &OsStr) -> Self {
        Self { line: line.to_owned() }
    }

    /// Runs it, and waits for its end.
    pub fn run(&self, number: u64, message: &mut Message) -> Result<(), Box<Undelivered>> {
        let descriptors = message.take_descriptors();
        let passed = descriptors.len();
        let failed = |mut error: String, exit: Exit| {
            if passed > 0 {
                error += "; the descriptors that came with it are closed";
            }
            Err(Box::new(Undelivered {
                error,
                first: number,
                count: 1,
                written: 0,
                form: Form::Bare,
                bytes: message.bytes().to_vec(),
                exit,
            }))
        };
        let status = match self.start(number, message, descriptors).and_then(|mut job| job.wait()) {
            Ok(status) => status,
            Err(error) => return failed(error.to_string(), Exit::Refused),
        };
        if status.success() {
            return Ok(());
        }
        let line = self.line.to_string_lossy();
        let (how, exit) = match (status.code(), status.signal()) {
            (Some(code), _) => (format!("ended with status {code}"), u8::try_from(code).unwrap_or(1)),
            (None, signal) => {
                let signal = signal.unwrap_or_default();
                let exit = u8::try_from(128 + signal).unwrap_or(u8::MAX);
                (format!("was ended by signal {signal}"), exit)
            }
        };
        failed(format!("the command `{}` {how}", line.escape_debug()), Exit::Command(exit))
    }

    fn start(&self, number: u64, message: &Message, descriptors: Vec<OwnedFd>) -> twixt::os::Result<Job> {
        // A file rather than a pipe: a command that reads only part of it, or nothing, keeps nobody waiting.
        let stdin = Memfd::create("message")?;
        stdin.write_at(0, message.bytes())?;
        let sender = message.credentials();
        let variables = [
            ("TWIXT_NUMBER", Some(number.to_string())),
            ("TWIXT_LENGTH", Some(message.len().to_string())),
            ("TWIXT_TYPE", message.message_type().map(|it| it.to_string())),
            ("TWIXT_PRIORITY", message.priority().map(|it| it.to_string())),
            ("TWIXT_PID", sender.and_then(|it| it.pid).map(|pid| pid.as_raw_nonzero().to_string())),
            ("TWIXT_UID", sender.map(|it| it.uid.to_string())),
            ("TWIXT_GID", sender.map(|it| it.gid.to_string())),
            ("TWIXT_SOURCE", message.source().map(str::to_owned)),
            ("TWIXT_PUBLISHER", message.publisher().map(|it| it.to_string())),
            ("TWIXT_SEQUENCE", message.sequence().map(|it| it.to_string())),
            ("TWIXT_MISSED", message.publisher().map(|_| message.missed().to_string())),
            ("TWIXT_FDS", Some(descriptors.len().to_string())),
        ];
        let mut command = Command::shell(&self.line).stdin(OwnedFd::from(stdin));
        for (name, value) in variables {
            match value {
                // An environment takes no zero byte, and no name of a peer's socket has one that is its own.
                Some(value) => command = command.env(name, value.replace('\0', "@")),
                None => drop(command.as_std_mut().env_remove(name)),
            }
        }
        command.pass_descriptors(descriptors.into_iter().zip(3..))?.run()
    }
}
