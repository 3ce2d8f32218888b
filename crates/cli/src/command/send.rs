//! `twixt send`.

use std::ffi::OsString;
use std::fmt::Display;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{anyhow, bail};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, SeekFrom};
use twixt::channel::framing::MAX_RAW;
use twixt::channel::{Attributes, Capabilities, Framing, Opening, Receiver, Sender};
use twixt::os::{Deadline, Errno, ErrorKind, Wait};

use crate::applies;
use crate::args::Send;
use crate::channel;
use crate::exit::Exit;
use crate::framing::Cutter;
use crate::interrupt::Interrupt;
use crate::output::{self, beginning};
use crate::pace::Pace;
use crate::progress::Progress;

/// Sends the arguments, or what standard input has.
pub fn run(arguments: &Send) -> anyhow::Result<Exit> {
    applies::check(applies::SEND, "send to", &arguments.address, |flag| match flag {
        "--type" => arguments.message_type.is_some(),
        "--prio" => arguments.prio.is_some(),
        "--fd" => !arguments.fd.is_empty(),
        "--create" => arguments.create,
        "--listen" => arguments.listen,
        "--connect" => arguments.connect,
        _ => false,
    })?;
    check_fds(arguments)?;
    let interrupt = Interrupt::new()?;
    let Some(descriptors) = open(&arguments.fd, &interrupt)? else { return stopped(&interrupt) };
    let timeout = arguments.timeout.or(arguments.address.options().timeout());
    let side = channel::side(arguments.listen, arguments.connect);
    let opening = channel::opening(&arguments.address, arguments.create, side, arguments.framing)?;
    let Some((sender, unused)) = open_sender(&opening, arguments.listen, timeout, &interrupt)? else {
        return stopped(&interrupt);
    };
    let is_unheard = sender.receivers()? == Some(0);
    let has_arguments = !arguments.messages.is_empty();
    let mut sending = Sending {
        sender,
        _unused: unused,
        progress: Progress::new(has_arguments || !io::IsTerminal::is_terminal(&io::stdin())),
        pace: arguments.rate.map(Pace::new),
        timeout,
        attributes: attributes(arguments),
        descriptors,
        interrupt,
    };
    let sent = if has_arguments {
        sending.arguments(&arguments.messages, arguments.count.unwrap_or(1))
    } else {
        sending.standard_input(arguments)
    };
    match sent {
        Ok(Ended::Well) => {
            if is_unheard && sending.sender.receivers()? == Some(0) {
                sending.progress.clear();
                let endpoint = arguments.address.endpoint();
                output::note(&format!(
                    "twixt: nobody subscribes to {endpoint}: what was sent reaches only who asks for a ?history="
                ))?;
            }
            sending.finish()
        }
        Ok(Ended::Stopped) => sending.stop(),
        Err(error) => {
            sending.progress.clear();
            Err(error)
        }
    }
}

/// Opens it; `None` if there was a reason to stop waiting for the other side.
fn open_sender(
    opening: &Opening,
    listens: bool,
    timeout: Option<Duration>,
    interrupt: &Interrupt,
) -> anyhow::Result<Option<(Sender, Option<Receiver>)>> {
    // Whoever is to connect must know where to.
    let listener = match listens && opening.address().options().capacity() != Some(0) {
        true => Some(opening.listener()?),
        false => None,
    };
    if let Some(listener) = &listener {
        let endpoint = listener.address()?;
        if endpoint != *opening.address().endpoint() {
            output::note(&format!("listening at {endpoint}"))?;
        }
    }
    loop {
        let wait = interrupt.wait(timeout);
        let sender = match &listener {
            Some(listener) => {
                listener.accept_wait(wait).map(|connection| connection.split()).map(|(a, b)| (a, Some(b)))
            }
            None => opening.clone().wait(wait).sender().map(|sender| (sender, None)),
        };
        match sender {
            Ok(sender) => return Ok(Some(sender)),
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            Err(_) if interrupt.is_due() => return Ok(None),
            Err(_) => {}
        }
    }
}

/// What the flags say that goes with each message.
fn attributes(arguments: &Send) -> Attributes<'static> {
    let mut attributes = Attributes::new();
    if let Some(message_type) = arguments.message_type {
        attributes = attributes.message_type(message_type);
    }
    if let Some(priority) = arguments.prio {
        attributes = attributes.priority(priority);
    }
    attributes
}

