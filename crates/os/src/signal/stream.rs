//! Reading records of a fixed size from a descriptor: what a signalfd and a self-pipe have in common.
//!
//! The descriptions block, so that a wait without end is one system call. Not to wait is asked for call by call.

use std::io::IoSliceMut;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::PollFlags;
use rustix::io::{ReadWriteFlags, preadv2};

use crate::signal::{Info, failed, malformed};
use crate::wait::Attempt;
use crate::{Errno, Object, Result, Wait};

const OPERATION: &str = "receive";

/// The records that one read can take.
const BATCH_BYTES: usize = 4096;

/// A descriptor to read records from.
pub(super) trait Source {
    fn descriptor(&self) -> BorrowedFd<'_>;

    /// Set once the kernel was found not to take `RWF_NOWAIT` for it.
    fn no_nowait(&self) -> &AtomicBool;

    /// Reads without waiting where the kernel does not take `RWF_NOWAIT`.
    fn read_otherwise(&self, into: &mut [u8]) -> core::result::Result<usize, Errno>;
}

/// Reads one record.
pub(super) fn receive<const SIZE: usize>(
    from: &impl Source,
    wait: Wait,
    decode: fn(&[u8; SIZE]) -> Option<Info>,
) -> Result<Info> {
    let mut record = [0; SIZE];
    let read = read(from, wait, &mut record)?;
    let info = if read == SIZE { decode(&record) } else { None };
    info.ok_or_else(|| malformed(OPERATION, Object::descriptor(from.descriptor())))
}

/// Reads as many records as are there, but no more than one read takes, and appends them; says how many.
pub(super) fn receive_many<const SIZE: usize>(
    from: &impl Source,
    wait: Wait,
    decode: fn(&[u8; SIZE]) -> Option<Info>,
    into: &mut Vec<Info>,
) -> Result<usize> {
    let mut bytes = [0; BATCH_BYTES];
    let read = read(from, wait, &mut bytes)?;
    let (records, rest) = bytes[..read].as_chunks::<SIZE>();
    if !rest.is_empty() || records.is_empty() {
        return Err(malformed(OPERATION, Object::descriptor(from.descriptor())));
    }
    // Decode all before keeping any, so that an error has taken no half of them into the caller's list.
    let before = into.len();
    for record in records {
        match decode(record) {
            Some(info) => into.push(info),
            None => {
                into.truncate(before);
                return Err(malformed(OPERATION, Object::descriptor(from.descriptor())));
            }
        }
    }
    Ok(records.len())
}

/// How many records [`receive_many`] takes at most.
pub(super) const fn batch(size: usize) -> usize {
    BATCH_BYTES / size
}

fn read(from: &impl Source, wait: Wait, into: &mut [u8]) -> Result<usize> {
    let descriptor = from.descriptor();
    let read = wait.on_descriptor(descriptor, PollFlags::IN, |attempt| match attempt {
        Attempt::Block => rustix::io::read(descriptor, &mut *into),
        Attempt::DontWait => read_now(from, into),
    });
    read.map_err(|errno| {
        let error = failed(OPERATION, Object::descriptor(descriptor), errno);
        match errno {
            Errno::INVAL => error.with_advice("the descriptor is not one that signals are read from"),
            _ => error,
        }
    })
}

fn read_now(from: &impl Source, into: &mut [u8]) -> core::result::Result<usize, Errno> {
    if !from.no_nowait().load(Ordering::Relaxed) {
        // The offset of all ones is "where the file stands", the only one that these take.
        match preadv2(from.descriptor(), &mut [IoSliceMut::new(into)], u64::MAX, ReadWriteFlags::NOWAIT) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => from.no_nowait().store(true, Ordering::Relaxed),
            outcome => return outcome,
        }
    }
    from.read_otherwise(into)
}
