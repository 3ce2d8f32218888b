//! System V objects.

use twixt_os::Mode;
use twixt_os::sysv::Key;
use twixt_os::sysv::msg::{Queue, Settings};
use twixt_os::sysv::sem::Set;
use twixt_os::sysv::shm::Segment;

use crate::Result;
use crate::find::Identity;

pub(super) fn queue(key: Key, capacity: Option<u64>, mode: Mode) -> Result<Identity> {
    // Until its capacity is set, it goes again when this fails.
    let queue = Queue::create(key, mode)?.remove_on_drop();
    if let Some(qbytes) = capacity {
        set_capacity(&queue, qbytes, mode)?;
    }
    Ok(Identity::Queue(queue.keep().id()))
}

fn set_capacity(queue: &Queue, qbytes: u64, mode: Mode) -> Result<()> {
    // A mode without read permission hides the queue's state from its own maker; the list does not.
    let listed = twixt_os::sysv::msg::list()?.into_iter().find(|listed| listed.id == queue.id());
    let stat = match listed {
        Some(listed) => listed.stat,
        None => queue.stat()?,
    };
    Ok(queue.set(Settings { qbytes, mode, ..stat.into() })?)
}

pub(super) fn set(key: Key, count: usize, value: u16, mode: Mode) -> Result<Identity> {
    Ok(Identity::Set(Set::create_with(key, &vec![value; count], mode)?.id()))
}

pub(super) fn segment(key: Key, size: usize, mode: Mode) -> Result<Identity> {
    Ok(Identity::Segment(Segment::create(key, size, mode)?.id()))
}