/// Too many descriptors are refused before anything is opened.
fn check_fds(arguments: &Send) -> anyhow::Result<()> {
    let (given, endpoint) = (arguments.fd.len(), arguments.address.endpoint());
    match Capabilities::of(endpoint) {
        Some(can) if can.descriptors > 0 && given > can.descriptors => {
            bail!(
                "cannot send to {endpoint}: {given} --fd are given, and {} can go with a message",
                can.descriptors
            )
        }
        _ => Ok(()),
    }
}

/// Opens files to pass their descriptors; `None` if there was a reason to stop waiting for them.
fn open(paths: &[std::path::PathBuf], interrupt: &Interrupt) -> anyhow::Result<Option<Vec<OwnedFd>>> {
    let mut descriptors = Vec::with_capacity(paths.len());
    for path in paths {
        match open_one(path, interrupt) {
            Ok(descriptor) => descriptors.push(descriptor),
            Err(Errno::INTR) => return Ok(None),
            Err(errno) => {
                return Err(anyhow!("cannot open {} to pass it: {}", path.display(), io::Error::from(errno)));
            }
        }
    }
    Ok(Some(descriptors))
}

fn open_one(path: &Path, interrupt: &Interrupt) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
    // A FIFO waits for a writer here.
    interrupt.retry(|| rustix::fs::open(path, flags, Mode::empty()))
}

fn stopped(interrupt: &Interrupt) -> anyhow::Result<Exit> {
    Ok(interrupt.signal().map_or(Exit::Success, Exit::Stopped))
}

struct Sending {
    sender: Sender,
    /// Its end would be taken for the end of the conversation.
    _unused: Option<Receiver>,
    interrupt: Interrupt,
    progress: Progress,
    pace: Option<Pace>,
    timeout: Option<Duration>,
    attributes: Attributes<'static>,
    /// What goes with the first message.
    descriptors: Vec<OwnedFd>,
}

/// Why no further message is sent.
enum Ended {
    /// There is none.
    Well,
    /// The user wants it so.
    Stopped,
}

impl Sending {
    /// Sends these, so many times over.
    fn arguments(&mut self, messages: &[OsString], times: u64) -> anyhow::Result<Ended> {
        let is_only_one = messages.len() == 1 && times == 1;
        for _ in 0..times {
            for message in messages {
                let message = message.as_bytes();
                match self.send(message) {
                    Ok(true) => {}
                    Ok(false) => return Ok(Ended::Stopped),
                    Err(error) if is_only_one => return Err(error.into()),
                    Err(error) => return Err(self.unsent(error, message, "")),
                }
            }
        }
        Ok(Ended::Well)
    }

    /// Sends what standard input has, and leaves a file where the first message begins that was not sent, for whoever
    /// reads it next.
    fn standard_input(&mut self, arguments: &Send) -> anyhow::Result<Ended> {
        let framing = arguments.framing.unwrap_or(Framing::Lines);
        let most = self.sender.capabilities().max_message.unwrap_or(MAX_RAW);
        let began = file_position();
        let mut cutter = Cutter::new(framing, most);
        let mut unsent = 0;
        let ended = self.pieces(&mut cutter, &mut unsent, arguments.count.unwrap_or(u64::MAX));
        if let Some(began) = began {
            // Who has read ahead can do no more than try.
            let _ = rustix::fs::seek(io::stdin(), SeekFrom::Start(began + unsent));
        }
        if ended.is_ok() && !self.descriptors.is_empty() && self.progress.messages() == 0 {
            bail!("standard input has no message, so that no descriptor of --fd was passed");
        }
        ended
    }

    /// Sends at most so many messages. Notes where the first message begins that was not sent.
    fn pieces(&mut self, cutter: &mut Cutter, unsent: &mut u64, most: u64) -> anyhow::Result<Ended> {
        let stdin = io::stdin();
        while self.progress.messages() < most {
            match cutter.cut() {
                Ok(Some(message)) => match self.send(message) {
                    Ok(true) => *unsent = cutter.offset(),
                    Ok(false) => return Ok(Ended::Stopped),
                    Err(error) => {
                        let place = format!(" at byte {unsent} of standard input");
                        return Err(self.unsent(error, message, &place));
                    }
                },
                Ok(None) => match cutter.fill(|room| read(stdin.as_fd(), room, &self.interrupt)) {
                    Ok(true) => {}
                    Ok(false) => return Ok(Ended::Well),
                    Err(Errno::INTR) => return Ok(Ended::Stopped),
                    Err(errno) => return Err(self.unread(&io::Error::from(errno), *unsent)),
                },
                Err(fault) => return Err(self.unread(&fault, *unsent)),
            }
        }
        Ok(Ended::Well)
    }

