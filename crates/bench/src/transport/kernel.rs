//! Mechanisms of the kernel that no channel uses, for large messages: each saves one of the two copies that a pipe makes.
//!
//! In both the receiver gets at pages of the sender's, so these must stay as they are until it has read them: the sender
//! takes turns with a few of them, and the receiver gives a receipt for every few.

use std::os::fd::{AsFd, OwnedFd};

use twixt_os::pipe::{self, Reader, Writer};

use super::channel::pass::{Passing, fetch};
use crate::{Failure, Pattern, Result, Role, Setup};

mod credit;
mod process_memory;
mod splice;

pub(crate) use process_memory::ProcessMemory;
pub(crate) use splice::Splice;

/// Two parties, with a pipe for what is sent and one for the receipts, and the same the other way.
struct Parties {
    setup: Setup,
    passing: Option<Passing>,
}

/// One way, as the party that sends has it.
struct Out {
    sent: Writer,
    receipts: Reader,
}

/// One way, as the party that receives has it.
struct In {
    received: Reader,
    receipts: Writer,
}

impl Parties {
    fn supports(setup: &Setup) -> Result<()> {
        let why = match setup.workload.pattern {
            Pattern::Rtt | Pattern::Throughput => return Ok(()),
            Pattern::Batch => "it moves one message at a time",
            Pattern::Fanout | Pattern::Work => "it goes between two processes, each receipt being for one",
        };
        Err(Failure::Unsupported(why.into()))
    }

    fn prepare(setup: &Setup) -> Result<Self> {
        let passing = match setup.role {
            Role::Subscriber(index) => Some(Passing::listen(setup, index)?),
            Role::Publisher(_) => None,
        };
        Ok(Self { setup: setup.clone(), passing })
    }

    /// The way to the other party and the way from it, where the workload has them.
    fn connect(&self, capacity: Option<usize>) -> Result<(Option<Out>, Option<In>)> {
        let is_round_trip = self.setup.workload.pattern == Pattern::Rtt;
        let Some(passing) = &self.passing else {
            let mut passed = fetch(&self.setup, 0)?.into_iter();
            let out = Out { sent: next(&mut passed)?, receipts: next(&mut passed)? };
            let back = is_round_trip
                .then(|| Ok::<_, Failure>(In { received: next(&mut passed)?, receipts: next(&mut passed)? }));
            return Ok((Some(out), back.transpose()?));
        };
        let (their_out, own_in) = way(capacity)?;
        let (own_out, their_in) = way(capacity)?;
        let all = [
            their_out.sent.as_fd(),
            their_out.receipts.as_fd(),
            their_in.received.as_fd(),
            their_in.receipts.as_fd(),
        ];
        passing.pass(&self.setup, if is_round_trip { &all } else { &all[..2] })?;
        Ok((is_round_trip.then_some(own_out), Some(own_in)))
    }
}

fn way(capacity: Option<usize>) -> Result<(Out, In)> {
    let (received, sent) = pipe::create()?;
    if let Some(bytes) = capacity {
        sent.set_capacity(bytes)?;
    }
    let (own, theirs) = pipe::create()?;
    Ok((Out { sent, receipts: own }, In { received, receipts: theirs }))
}

fn next<T: TryFrom<OwnedFd, Error = twixt_os::Error>>(
    passed: &mut impl Iterator<Item = OwnedFd>,
) -> Result<T> {
    let descriptor =
        passed.next().ok_or_else(|| Failure::failed("a party has passed too few descriptors"))?;
    Ok(T::try_from(descriptor)?)
}
