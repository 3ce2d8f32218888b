//! Which process a segment belongs to, and whether it lives.
//!
//! A participant holds an exclusive open-file-description lock on its segment; the kernel drops it when the process is gone,
//! however it went. A *forked* child shares the description and would keep the lock: so the segment also says which process made
//! it, by number, start time and the namespace of the number, and one whose process is gone is dead, whoever has the lock.

use std::fs;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;

use twixt_os::Errno;
use twixt_sys::ofd_lock::{self, Kind};

/// A process, as others can tell it from all that came before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u64,
    /// In clock ticks since the machine started; 0 if it is not known.
    pub(crate) started: u64,
    /// The inode of the namespace that the number is of; 0 if it is not known.
    pub(crate) namespace: u64,
}

impl Process {
    /// The one that runs.
    pub(crate) fn this() -> Self {
        let pid = std::process::id();
        Self { pid: pid.into(), started: started(pid.into()).unwrap_or(0), namespace: namespace() }
    }

    /// Whether it has certainly gone. What cannot be seen from here has not.
    pub(crate) fn is_gone(self) -> bool {
        if self.pid == 0 || self.started == 0 || self.namespace == 0 || self.namespace != namespace() {
            return false;
        }
        match started(self.pid) {
            Some(started) => started != self.started,
            // Gone; or hidden, as by hidepid=, where nothing can be told.
            None => fs::metadata("/proc/self/stat").is_ok() && !is_hidden(self.pid),
        }
    }
}

/// Whether a process is there although its directory is not.
fn is_hidden(pid: u64) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) else { return true };
    !matches!(rustix::process::test_kill_process(pid), Err(Errno::SRCH))
}

fn namespace() -> u64 {
    fs::metadata("/proc/self/ns/pid").map_or(0, |stat| stat.ino())
}

/// Field 22 of `/proc/PID/stat`, which is the twentieth after the name in parentheses; 0, which is nobody's, of a zombie, which
/// does nothing any more. `None` if there is no such process to be seen.
fn started(pid: u64) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return Some(0);
    }
    fields.nth(18)?.parse().ok()
}

/// Takes the lock that says that this process lives. `false` if another has it.
///
/// # Errors
/// `ENOLCK` where the kernel keeps no more locks.
pub(crate) fn take(file: BorrowedFd<'_>) -> Result<bool, Errno> {
    match ofd_lock::set(file, Kind::Exclusive, 0, 0) {
        Ok(()) => Ok(true),
        Err(Errno::AGAIN | Errno::ACCESS) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Whether whoever holds a segment lives. `process` is who says to.
pub(crate) fn is_alive(file: BorrowedFd<'_>, process: Process) -> bool {
    match ofd_lock::get(file, Kind::Shared, 0, 0) {
        Ok(None) => false,
        Ok(Some(_)) => !process.is_gone(),
        // What cannot be asked is not dead.
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "it reads /proc")]
    fn this_process_is_there_and_an_impostor_is_not() {
        let this = Process::this();
        assert!(!this.is_gone());
        assert!(Process { started: this.started + 1, ..this }.is_gone());
        assert!(!Process { namespace: this.namespace + 1, started: 1, ..this }.is_gone());
        assert!(Process { pid: 0x3fff_fff0, started: 1, ..this }.is_gone());
    }
}
