//! Socket files: whether a process still has the socket bound, and removing those that nobody has.

use std::path::Path;
use std::time::Duration;

use twixt_address::Address;
use twixt_os::unix::{self, BindOptions, Datagram};
use twixt_os::{Deadline, Errno, ErrorKind, Mechanism, Wait};

use super::{REMOVE, permission};
use crate::{Error, Result};

/// Others who take the path over at the same time hold their lock for a moment.
const PATIENCE: Duration = Duration::from_secs(2);

/// Refuses a socket that is bound. The probe is a datagram socket: that a connection is asked for which can never come
/// of it, a server of another type does not notice, nor does one of datagrams.
pub(super) fn check_stale(address: &Address, path: &Path) -> Result<()> {
    let probe = Datagram::unbound()?.connect(&unix::Address::path(path)?);
    let Err(error) = probe else { return Err(bound(address)) };
    match error.errno() {
        Some(Errno::CONNREFUSED) => Ok(()),
        Some(Errno::PROTOTYPE | Errno::PERM) => Err(bound(address)),
        // Without write permission nobody can be asked whether the socket is alive.
        Some(errno) => Err(permission::unlink_error(Mechanism::UnixStream, path, errno)),
        None => Err(error.into()),
    }
}

/// Removes a socket file that nobody has bound, without a race: what is stale is taken over, which is proved under a
/// lock, and what was taken over is this process's own to remove.
pub(super) fn remove(address: &Address, path: &Path) -> Result<()> {
    let options = BindOptions::new().take_over_stale(Wait::until(Deadline::after(PATIENCE)));
    let taken = options.datagram(&unix::Address::path(path)?).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => bound(address),
        _ => error.into(),
    })?;
    Ok(taken.unlink_on_drop()?.remove()?)
}

fn bound(address: &Address) -> Error {
    let advice = "end that process first, then remove what it leaves";
    Error::refused(REMOVE, address, ErrorKind::Busy, "a process has it bound", advice)
}
