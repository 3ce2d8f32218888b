//! Any address, through a channel.
//!
//! A kind of address is measured by its name alone: its objects then have names of the run's own. Where messages share a
//! stream of bytes they are told apart by their lengths (`framing=len`), which is the least that a receiver needs; the
//! channels' usual frames have a checksum besides. An address is used as it is given, with the options it has.
//!
//! | module | |
//! |---|---|
//! | `kind` | what the kinds of address need |
//! | `link` | addresses of links: made by one party, found by the others, removed by the conductor |
//! | `capacity` | how much room a link can be given |
//! | `possible` | which workloads a kind cannot do, and why |
//! | `pass` | what has no name: descriptors passed between parties |
//! | `ends` | sending to several links, and receiving |
//! | `many` | several messages with one system call |

use twixt_channel::{Duplex, Listener, Receiver, Sender};
use twixt_os::ErrorKind;

use crate::{Ends, Failure, Pattern, Result, Role, Setup, Transport};

mod capacity;
mod content;
mod ends;
mod kind;
mod link;
mod many;
pub(super) mod pass;
mod possible;

use ends::{Receivers, Senders};
pub(crate) use kind::KINDS;
use kind::Kind;
use link::Link;

/// A party's part in channels: one to each of the others, or one that all share.
pub(crate) struct Channel {
    setup: Setup,
    kind: Kind,
    made: Option<Made>,
}

/// What was made before the others connected.
enum Made {
    Listener(Listener),
    Receiver(Receiver),
    Passing(pass::Passing),
}

impl Transport for Channel {
    type Sender = Senders;
    type Receiver = Receivers;

    fn supports(setup: &Setup) -> Result<()> {
        possible::check(setup)
    }

    fn capacities(setup: &Setup) -> Vec<Option<u64>> {
        capacity::choices(setup)
    }

    fn most_messages(setup: &Setup) -> u64 {
        possible::most_messages(setup)
    }

    fn is_lossy(setup: &Setup) -> bool {
        Kind::of(setup).is_ok_and(|kind| !kind.can.reliable)
    }

    fn prepare(setup: &Setup) -> Result<Self> {
        let kind = Kind::of(setup)?;
        let made = match setup.role {
            Role::Subscriber(index) if kind.is_anonymous() => {
                Some(Made::Passing(pass::Passing::listen(setup, index)?))
            }
            Role::Subscriber(index) if kind.link_of(setup, index) == index => {
                Some(make(setup, &kind, index)?)
            }
            Role::Publisher(_) if setup.workload.pattern == Pattern::Rtt && kind.needs_way_back() => {
                Some(make(setup, &kind, link::BACK)?)
            }
            _ => None,
        };
        Ok(Self { setup: setup.clone(), kind, made })
    }

    fn connect(mut self) -> Result<Ends<Senders, Receivers>> {
        let made = self.made.take();
        let (senders, receiver) = match self.setup.role {
            Role::Publisher(_) => self.connect_publisher(made)?,
            Role::Subscriber(index) => self.connect_subscriber(index, made)?,
        };
        Ok(Ends {
            sender: (!senders.is_empty())
                .then(|| Senders::new(&self.setup, &self.kind, senders))
                .transpose()?,
            receiver: receiver.map(|it| Receivers::new(&self.setup, &self.kind, it)).transpose()?,
        })
    }

    fn clean(setup: &Setup) {
        link::remove_made(setup);
    }
}

impl Channel {
    fn is_round_trip(&self) -> bool {
        self.setup.workload.pattern == Pattern::Rtt
    }

    fn connect_publisher(&self, made: Option<Made>) -> Result<(Vec<Sender>, Option<Receiver>)> {
        let (setup, mut senders, mut receiver) = (&self.setup, Vec::new(), None);
        for index in 0..self.kind.links(setup) {
            if self.kind.is_anonymous() {
                let (sender, back) = pass::take(setup, &self.kind, index)?;
                senders.push(sender);
                receiver = back;
                continue;
            }
            let address = Link::find(setup, index)?.to_send()?;
            if self.is_round_trip() && self.kind.is_connection() {
                let (sender, back) = Duplex::open(&address).map_err(refused)?.split();
                senders.push(sender);
                receiver = Some(back);
            } else {
                senders.push(Sender::open(&address).map_err(refused)?);
            }
        }
        if let Some(Made::Receiver(back)) = made {
            receiver = Some(back);
        }
        Ok((senders, receiver))
    }

    fn connect_subscriber(
        &self,
        index: usize,
        made: Option<Made>,
    ) -> Result<(Vec<Sender>, Option<Receiver>)> {
        let setup = &self.setup;
        let receiver = match made {
            Some(Made::Passing(passing)) => {
                let (receiver, back) = passing.give(setup, &self.kind)?;
                return Ok((back.into_iter().collect(), Some(receiver)));
            }
            Some(Made::Listener(listener)) => {
                let (sender, receiver) = listener.accept().map_err(refused)?.split();
                // Its other way stays open as long as this party has it.
                return Ok((vec![sender], Some(receiver)));
            }
            Some(Made::Receiver(receiver)) => receiver,
            None => {
                let link = Link::find(setup, self.kind.link_of(setup, index))?;
                Receiver::open(&link.to_receive_too()?).map_err(refused)?
            }
        };
        let mut senders = Vec::new();
        if self.is_round_trip() {
            senders.push(Sender::open(&Link::find(setup, link::BACK)?.to_send()?).map_err(refused)?);
        }
        Ok((senders, Some(receiver)))
    }
}

/// Opens the receiving side of a link, and lets the others know of it.
fn make(setup: &Setup, kind: &Kind, index: usize) -> Result<Made> {
    // A port that was free a moment ago may not be any more.
    const ATTEMPTS: usize = 16;
    let mut attempt = 1;
    loop {
        let link = Link::decide(setup, kind, index)?;
        match open(setup, kind, &link) {
            Ok((made, endpoint)) => {
                link.publish(setup, index, endpoint)?;
                return Ok(made);
            }
            Err(error) if link.is_chosen_freely() && is_taken(&error) && attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(refused(error)),
        }
    }
}

fn open(
    setup: &Setup,
    kind: &Kind,
    link: &Link,
) -> twixt_os::Result<(Made, Option<twixt_address::Endpoint>)> {
    if kind.listens_for_one(setup) {
        let listener = Listener::open(link.to_listen())?;
        let endpoint = listener.address()?;
        return Ok((Made::Listener(listener), Some(endpoint)));
    }
    let receiver = Receiver::open(&link.to_receive().map_err(|failure| {
        let object = twixt_os::Object::Unnamed;
        let mechanism = twixt_os::Mechanism::Descriptor;
        twixt_os::Error::refused(mechanism, "open", object, ErrorKind::InvalidInput, failure.to_string())
    })?)?;
    let endpoint = receiver.endpoint().cloned();
    Ok((Made::Receiver(receiver), endpoint))
}

fn is_taken(error: &twixt_os::Error) -> bool {
    matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::Busy)
        || error.errno() == Some(twixt_os::Errno::ADDRINUSE)
}

/// A limit of the machine, or of the mechanism, is no failure: it says what cannot be had here.
fn refused(error: twixt_os::Error) -> Failure {
    match error.kind() {
        ErrorKind::LimitReached | ErrorKind::Unsupported | ErrorKind::TooLong => {
            Failure::Unsupported(error.to_string())
        }
        _ => error.into(),
    }
}
