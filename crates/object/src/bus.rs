//! Names on the bus.

use std::path::PathBuf;

use rustix::fs::FileType;
use twixt_address::{Address, BusName, Endpoint};
use twixt_bus::{Capacity, Kind, Options, Place, Role};
use twixt_os::{ErrorKind, Mechanism, Mode, Object};

use crate::find::{FIND, Inode, look};
use crate::users::{Use, Users};
use crate::{Error, Result};

/// The names that there are on the bus, by their addresses.
///
/// # Errors
/// Those of finding and reading its directory.
pub fn names_on_bus() -> Result<Vec<Address>> {
    let names = Place::of_user()?.names()?;
    let endpoint = |(kind, name)| match kind {
        Kind::Topic => Endpoint::Topic(name),
        Kind::Queue => Endpoint::Queue(name),
        Kind::Latest => Endpoint::Latest(name),
        Kind::Rpc => Endpoint::Rpc(name),
    };
    Ok(names.into_iter().map(endpoint).map(Address::from).collect())
}

/// The name that an endpoint on the bus has.
pub(crate) fn name_of(endpoint: &Endpoint) -> Option<(Kind, &BusName)> {
    Some(match endpoint {
        Endpoint::Topic(name) => (Kind::Topic, name),
        Endpoint::Queue(name) => (Kind::Queue, name),
        Endpoint::Latest(name) => (Kind::Latest, name),
        Endpoint::Rpc(name) => (Kind::Rpc, name),
        _ => return None,
    })
}

/// How an address says that a name on the bus is opened, and made if it is not there.
pub fn bus_options(address: &Address) -> Options {
    let given = address.options();
    let mut options = Options::new().mode(given.mode().and_then(Mode::new).unwrap_or_default());
    let capacity = match (given.budget(), given.capacity()) {
        (Some(budget), _) => Some(Capacity::Unbounded(budget)),
        (None, Some(0)) => Some(Capacity::Zero),
        (None, Some(bytes)) => Some(Capacity::Bounded(bytes)),
        (None, None) => None,
    };
    if let Some(capacity) = capacity {
        options = options.capacity(capacity);
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
    options.create(given.create())
}

/// A name that was found.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub kind: Kind,
    pub name: BusName,
    pub directory: PathBuf,
    /// Of the directory.
    pub inode: Inode,
    pub owner: u32,
}

impl Site {
    pub fn find(kind: Kind, name: &BusName) -> Result<Self> {
        let directory = Place::of_user()?.directory(kind, name);
        let object = Object::name(format!("{}:{name}", kind.scheme()));
        let stat = look(&directory)
            .map_err(|errno| twixt_os::Error::kernel(Mechanism::Bus, FIND, object.clone(), errno))?;
        if FileType::from_raw_mode(stat.stx_mode.into()) != FileType::Directory {
            let why = "what stands there is no directory, as a name on the bus is";
            return Err(
                twixt_os::Error::refused(Mechanism::Bus, FIND, object, ErrorKind::Malformed, why).into()
            );
        }
        Ok(Self { kind, name: name.clone(), directory, inode: Inode::of(&stat), owner: stat.stx_uid })
    }

    pub fn remove(&self) -> Result<()> {
        Ok(twixt_bus::remove(self.kind, &self.name, None)?)
    }

    /// Those who take part, by what they say of themselves.
    pub fn users(&self) -> Result<Users> {
        let stat = twixt_bus::stat(self.kind, &self.name, None)?;
        let mut users = Users { unreadable: stat.unreadable, ..Users::default() };
        for participant in stat.participants.iter().filter(|it| it.state.lives()) {
            let pid = participant.pid.and_then(|pid| i32::try_from(pid).ok());
            for &used in uses(participant.role) {
                users.add(pid, used);
            }
        }
        Ok(users)
    }
}

fn uses(role: Role) -> &'static [Use] {
    match (role.sends(), role.receives()) {
        (true, false) => &[Use::Sends],
        (false, true) => &[Use::Receives],
        (true, true) => &[Use::Sends, Use::Receives],
        (false, false) => &[Use::Serves],
    }
}

/// Refuses a name that has two ways to say how much may wait.
pub(crate) fn check(operation: &'static str, address: &Address) -> Result<()> {
    let options = address.options();
    if options.budget().is_some() && options.capacity().is_some() {
        let why = "capacity and budget exclude each other: a send waits for room, or it never waits";
        return Err(Error::refused(
            operation,
            address,
            ErrorKind::InvalidInput,
            why,
            "leave one of them out",
        ));
    }
    Ok(())
}
