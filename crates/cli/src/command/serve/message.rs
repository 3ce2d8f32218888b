//! A command for a message, and what it answers.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use twixt::channel::Message;
use twixt::os::memfd::Memfd;
use twixt::os::net::udp;
use twixt::os::popen::Command;
use twixt::os::unix::{self, Credentials, Datagram};

use super::crew::{Crew, passing};
use crate::keep::keep;

/// A message that a command is to be run for.
#[derive(Debug)]
pub struct Request {
    pub number: u64,
    pub bytes: Vec<u8>,
    pub message_type: Option<i64>,
    pub priority: Option<u32>,
    pub credentials: Option<Credentials>,
    pub source: Option<String>,
    pub descriptors: Vec<OwnedFd>,
}

/// Where an answer goes.
#[derive(Debug)]
pub enum Answer {
    /// Nowhere: what the command prints it prints where we would.
    None,
    Unix(Arc<Datagram>, unix::Address),
    Udp(Arc<udp::Socket>, SocketAddr),
}

impl Request {
    pub fn of(number: u64, mut message: Message) -> Self {
        Self {
            number,
            message_type: message.message_type(),
            priority: message.priority(),
            credentials: message.credentials(),
            source: message.source().map(str::to_owned),
            descriptors: message.take_descriptors(),
            bytes: message.into_bytes(),
        }
    }

    /// Runs the command for it; gives what it printed, if it was to be caught. The error says what failed.
    pub fn run(&mut self, crew: &Crew, catches: bool) -> Result<Vec<u8>, String> {
        let text = |error: twixt::os::Error| error.to_string();
        // Files rather than pipes: a command that reads nothing keeps nobody waiting, and what it leaves running does
        // not keep its output open.
        let stdin = Memfd::create("message").map_err(text)?;
        stdin.write_at(0, &self.bytes).map_err(text)?;
        let descriptors = std::mem::take(&mut self.descriptors);
        let mut command = crew.command().stdin(OwnedFd::from(stdin));
        command = environment(command, self.number, self.credentials, self.source.as_deref());
        for (name, value) in [
            ("TWIXT_LENGTH", Some(self.bytes.len().to_string())),
            ("TWIXT_TYPE", self.message_type.map(|it| it.to_string())),
            ("TWIXT_PRIORITY", self.priority.map(|it| it.to_string())),
            ("TWIXT_FDS", Some(descriptors.len().to_string())),
        ] {
            command = variable(command, name, value);
        }
        command = passing(command, descriptors)?;
        if !catches {
            crew.run(command)?;
            return Ok(Vec::new());
        }
        let output = Memfd::create("answer").map_err(text)?;
        let stdout = output.as_fd().try_clone_to_owned().map_err(|error| error.to_string())?;
        crew.run(command.stdout(stdout))?;
        let read = || {
            let mut printed = vec![0; usize::try_from(output.len()?).unwrap_or_default()];
            let read = output.read_at(0, &mut printed)?;
            printed.truncate(read);
            Ok(printed)
        };
        read().map_err(|error: twixt::os::Error| format!("its answer cannot be read: {error}"))
    }

    /// Runs the command, and answers where that is possible. What fails is told.
    pub fn serve(mut self, crew: &Crew, answer: &Answer) {
        let answers = !matches!(answer, Answer::None);
        let sent = self.run(crew, answers).and_then(|printed| {
            let sent = match answer {
                _ if printed.is_empty() => Ok(()),
                Answer::None => Ok(()),
                // Whoever asks by datagrams does not rely on an answer, and one who does not read holds up nobody.
                Answer::Unix(socket, to) => socket.try_send_to(&printed, to),
                Answer::Udp(socket, to) => socket.try_send_to(&printed, *to),
            };
            sent.map_err(|error| format!("the answer was not sent: {error}"))
        });
        let Err(error) = sent else { return };
        let number = self.number;
        if answers {
            return super::tell(&format!("message {number} has no answer: {error}"));
        }
        let kept = match keep("serve", &self.bytes) {
            Ok(path) => format!("it is saved in {}", path.display()),
            Err(failures) => format!("it is saved nowhere, since {failures}"),
        };
        super::tell(&format!("message {number} was received and not dealt with: {error}; {kept}"));
    }
}

/// What the environment says of a connection or a message.
pub fn environment(
    command: Command,
    number: u64,
    sender: Option<Credentials>,
    source: Option<&str>,
) -> Command {
    let variables = [
        ("TWIXT_NUMBER", Some(number.to_string())),
        ("TWIXT_PID", sender.and_then(|it| it.pid).map(|pid| pid.as_raw_nonzero().to_string())),
        ("TWIXT_UID", sender.map(|it| it.uid.to_string())),
        ("TWIXT_GID", sender.map(|it| it.gid.to_string())),
        ("TWIXT_SOURCE", source.map(str::to_owned)),
    ];
    variables.into_iter().fold(command, |command, (name, value)| variable(command, name, value))
}

fn variable(mut command: Command, name: &str, value: Option<String>) -> Command {
    match value {
        // An environment takes no zero byte.
        Some(value) => command.env(name, value.replace('\0', "@")),
        None => {
            command.as_std_mut().env_remove(name);
            command
        }
    }
}
