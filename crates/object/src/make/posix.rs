//! POSIX objects.

use std::ffi::OsStr;
use std::os::fd::AsFd;

use twixt_address::Address;
use twixt_os::posix::{mq, sem, shm};
use twixt_os::{ErrorKind, Limit, Mode};

use crate::find::{Identity, Inode, Kind, semaphore_file, shared_memory_file};
use crate::make::MAKE;
use crate::{Error, Result};

/// The limits that the options ask for. What is not given is what the kernel would have taken.
pub(super) fn limits(address: &Address) -> Result<Option<mq::Limits>> {
    let options = address.options();
    let (capacity, size) = (options.capacity(), options.message_size());
    if capacity.is_none() && size.is_none() {
        return Ok(None);
    }
    if capacity == Some(0) {
        let why = "a queue with a capacity of 0 messages cannot be made";
        let advice = "1 is the least, fs.mqueue.msg_max the most";
        return Err(Error::refused(MAKE, address, ErrorKind::OutOfRange, why, advice));
    }
    let count = |given: Option<u64>, default: &'static str, fallback: u64| {
        let count = given.or_else(|| Limit::sysctl(default, 0).current).unwrap_or(fallback);
        // More than fits is more than any limit, which the kernel will say.
        usize::try_from(count).unwrap_or(usize::MAX)
    };
    Ok(Some(mq::Limits {
        max_messages: count(capacity, "fs.mqueue.msg_default", 10),
        message_size: count(size, "fs.mqueue.msgsize_default", 8192),
    }))
}

pub(super) fn queue(name: &OsStr, limits: Option<mq::Limits>, mode: Mode) -> Result<Identity> {
    let queue = mq::Queue::create(name, mq::Access::ReadWrite, limits, mode)?;
    let owner = Some(rustix::process::geteuid().as_raw());
    Ok(Identity::PosixQueue { name: name.to_owned(), inode: Inode::of_descriptor(queue.as_fd()).ok(), owner })
}

pub(super) fn semaphore(name: &OsStr, value: u32, mode: Mode) -> Result<Identity> {
    let _semaphore = sem::Semaphore::create(name, value, mode)?;
    let path = semaphore_file(name);
    let inode = Inode::of_path(&path).ok();
    Ok(Identity::file(Kind::PosixSemaphore, &path, inode))
}

pub(super) fn memory(name: &OsStr, size: u64, mode: Mode) -> Result<Identity> {
    let memory = shm::SharedMemory::create(name, size, mode)?;
    let inode = Inode::of_descriptor(memory.as_fd()).ok();
    Ok(Identity::file(Kind::PosixMemory, &shared_memory_file(name), inode))
}
