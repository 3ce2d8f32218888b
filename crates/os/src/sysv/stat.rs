//! The kernel's records in terms of the standard library.

use std::time::{Duration, SystemTime};

/// A point of time in whole seconds.
pub(super) fn time(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let moved = if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    };
    moved.unwrap_or(SystemTime::UNIX_EPOCH)
}

/// When something was last done; 0 stands for never.
pub(super) fn last_time(seconds: i64) -> Option<SystemTime> {
    (seconds != 0).then(|| time(seconds))
}

/// Who last did something; 0 stands for nobody, and for a process that has no number in this PID namespace.
pub(super) fn last_pid(pid: i32) -> Option<i32> {
    (pid != 0).then_some(pid)
}