    /// Sends one; `false` if there was a reason not to.
    fn send(&mut self, message: &[u8]) -> twixt::os::Result<bool> {
        if self.pace.as_mut().is_some_and(|pace| !pace.wait(&self.interrupt)) {
            return Ok(false);
        }
        loop {
            if self.interrupt.is_due() {
                return Ok(false);
            }
            let wait = self.interrupt.wait(self.timeout);
            let sent = if self.descriptors.is_empty() {
                self.sender.send_with(message, &self.attributes, wait)
            } else {
                let descriptors: Vec<BorrowedFd<'_>> = self.descriptors.iter().map(AsFd::as_fd).collect();
                self.sender.send_with(message, &self.attributes.descriptors(&descriptors), wait)
            };
            match sent {
                Ok(()) => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if !self.descriptors.is_empty() {
            self.descriptors = Vec::new();
        }
        self.progress.message(message.len());
        Ok(true)
    }

    /// Passes on what is still kept back, and tells the other side that this was all.
    fn finish(mut self) -> anyhow::Result<Exit> {
        let last = self.progress.messages();
        let unfinished = move |error: twixt::os::Error| {
            anyhow::Error::new(error)
                .context(format!("message {last} was accepted, and is not known to have arrived whole"))
        };
        while self.sender.holds_back() {
            match self.sender.flush(self.interrupt.wait(self.timeout)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(unfinished(error)),
                Err(_) if self.interrupt.is_due() => return self.stop(),
                _ => {}
            }
        }
        self.progress.clear();
        match self.sender.close(self.interrupt.wait(self.timeout)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => stopped(&self.interrupt),
            Err(error) => Err(unfinished(error)),
            Ok(()) => Ok(Exit::Success),
        }
    }

    /// Ends as the user wants it, if that can be done without cutting a message short.
    fn stop(mut self) -> anyhow::Result<Exit> {
        self.progress.clear();
        if self.sender.holds_back() && self.sender.flush(Wait::until(Deadline::after(LAST_CHANCE))).is_err() {
            let number = self.progress.messages();
            output::note(&format!(
                "message {number} was sent in part only: the other side has not taken the rest"
            ))?;
        }
        stopped(&self.interrupt)
    }

    /// The error of a message that was not sent, with what was.
    fn unsent(&self, error: twixt::os::Error, message: &[u8], place: &str) -> anyhow::Error {
        let sent = self.progress.messages();
        let number = sent + 1;
        let mut context = format!("message {number} ({}{place}) was not sent", beginning(message));
        context += &match sent {
            0 => String::new(),
            1 => ", the one before it was".to_owned(),
            _ => format!(", the {sent} before it were"),
        };
        if self.sender.holds_back() {
            context += &format!("; of message {sent} only a part has gone out");
        }
        anyhow::Error::new(error).context(context)
    }

    /// The error of standard input, with what was sent of it.
    fn unread(&self, error: &dyn Display, offset: u64) -> anyhow::Error {
        let sent = self.progress.messages();
        let error = anyhow!("cannot read message {} at byte {offset} of standard input: {error}", sent + 1);
        match sent {
            0 => error,
            1 => error.context("1 message was sent"),
            _ => error.context(format!("{sent} messages were sent")),
        }
    }
}

/// How long a message that has gone out in part may take to follow, once the user wants to end.
const LAST_CHANCE: Duration = Duration::from_secs(1);

/// Where standard input stands, if it is a file.
fn file_position() -> Option<u64> {
    let stdin = io::stdin();
    let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&stdin).ok()?.st_mode);
    if kind.is_file() { rustix::fs::tell(&stdin).ok() } else { None }
}

/// Reads what is there, waiting for something. `EINTR` if there is a reason not to.
fn read(stdin: BorrowedFd<'_>, room: &mut [u8], interrupt: &Interrupt) -> Result<usize, Errno> {
    loop {
        if interrupt.is_due() {
            return Err(Errno::INTR);
        }
        match interrupt.retry(|| rustix::io::read(stdin, &mut *room)) {
            // Somebody who shares it does not want it to block.
            Err(Errno::AGAIN) => {
                let mut polled = [PollFd::from_borrowed_fd(stdin, PollFlags::IN)];
                interrupt.retry(|| poll(&mut polled, None))?;
            }
            outcome => return outcome,
        }
    }
}
