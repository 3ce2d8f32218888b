//! What all that stands on the bus has in common.

use std::os::fd::{BorrowedFd, OwnedFd};

use twixt_address::{BusName, Endpoint, OptionName};
use twixt_bus::{Capacity as Room, Options};
use twixt_os::{Error, ErrorKind, Mechanism, Object, Result};

use super::create;
use crate::{Capacities, Capacity, Opening};

/// The name on the bus that an address leads to.
pub(super) fn name(opening: &Opening) -> Result<&BusName> {
    match opening.endpoint() {
        Endpoint::Topic(name) | Endpoint::Queue(name) | Endpoint::Latest(name) | Endpoint::Rpc(name) => {
            Ok(name)
        }
        _ => Err(opening.refused("open", ErrorKind::InvalidInput, "it is no name on the bus")),
    }
}

/// How it is opened, and made if it is not there.
pub(super) fn options(opening: &Opening) -> Result<Options> {
    use OptionName::{Budget, Capacity, MessageSize, Mode, Retries, Visibility};
    let given = opening.address().options();
    // Over a connection the two sides meet by messages of their own, for which there is room.
    let meets =
        matches!(opening.endpoint(), Endpoint::Rpc(_)) && opening.capacity() == Some(crate::Capacity::Zero);
    if !meets {
        create::only_with_create(opening, &[Capacity])?;
    }
    create::only_with_create(opening, &[Mode, Budget, MessageSize, Retries, Visibility])?;
    let mut options = Options::new().create(given.create()).mode(opening.mode());
    if let Some(room) = opening.capacity().filter(|_| !meets).and_then(room) {
        options = options.capacity(room);
    }
    if let Some(size) = given.message_size() {
        options = options.message_size(size);
    }
    if let Some(retries) = given.retries() {
        options = options.retries(retries);
    }
    if let Some(visibility) = given.visibility() {
        options = options.visibility(visibility);
    }
    Ok(options)
}

fn room(capacity: Capacity) -> Option<Room> {
    match capacity {
        Capacity::Zero => Some(Room::Zero),
        Capacity::Bytes(bytes) => Some(Room::Bounded(bytes)),
        Capacity::Unbounded { budget } => Some(Room::Unbounded(budget)),
        Capacity::Messages(_) => None,
    }
}

/// Another descriptor of a doorbell, which a half can lend out while its other end is busy.
pub(super) fn copy(doorbell: BorrowedFd<'_>) -> Result<OwnedFd> {
    rustix::io::fcntl_dupfd_cloexec(doorbell, 3)
        .map_err(|errno| Error::kernel(Mechanism::Bus, "poll", Object::Unnamed, errno))
}

/// The capacity of what is open, in this crate's words.
pub(super) fn capacity(room: Room) -> Capacity {
    match room {
        Room::Zero => Capacity::Zero,
        Room::Bounded(bytes) => Capacity::Bytes(bytes),
        Room::Unbounded(budget) => Capacity::Unbounded { budget },
    }
}

/// The kind of it.
pub(super) fn capacities(room: Room) -> Capacities {
    match room {
        Room::Zero => Capacities::ZERO,
        Room::Bounded(_) => Capacities::BOUNDED,
        Room::Unbounded(_) => Capacities::UNBOUNDED,
    }
}
