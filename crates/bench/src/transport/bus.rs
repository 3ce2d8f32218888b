//! The bus, as a program uses it that knows its calls: messages are written and read in place, where a call lets them be.
//!
//! | module | |
//! |---|---|
//! | `topic` | all who subscribe receive each message |
//! | `queue` | each message goes to one consumer, which acknowledges it |
//! | `latest` | a value takes the place of the one before |
//! | `rpc` | a connection: calls and replies |

use std::fs;

use twixt_address::BusName;
use twixt_bus::{Capacity, Options, Place, Waiting as How};
use twixt_os::ErrorKind;

use crate::{Ends, Failure, Pattern, Result, Role, Setup, Waiting};

mod latest;
mod queue;
mod rpc;
mod topic;

pub(crate) use latest::Latest;
pub(crate) use queue::Queue;
pub(crate) use rpc::Rpc;
pub(crate) use topic::Topic;

/// The pieces in which a large message is shown while it is written.
const PIECE: usize = 16 << 10;

/// The most messages that go together.
const BATCH: usize = 64;

fn failed(error: twixt_os::Error) -> Failure {
    Failure::failed(error)
}

/// Makes the directory of the run's own bus: for one of the parties.
fn make_place(setup: &Setup) -> Result<()> {
    Ok(fs::create_dir(setup.directory.join("bus"))?)
}

/// Names in the run's own bus, made by whoever comes first.
fn names(setup: &Setup) -> Result<Options> {
    let place = Place::at(setup.directory.join("bus")).map_err(failed)?;
    Ok(Options::new().place(place).create(true))
}

/// The same with rings.
fn rings(setup: &Setup) -> Result<Options> {
    let size = setup.workload.size as u64;
    // Room for a few large ones.
    let bytes = setup.capacity.unwrap_or_else(|| (1 << 20).max(8 * size));
    Ok(names(setup)?.capacity(Capacity::Bounded(bytes)))
}

fn name(index: usize) -> Result<BusName> {
    BusName::new(format!("bench-{index}")).map_err(Failure::failed)
}

fn how(setup: &Setup) -> How {
    match setup.workload.waiting {
        // With more parties than processors, to spin without end keeps the others from running.
        Waiting::Spin => How::Spin,
        Waiting::Block => How::Block,
        Waiting::Adaptive => How::Adaptive,
    }
}

/// A party's ends of one name, or of two in a round trip: there and back.
fn ends<S, R>(
    setup: &Setup,
    sender: impl FnOnce(usize) -> Result<S>,
    receiver: impl FnOnce(usize) -> Result<R>,
) -> Result<Ends<S, R>> {
    let is_rtt = setup.workload.pattern == Pattern::Rtt;
    Ok(match setup.role {
        Role::Publisher(_) => {
            Ends { receiver: is_rtt.then(|| receiver(1)).transpose()?, sender: Some(sender(0)?) }
        }
        Role::Subscriber(_) => {
            Ends { receiver: Some(receiver(0)?), sender: is_rtt.then(|| sender(1)).transpose()? }
        }
    })
}

/// What came of an attempt; `None` if it would have had to wait.
#[inline(always)]
fn unless_it_blocks<T>(outcome: twixt_os::Result<T>) -> Result<Option<T>> {
    match outcome {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(failed(error)),
    }
}
