//! Moving messages: received, then sent.

use std::os::fd::{AsFd, BorrowedFd};

use anyhow::anyhow;
use rustix::event::{PollFd, PollFlags, poll};
use twixt::address::Options;
use twixt::channel::{Attributes, Boundaries, Capabilities, Framing, Interest, Message};
use twixt::os::{Deadline, Errno, Error, ErrorKind, Object, Wait, timespec};

use super::pace::Pace;
use super::splice::LAST_CHANCE;
use super::{Failure, Way};
use crate::exit::Exit;
use crate::undelivered::{Form, Undelivered};
use crate::{framing, output};

/// What goes along with each message.
struct Keeps {
    types: bool,
    priorities: bool,
    descriptors: bool,
}

impl Keeps {
    fn of(from: &Capabilities, to: &Capabilities, options: &Options, passes: bool) -> Self {
        Self {
            types: from.types && to.types && options.message_type().is_none(),
            priorities: from.priority.is_some() && to.priority.is_some() && options.priority().is_none(),
            descriptors: passes && from.descriptors > 0 && to.descriptors > 0,
        }
    }
}

impl Way<'_> {
    /// Takes a message, passes it on, and so forth until the end.
    pub(super) fn messages(&mut self, mut pace: Pace) -> Result<(), Failure> {
        let (from, to) = (self.ends.receiver.capabilities(), self.ends.sender.capabilities());
        let keeps = Keeps::of(&from, &to, self.to().options(), self.arguments.pass_fds);
        if self.arguments.pass_fds && !keeps.descriptors {
            let which = if from.descriptors == 0 { self.from() } else { self.to() };
            let why = "it passes no descriptors under its framing; ?framing=frame does";
            return Err(anyhow!("cannot pass descriptors through {which}: {why}").into());
        }
        self.tell_what_is_lost(&from, &to, &keeps)?;
        // A raw stream gives what is there; B may take less at once.
        let most = to.max_message.unwrap_or(usize::MAX);
        let is_raw = |address, can: &Capabilities| {
            can.boundaries == Boundaries::Framed && super::framing(address, self.arguments) == Framing::Raw
        };
        let splits = is_raw(self.from(), &from);
        let joins = is_raw(self.to(), &to);
        let mut message = Message::new();
        let mut copy = Vec::new();
        let mut taken = 0;
        let count = self.arguments.count.unwrap_or(u64::MAX);
        let mut have_descriptors_been_closed = false;
        while taken < count && !self.interrupt.is_due() {
            if !pace.wait(self.interrupt) || !self.has_room()? {
                return Ok(());
            }
            match self.receive(&mut message) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::PeerGone => return Ok(()),
                // It is the target that has gone. With two ways that is an end, unless there is something left to send.
                Err(error) if error.kind() == ErrorKind::NoPeer && self.arguments.both => {
                    match self.ends.receiver.receive_wait(&mut message, Wait::never().interruptible()) {
                        Ok(()) => return Err(undelivered(error, taken + 1, &message, 0)),
                        Err(error) if matches!(error.kind(), ErrorKind::PeerGone | ErrorKind::WouldBlock) => {
                            return Ok(());
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
                Err(error) if error.kind() == ErrorKind::NoPeer => {
                    return Err(error.with_kind(ErrorKind::PeerGone).into());
                }
                Err(error) => return Err(error.into()),
            }
            taken += 1;
            let mut sent = 0;
            loop {
                let end = if splits { message.len().min(sent + most) } else { message.len() };
                let piece = &message.bytes()[sent..end];
                // Of an empty message nothing is left in a stream without boundaries.
                let is_nothing = joins && piece.is_empty();
                if !is_nothing && let Err(error) = self.pass_on(piece, &message, &keeps) {
                    return Err(undelivered(error, taken, &message, sent));
                }
                self.moved(1, end - sent);
                pace.moved(end - sent);
                sent = end;
                if sent == message.len() {
                    break;
                }
            }
            if self.tee.is_some() {
                copy.clear();
                framing::put(self.arguments.framing, message.bytes(), &mut copy)?;
                self.copy(&copy)?;
            }
            if !keeps.descriptors && !message.descriptors().is_empty() && !have_descriptors_been_closed {
                have_descriptors_been_closed = true;
                output::note(
                    "twixt: descriptors that come with messages are closed; --pass-fds passes them on",
                )?;
            }
        }
        Ok(())
    }

    /// Waits until the target takes something, so that nothing is taken from the source that might have to wait here;
    /// `false` if the user stopped it. What cannot be polled says it when it is sent to.
    fn has_room(&self) -> Result<bool, Failure> {
        let Ok(readiness) = self.ends.sender.readiness() else { return Ok(true) };
        if readiness.interest() != Interest::Write {
            return Ok(true);
        }
        let wait = self.interrupt.wait(self.to().options().timeout());
        let waited = self.interrupt.retry(|| wait.until_writable(readiness));
        match waited {
            Ok(()) => Ok(true),
            Err(Errno::INTR) => Ok(false),
            Err(errno) => Err(self.no_room(errno).into()),
        }
    }

    fn no_room(&self, errno: Errno) -> Error {
        let object = Object::name(self.to().endpoint().to_string());
        Error::kernel(self.ends.sender.mechanism(), "send to", object, errno)
    }

    /// Takes the next message. While there is none, the target is looked at: it is better known before than after
    /// something was taken that it has gone. Where one of the two cannot be polled, or there is a time-out, it shows
    /// afterwards.
    fn receive(&mut self, message: &mut Message) -> twixt::os::Result<()> {
        let timeout = self.from().options().timeout();
        let patient = self.interrupt.wait(timeout);
        if timeout.is_some()
            || self.ends.receiver.readiness().is_err()
            || self.ends.sender.readiness().is_err()
        {
            return self.ends.receiver.receive_wait(message, patient);
        }
        loop {
            match self.ends.receiver.receive_wait(message, Wait::never().interruptible()) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                outcome => return outcome,
            }
            let (source, target) = (self.ends.receiver.readiness()?, self.ends.sender.readiness()?);
            let mut polled = [PollFd::new(&source, PollFlags::IN), PollFd::new(&target, PollFlags::empty())];
            let patience = source.patience().map(timespec);
            poll(&mut polled, patience.as_ref()).map_err(|errno| self.no_room(errno))?;
            if polled[1].revents().intersects(PollFlags::ERR | PollFlags::HUP) {
                return Err(self.no_room(Errno::PIPE).with_kind(ErrorKind::NoPeer));
            }
        }
    }

    /// Sends it; it is taken already, and so it is not given up for an interruption that has no reason.
    fn pass_on(&mut self, piece: &[u8], message: &Message, keeps: &Keeps) -> twixt::os::Result<()> {
        let mut attributes = Attributes::new();
        if let Some(message_type) = message.message_type().filter(|_| keeps.types) {
            attributes = attributes.message_type(message_type);
        }
        if let Some(priority) = message.priority().filter(|_| keeps.priorities) {
            attributes = attributes.priority(priority);
        }
        let descriptors: Vec<BorrowedFd<'_>> =
            message.descriptors().iter().filter(|_| keeps.descriptors).map(AsFd::as_fd).collect();
        let attributes = attributes.descriptors(&descriptors);
        let mut wait = self.interrupt.wait(self.to().options().timeout());
        loop {
            match self.ends.sender.send_with(piece, &attributes, wait) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {
                    if self.interrupt.is_due() {
                        // The user wants to end: it has a while to go, and no longer.
                        wait = Wait::until(Deadline::after(LAST_CHANCE));
                    }
                }
                outcome => return outcome,
            }
        }
    }

    fn tell_what_is_lost(
        &self,
        from: &Capabilities,
        to: &Capabilities,
        keeps: &Keeps,
    ) -> Result<(), Failure> {
        let mut lost = Vec::new();
        if from.types && !keeps.types {
            lost.push("types");
        }
        if from.priority.is_some() && !keeps.priorities {
            lost.push("priorities");
        }
        if lost.is_empty() {
            return Ok(());
        }
        let given = |what| match what {
            "types" => to.types,
            _ => to.priority.is_some(),
        };
        for what in lost {
            let endpoint = self.to().endpoint();
            let why = if given(what) { "its address gives all messages one" } else { "it has none" };
            output::note(&format!("twixt: the {what} of messages are not kept in {endpoint}: {why}"))?;
        }
        Ok(())
    }
}

/// What was taken and could not be passed on, from this byte of the message on.
fn undelivered(error: twixt::os::Error, number: u64, message: &Message, sent: usize) -> Failure {
    let exit = match error.kind() {
        ErrorKind::PeerGone | ErrorKind::NoPeer => Exit::PeerGone,
        ErrorKind::TimedOut => Exit::TimedOut,
        _ => Exit::Refused,
    };
    Failure::Undelivered(Box::new(Undelivered {
        error: error.to_string(),
        first: number,
        count: 1,
        written: sent,
        form: Form::Bare,
        bytes: message.bytes().to_vec(),
        exit,
    }))
}
