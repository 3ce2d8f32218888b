//! What stands beside a ring and should go with it.

use twixt_address::{Address, Endpoint, SysvId, SysvKey};
use twixt_os::ErrorKind;
use twixt_os::sysv::sem::{self, Set};
use twixt_os::sysv::shm::{Access, Segment};

use super::layout::{HEADER, Purpose, SET};
use super::sysv::SEMAPHORES;
use crate::Opening;
use crate::mechanism::create::Lead;

/// The objects that opening this address has made beside it, and that serve nothing else: the semaphore set of a ring in
/// System V memory. Nothing, if the object is not there or no ring of this library, or its set has gone or is not surely
/// its own.
///
/// Whoever removes the object should remove these, too.
///
/// ```
/// use twixt_address::Address;
/// use twixt_channel::{Sender, companions};
/// # use twixt_os::sysv::{Key, sem::Set, shm::Segment};
///
/// # let key = Key::random()?.as_raw();
/// # let address = format!("sysv-shm:{key}?create");
/// let address: Address = address.parse()?;
/// let sender = Sender::open(&address)?;
/// let sets = companions(&address)?;
/// assert_eq!(sets.len(), 1);
/// assert!(sets[0].to_string().starts_with("sysv-sem:id="));
/// # Set::open(Key::new(key).unwrap())?.remove()?;
/// # Segment::open(Key::new(key).unwrap())?.remove()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of looking at the object, but for its not being there.
pub fn companions(address: &Address) -> twixt_os::Result<Vec<Address>> {
    let Endpoint::SysvShm(key) = address.endpoint() else { return Ok(Vec::new()) };
    match set_of(address, key) {
        Ok(Some(set)) => Ok(SysvId::new(set.as_raw())
            .map(|id| Endpoint::SysvSem { key: SysvKey::Id(id), index: None }.into())
            .into_iter()
            .collect()),
        Ok(None) => Ok(Vec::new()),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Removed) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn set_of(address: &Address, key: &SysvKey) -> twixt_os::Result<Option<sem::Id>> {
    let segment = match Lead::of(&Opening::new(address), key)? {
        Lead::Key(key) => Segment::open(key)?,
        Lead::Id(id) => match twixt_os::sysv::shm::Id::new(id.get()) {
            Some(id) => Segment::open_id(id)?,
            None => return Ok(None),
        },
    };
    let perm = segment.stat()?.perm;
    let attachment = segment.attach(Access::ReadOnly)?;
    if attachment.len() < HEADER {
        return Ok(None);
    }
    let word = |offset| -> twixt_os::Result<u64> {
        let mut bytes = [0; 8];
        attachment.read(offset, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    };
    let magic = word(0)?;
    if ![Purpose::Mailbox, Purpose::Duplex].iter().any(|purpose| purpose.magic() == magic) {
        return Ok(None);
    }
    let set = if perm.key.is_private() {
        let number = word(SET)?.checked_sub(1).and_then(|id| i32::try_from(id).ok());
        match number.and_then(sem::Id::new) {
            Some(id) => Set::open_id(id)?,
            None => return Ok(None),
        }
    } else {
        Set::open(perm.key)?
    };
    let stat = set.stat()?;
    // Anybody may have made a set under the key, or have written any number into the header.
    let is_own = stat.nsems == SEMAPHORES
        && stat.perm.creator_uid == perm.creator_uid
        && stat.perm.key.is_private() == perm.key.is_private();
    Ok(is_own.then(|| set.id()))
}
