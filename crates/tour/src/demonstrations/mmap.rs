//! A file that several processes have mapped, shared under a lock.

use std::sync::atomic::Ordering;

use twixt_os::lock::{Kind, LockFile};
use twixt_os::mmap::MappedFile;

use super::counter;
use super::posix_sem::raise;
use crate::demonstration::Demonstration;
use crate::failure::Failure;
use crate::party::Party;

pub(super) const COUNTER: Demonstration = Demonstration {
    name: "mmap",
    shows: "a mapped file under a lock: three processes, one counter",
    parties: &[("worker", worker)],
    conduct: |run| {
        let counter = MappedFile::create(run.names().path(FILE), size_of::<u64>())?;
        counter::compete(run, || Ok(counter.memory().load_u64(0, Ordering::Acquire)?))
    },
    remove: |names| {
        let _ = std::fs::remove_file(names.path(FILE));
        let _ = std::fs::remove_file(names.path(LOCK));
    },
    two_terminals: None,
};

const FILE: &str = "mapped";
const LOCK: &str = "lock";

fn worker(party: &Party) -> Result<(), Failure> {
    let counter = MappedFile::open(party.names().path(FILE))?;
    let lock = party.names().path(LOCK);
    counter::work(party, || {
        let _held = LockFile::acquire(&lock, Kind::Exclusive)?;
        raise(&counter)
    })
}
