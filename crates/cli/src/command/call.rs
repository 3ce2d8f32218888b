//! `twixt call`.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::event::{PollFd, PollFlags, poll};
use twixt::address::Endpoint;
use twixt::channel::framing::MAX_MESSAGE;
use twixt::channel::{Boundaries, Capabilities, Direction, Duplex, Framing, Message, Opening, Sender};
use twixt::os::{Deadline, Errno, ErrorKind, Wait};

use crate::args::Call;
use crate::exit::Exit;
use crate::framing;
use crate::interrupt::Interrupt;
use crate::output;

/// Sends the request and prints the answer.
pub fn run(arguments: &Call) -> anyhow::Result<Exit> {
    let endpoint = arguments.address.endpoint();
    let Some(can) = Capabilities::of(endpoint) else {
        bail!("cannot call {endpoint}: it carries no messages")
    };
    if can.direction != Direction::BothWays {
        bail!("cannot call {endpoint}: its messages go one way, so that no answer can come back");
    }
    let interrupt = Interrupt::new()?;
    let framing = framing_of(arguments, &can);
    let Some(request) = request(arguments, framing, &interrupt)? else { return Ok(stopped(&interrupt)) };
    // One deadline for all of it.
    let timeout = arguments.timeout.or(arguments.address.options().timeout());
    let wait = timeout.map_or(Wait::forever(), |time| Wait::until(Deadline::after(time))).interruptible();
    let mut opening = Opening::new(&arguments.address).wait(wait);
    if let Some(framing) = framing {
        opening = opening.framing(framing);
    }
    let call = Calling { wait, interrupt };
    let Some(channel) = call.patiently(|wait| opening.clone().wait(wait).duplex())? else {
        return Ok(stopped(&call.interrupt));
    };
    let answered = if framing == Some(Framing::Raw) {
        call.whole(channel, request)
    } else {
        let is_command = matches!(endpoint, Endpoint::Exec(_));
        call.one(channel, &request, is_command, arguments.framing.unwrap_or(Framing::Lines))
    };
    Ok(if answered? { Exit::Success } else { stopped(&call.interrupt) })
}

/// How the stream is cut; `None` where the mechanism itself keeps messages apart.
fn framing_of(arguments: &Call, can: &Capabilities) -> Option<Framing> {
    let usual = match arguments.address.endpoint() {
        Endpoint::Exec(_) => Framing::Raw,
        Endpoint::Stdio => Framing::Lines,
        _ => Framing::Frame,
    };
    let chosen = arguments.address.options().framing().or(arguments.framing).unwrap_or(usual);
    (can.boundaries == Boundaries::Framed).then_some(chosen)
}

fn stopped(interrupt: &Interrupt) -> Exit {
    interrupt.signal().map_or(Exit::Success, Exit::Stopped)
}

/// What to ask; `None` if the user wants to ask nothing any more.
fn request(
    arguments: &Call,
    framing: Option<Framing>,
    interrupt: &Interrupt,
) -> anyhow::Result<Option<Vec<u8>>> {
    if let Some(message) = &arguments.message {
        return Ok(Some(message.as_bytes().to_vec()));
    }
    if *arguments.address.endpoint() == Endpoint::Stdio {
        bail!("cannot call -: standard input is the other side; give the request as an argument");
    }
    let stdin = io::stdin();
    let mut request = Vec::new();
    loop {
        if interrupt.is_due() {
            return Ok(None);
        }
        request.reserve(64 << 10);
        let read =
            interrupt.retry(|| rustix::io::read(stdin.as_fd(), rustix::buffer::spare_capacity(&mut request)));
        match read {
            Ok(0) => break,
            Ok(_) => {}
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let _ = poll(&mut [PollFd::new(&stdin, PollFlags::IN)], None);
            }
            Err(errno) => {
                return Err(io::Error::from(errno)).context("cannot read the request from standard input");
            }
        }
        if framing != Some(Framing::Raw) && request.len() > MAX_MESSAGE + 1 {
            bail!("the request on standard input goes on after {} bytes", MAX_MESSAGE);
        }
    }
    let delimiter = framing.and_then(Framing::delimiter);
    if delimiter.is_some() && request.last().copied() == delimiter {
        request.pop();
    }
    Ok(Some(request))
}

struct Calling {
    wait: Wait,
    interrupt: Interrupt,
}

impl Calling {
    /// Does something that waits; `None` if the user wants it no longer.
    fn patiently<T>(
        &self,
        mut action: impl FnMut(Wait) -> twixt::os::Result<T>,
    ) -> twixt::os::Result<Option<T>> {
        loop {
            if self.interrupt.is_due() {
                return Ok(None);
            }
            match action(self.wait) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                outcome => return outcome.map(Some),
            }
        }
    }

    /// One message there, and one back. `tells_end`: whether the other side is told that there will be no more, which a
    /// filter waits for, and a server might take for a hang-up.
    fn one(
        &self,
        channel: Duplex,
        request: &[u8],
        tells_end: bool,
        printed: Framing,
    ) -> anyhow::Result<bool> {
        let (mut sender, mut receiver) = channel.split();
        if self.patiently(|wait| sender.send_wait(request, wait))?.is_none() {
            return Ok(false);
        }
        while sender.holds_back() {
            if self.patiently(|wait| sender.flush(wait))?.is_none() {
                return Ok(false);
            }
        }
        let mut sender = Some(sender);
        if let Some(sender) = sender.take_if(|_| tells_end) {
            sender.close(self.wait)?;
        }
        let mut answer = Message::new();
        let received = self.patiently(|wait| receiver.receive_wait(&mut answer, wait));
        if received.context("the request was sent, and not answered")?.is_none() {
            return Ok(false);
        }
        let mut text = Vec::with_capacity(answer.len() + 4);
        if let Err(fault) = framing::put(printed, answer.bytes(), &mut text) {
            bail!("cannot print the answer: {fault}");
        }
        output::raw(&text)?;
        Ok(true)
    }

    /// All of the request there, and all that comes back until the end.
    fn whole(&self, channel: Duplex, request: Vec<u8>) -> anyhow::Result<bool> {
        let (sender, mut receiver) = channel.split();
        // Beside the receiving, or two who both wait for room would wait for ever.
        let wait = self.wait.deadline().map_or(Wait::forever(), Wait::until);
        let sending = std::thread::Builder::new()
            .name("request".to_owned())
            .spawn(move || send(sender, &request, wait))?;
        let mut answer = Message::new();
        loop {
            match self.patiently(|wait| receiver.receive_wait(&mut answer, wait)) {
                Ok(Some(())) => output::raw(answer.bytes())?,
                Ok(None) => return Ok(false),
                Err(error) if error.kind() == ErrorKind::PeerGone => break,
                Err(error) => return Err(error.into()),
            }
        }
        io::Write::flush(&mut io::stdout())?;
        // The other side may say no more and go on reading.
        while !sending.is_finished() {
            if self.interrupt.is_due() {
                return Ok(false);
            }
            self.interrupt.sleep_until(Deadline::after(Duration::from_millis(2)));
        }
        // Whoever has answered and gone wants no more of the request.
        match sending.join() {
            Ok(Err(error)) if error.kind() != ErrorKind::PeerGone => Err(error.into()),
            _ => Ok(true),
        }
    }
}

fn send(mut sender: Sender, request: &[u8], wait: Wait) -> twixt::os::Result<()> {
    // A piece of any size is a message under raw.
    for piece in request.chunks(64 << 10) {
        sender.send_wait(piece, wait)?;
    }
    sender.close(wait)
}
