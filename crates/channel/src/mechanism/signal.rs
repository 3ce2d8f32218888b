//! Signals with values.

use std::os::fd::AsFd;

use rustix::process::{Pid, getpgrp};
use twixt_address::{Endpoint, OptionName, SignalName, SignalTarget};
use twixt_os::signal::{self, PidFd, Signal as Number, SignalFd, SignalSet};
use twixt_os::{Errno, Error, ErrorKind, Result, Wait};

use crate::half::{ReceiveHalf, SendHalf};
use crate::mechanism::Mechanism;
use crate::origin::Origin;
use crate::{
    Attributes, Boundaries, Capabilities, Capacities, Capacity, Content, Message, Opening, Parties,
    Readiness, number,
};

pub(super) struct Signal;

impl Mechanism for Signal {
    fn capabilities(&self, endpoint: &Endpoint) -> Capabilities {
        match endpoint {
            Endpoint::Signal { signal: Some(signal), .. } => capabilities(number_of(*signal)),
            _ => capabilities(None),
        }
    }

    fn sender(&self, opening: &Opening) -> Result<Box<dyn SendHalf>> {
        let (target, signal) = parts(opening, "send to")?;
        let why = "the message is the value";
        opening.without("send to", &[OptionName::Value], why)?;
        let SignalTarget::Process(pid) = target else {
            let why = "the kernel sends values to one process, not to a group";
            return Err(opening.refused("send to", ErrorKind::Unsupported, why));
        };
        let Some(pid) = Pid::from_raw(pid.get()) else {
            return Err(opening.refused("send to", ErrorKind::InvalidInput, "no process has that number"));
        };
        let process = PidFd::open(pid)?;
        // Asks for leave now rather than at the first message.
        signal::probe(pid).and_then(|presence| match presence {
            signal::Presence::Forbidden => {
                Err(opening.refused("send to", ErrorKind::PermissionDenied, "the process is another user's"))
            }
            _ => Ok(()),
        })?;
        Ok(Box::new(Sender { process, signal, origin: Origin::of(opening) }))
    }

    /// Blocks the signal in the calling thread, and in those that it starts from then on, for good: it would otherwise
    /// be delivered rather than kept, and most signals' delivery ends the process.
    fn receiver(&self, opening: &Opening) -> Result<Box<dyn ReceiveHalf>> {
        let (target, signal) = parts(opening, "receive from")?;
        opening.without("receive from", &[OptionName::Value], "the senders choose the values")?;
        let is_ours = match target {
            SignalTarget::OwnGroup => true,
            SignalTarget::Process(pid) => pid.get() == signal::this_process().as_raw_nonzero().get(),
            SignalTarget::Group(group) => group.get() == getpgrp().as_raw_nonzero().get(),
        };
        if !is_ours {
            let why = "only the process that signals are sent to can receive them";
            return Err(opening.refused("receive from", ErrorKind::Unsupported, why));
        }
        if !signal.is_catchable() {
            let why = "no process can receive that signal: the kernel acts on it";
            return Err(opening.refused("receive from", ErrorKind::Unsupported, why));
        }
        let set = SignalSet::from(signal);
        let signals = SignalFd::create(set)?;
        set.block()?.keep();
        Ok(Box::new(Receiver { signals, signal }))
    }
}

/// Real-time signals queue; of the others one of a kind is kept.
fn capabilities(signal: Option<Number>) -> Capabilities {
    Capabilities {
        content: Content::Number { least: i32::MIN as i64, most: i32::MAX as u64, adds_up: false },
        max_message: Some(11),
        empty_messages: false,
        receivers: Parties::One,
        reliable: signal.is_some_and(Number::is_real_time),
        capacities: Capacities::empty(),
        ..Capabilities::new(Boundaries::Kept)
    }
}

fn number_of(name: SignalName) -> Option<Number> {
    Number::new(name.number().into())
}

fn parts(opening: &Opening, operation: &'static str) -> Result<(SignalTarget, Number)> {
    let Endpoint::Signal { target, signal } = opening.endpoint() else {
        return Err(opening.refused(operation, ErrorKind::InvalidInput, "it names no signal"));
    };
    match signal.and_then(number_of) {
        Some(signal) => Ok((*target, signal)),
        None => {
            let why = "it does not say which signal, as in signal:4711/RTMIN";
            Err(opening.refused(operation, ErrorKind::InvalidInput, why))
        }
    }
}

struct Sender {
    /// That very process, even if another gets its number.
    process: PidFd,
    signal: Number,
    origin: Origin,
}

impl SendHalf for Sender {
    fn send(&mut self, bytes: &[u8], _attributes: &Attributes<'_>, wait: Wait) -> Result<()> {
        const RIGHT: &str = "a message is a number, -2147483648 to 2147483647 in decimal";
        let value: i32 = number::parse(bytes, &self.origin, RIGHT)?;
        let mut full = None;
        let sent = wait.with_backoff(|| match self.process.queue(self.signal, value) {
            Ok(()) => Ok(Ok(())),
            Err(error) if error.kind() == ErrorKind::LimitReached => {
                full = Some(error);
                Err(Errno::AGAIN)
            }
            Err(error) => Ok(Err(error)),
        });
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if error.kind() == ErrorKind::NotFound => {
                Err(self.origin.refused("send to", ErrorKind::PeerGone, "the process has ended"))
            }
            Ok(Err(error)) => Err(error),
            Err(errno) => {
                let kind = Error::kernel(self.origin.mechanism, "send to", self.origin.object.clone(), errno);
                // The error that says which limit it is, with the kind that says how the waiting ended.
                Err(match (errno, full) {
                    (Errno::AGAIN | Errno::TIMEDOUT, Some(full)) => full.with_kind(kind.kind()),
                    _ => kind,
                })
            }
        }
    }

    fn capabilities(&self) -> Capabilities {
        // Nothing tells when the receiver's queue has room.
        Capabilities { pollable: false, ..capabilities(Some(self.signal)) }
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        Ok(None)
    }

    fn len(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        None
    }
}

struct Receiver {
    signals: SignalFd,
    signal: Number,
}

impl ReceiveHalf for Receiver {
    fn receive(&mut self, message: &mut Message, wait: Wait) -> Result<()> {
        let info = self.signals.receive_wait(wait)?;
        // One that came without a value is 0, as in C.
        number::write(message, info.value().map_or(0, signal::Value::as_i32));
        if let Some(pid) = info.pid() {
            message.details().source.set_process(pid.as_raw_nonzero().get());
        }
        Ok(())
    }

    fn capabilities(&self) -> Capabilities {
        capabilities(Some(self.signal))
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        Ok(None)
    }

    fn len(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        Some(Readiness::to_read(self.signals.as_fd()))
    }
}
