//! Users of what has descriptors or mappings: FIFOs, files, and all POSIX objects.

use std::path::Path;

use twixt_os::lock;

use super::proc::{self, Descriptor, Mapped};
use super::{Use, Users, socket};
use crate::Result;
use crate::find::{Inode, Kind};

pub(super) fn users(kind: Kind, path: &Path, inode: Option<Inode>) -> Result<Users> {
    let Some(inode) = inode.or_else(|| Inode::of_path(path).ok()) else { return Ok(Users::default()) };
    if let Kind::Socket(_) = kind {
        return socket::users(path, inode);
    }
    let mut users = holders(inode, &mapped_path(path))?;
    match kind {
        Kind::Regular(_) => add_locks(&mut users, path)?,
        Kind::Fifo => add_openers(&mut users, inode)?,
        _ => {}
    }
    Ok(users)
}

pub(super) fn queue_users(inode: Option<Inode>) -> Result<Users> {
    match inode {
        Some(inode) => holders(inode, ""),
        // It may not be opened, so that its descriptors could not be told from others.
        None => Ok(Users { unreadable: proc::processes()?.len(), ..Users::default() }),
    }
}

/// The path as `/proc/PID/maps` has it.
fn mapped_path(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    // A newline is the only character that is escaped there.
    path.to_string_lossy().replace('\n', "\\012")
}

/// The processes that have a descriptor or mapping of a file.
fn holders(inode: Inode, path: &str) -> Result<Users> {
    let mut users = Users::default();
    for process in proc::processes()? {
        let mut unreadable = false;
        let descriptors = process.readable(process.descriptors(|found, _| *found == inode), &mut unreadable);
        // Some file systems (btrfs, overlays) show another device there than `stat` does; then the path must fit.
        let is_it = |found: &Inode, at: &str| *found == inode || (found.number == inode.number && at == path);
        let mappings = process.readable(process.mappings(is_it), &mut unreadable);
        users.unreadable += usize::from(unreadable);
        for access in descriptors.iter().filter_map(|descriptor| descriptor.access) {
            users.add(Some(process.pid), access);
        }
        for mapped in &mappings {
            users.add(Some(process.pid), if mapped.writable { Use::Maps } else { Use::MapsReadOnly });
        }
        if descriptors.is_empty() && mappings.is_empty() {
            continue;
        }
        for blocked in process.blocked_in(CALLS).unwrap_or_default() {
            if let Some(waits) = waits(blocked.call, blocked.arguments[0], &descriptors, &mappings) {
                users.add(Some(process.pid), waits);
            }
        }
    }
    Ok(users)
}

/// The system calls whose first argument is a descriptor, or, for `futex`, an address.
const CALLS: &[i64] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_mq_timedreceive,
    libc::SYS_mq_timedsend,
    libc::SYS_futex,
];

fn waits(call: i64, argument: u64, descriptors: &[Descriptor], mappings: &[Mapped]) -> Option<Use> {
    let is_ours = || descriptors.iter().any(|descriptor| descriptor.number == argument);
    match call {
        libc::SYS_read | libc::SYS_readv | libc::SYS_mq_timedreceive => {
            is_ours().then_some(Use::WaitsToReceive)
        }
        libc::SYS_write | libc::SYS_writev | libc::SYS_mq_timedsend => is_ours().then_some(Use::WaitsToSend),
        libc::SYS_futex => {
            let is_ours = mappings.iter().any(|mapped| (mapped.start..mapped.end).contains(&argument));
            is_ours.then_some(Use::WaitsForSemaphore)
        }
        _ => None,
    }
}

/// Those who wait for the other end of a FIFO have no descriptor of it yet.
fn add_openers(users: &mut Users, inode: Inode) -> Result<()> {
    for process in proc::processes()? {
        // Who may not be looked at was counted when descriptors were looked for.
        for blocked in process.blocked_in(OPENS).unwrap_or_default() {
            let [first, second] = blocked.arguments;
            let opening = match blocked.call {
                libc::SYS_openat => process.opening(first, second),
                _ => process.opening(libc::AT_FDCWD as u64, first),
            };
            if opening == Some(inode) {
                users.add(Some(process.pid), Use::WaitsToOpen);
            }
        }
    }
    Ok(())
}

/// `open` is a system call of its own on old architectures only.
#[cfg(target_arch = "x86_64")]
const OPENS: &[i64] = &[libc::SYS_openat, libc::SYS_open];
#[cfg(not(target_arch = "x86_64"))]
const OPENS: &[i64] = &[libc::SYS_openat];

fn add_locks(users: &mut Users, path: &Path) -> Result<()> {
    let found = lock::holders(path)?;
    users.unreadable = users.unreadable.max(found.unreadable);
    for holder in found.holders {
        users.add(holder.pid, Use::HoldsLock(holder.kind));
    }
    for waiter in found.waiters {
        users.add(waiter.pid, Use::WaitsForLock(waiter.kind));
    }
    Ok(())
}
