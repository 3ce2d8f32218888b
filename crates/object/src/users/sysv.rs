//! Users of System V objects.

use twixt_os::sysv::{msg, sem, shm};

use super::{Use, Users, proc};
use crate::Result;
use crate::find::Inode;

pub(super) fn queue_users(id: msg::Id) -> Result<Users> {
    let mut users = waiters(
        id.as_raw(),
        &[(libc::SYS_msgsnd, Use::WaitsToSend), (libc::SYS_msgrcv, Use::WaitsToReceive)],
    )?;
    if let Some(queue) = msg::list()?.into_iter().find(|one| one.id == id) {
        add_last(&mut users, queue.stat.lspid, Use::LastSent);
        add_last(&mut users, queue.stat.lrpid, Use::LastReceived);
    }
    Ok(users)
}

pub(super) fn set_users(id: sem::Id) -> Result<Users> {
    let calls = [(libc::SYS_semop, Use::WaitsForSemaphore), (libc::SYS_semtimedop, Use::WaitsForSemaphore)];
    let mut users = waiters(id.as_raw(), &calls)?;
    let Some(listed) = sem::list()?.into_iter().find(|one| one.id == id) else { return Ok(users) };
    let outcome = look_at_semaphores(id, listed.stat.nsems, &mut users);
    users.hidden = outcome.err();
    Ok(users)
}

fn look_at_semaphores(id: sem::Id, count: usize, users: &mut Users) -> Result<()> {
    let set = sem::Set::open_id(id)?;
    let mut waiting = 0;
    for number in (0..=u16::MAX).take(count) {
        waiting += u64::from(set.waiting_to_acquire(number)?) + u64::from(set.waiting_for_zero(number)?);
        add_last(users, set.last_pid(number)?, Use::LastOperated);
    }
    users.counted = Some(waiting);
    Ok(())
}

pub(super) fn segment_users(id: shm::Id) -> Result<Users> {
    let mut users = Users::default();
    let number = u64::from(id.as_raw().unsigned_abs());
    for process in proc::processes()? {
        let mut unreadable = false;
        // The kernel gives the file behind a segment the identifier for its inode number, and this name.
        let is_it = |inode: &Inode, path: &str| inode.number == number && path.starts_with("/SYSV");
        let mappings = process.readable(process.mappings(is_it), &mut unreadable);
        users.unreadable += usize::from(unreadable);
        if mappings.is_empty() || !process.is_in_our_ipc_namespace() {
            continue;
        }
        for mapped in mappings {
            users.add(Some(process.pid), if mapped.writable { Use::Maps } else { Use::MapsReadOnly });
        }
    }
    users.counted = shm::list()?.into_iter().find(|one| one.id == id).map(|one| one.stat.nattch);
    Ok(users)
}

/// The processes that are blocked in one of these system calls on the object.
///
/// Those of a program for another processor architecture (of 32 bits, say) make calls of other numbers, and are not
/// seen.
fn waiters(id: i32, calls: &[(i64, Use)]) -> Result<Users> {
    let mut users = Users::default();
    let numbers: Vec<i64> = calls.iter().map(|(number, _)| *number).collect();
    for process in proc::processes()? {
        let mut unreadable = false;
        let found = process.readable(process.blocked_in(&numbers), &mut unreadable);
        users.unreadable += usize::from(unreadable);
        for blocked in found.iter().filter(|blocked| blocked.arguments[0] as i32 == id) {
            let waits = calls.iter().find(|(number, _)| *number == blocked.call);
            if let Some((_, waits)) = waits.filter(|_| process.is_in_our_ipc_namespace()) {
                users.add(Some(process.pid), *waits);
            }
        }
    }
    Ok(users)
}

fn add_last(users: &mut Users, pid: Option<i32>, one: Use) {
    if let Some(pid) = pid.filter(|pid| *pid > 0) {
        users.add(Some(pid), one);
    }
}
