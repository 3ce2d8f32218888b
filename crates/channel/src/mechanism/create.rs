//! What `?create` and the options beside it mean for objects that stay.

use twixt_address::{OptionName, SysvId, SysvKey};
use twixt_os::sysv::Key;
use twixt_os::{Error, ErrorKind, Result};

use crate::Opening;

/// Says of an object that is missing how it can be had.
pub(crate) fn or_advise(error: Error) -> Error {
    if error.kind() == ErrorKind::NotFound {
        error.with_advice("add ?create to the address, or make it with `twixt mk`")
    } else {
        error
    }
}

/// Refuses the options that say how a new object is made where none is to be made.
pub(crate) fn only_with_create(opening: &Opening, names: &[OptionName]) -> Result<()> {
    if opening.address().options().create() {
        return Ok(());
    }
    opening.without("open", names, "it says how a new object is made; add create")
}

/// What leads to a System V object that both sides can find.
pub(crate) enum Lead {
    Key(Key),
    Id(SysvId),
}

impl Lead {
    pub(crate) fn of(opening: &Opening, key: &SysvKey) -> Result<Self> {
        match key {
            SysvKey::Id(id) => Ok(Self::Id(*id)),
            SysvKey::Ftok { path, project } => Ok(Self::Key(Key::from_path(path.as_path(), project.get())?)),
            SysvKey::Key(number) => match Key::new(number.get()) {
                Some(key) => Ok(Self::Key(key)),
                None => Err(private(opening)),
            },
            SysvKey::Private => Err(private(opening)),
        }
    }
}

fn private(opening: &Opening) -> Error {
    let why = "private is a new object each time, which only its number leads to";
    opening
        .refused("open", ErrorKind::InvalidInput, why)
        .with_advice("make it with `twixt mk`, which prints the number, and open id=NUMBER")
}
