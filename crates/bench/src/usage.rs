//! What a process has used.

use core::ops::{Add, Sub};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use twixt_sys::usage::context_switches;

/// What a process has used of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Processor time, in nanoseconds.
    pub cpu_ns: u64,
    /// How often it gave up the CPU, in order to wait.
    pub voluntary: u64,
    /// How often another was given its CPU.
    pub involuntary: u64,
}

impl Usage {
    /// What this process has used so far.
    pub fn now() -> Self {
        let (voluntary, involuntary) = context_switches();
        Self { cpu_ns: nanoseconds(ClockId::ProcessCPUTime), voluntary, involuntary }
    }
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns.saturating_sub(earlier.cpu_ns),
            voluntary: self.voluntary.saturating_sub(earlier.voluntary),
            involuntary: self.involuntary.saturating_sub(earlier.involuntary),
        }
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns + other.cpu_ns,
            voluntary: self.voluntary + other.voluntary,
            involuntary: self.involuntary + other.involuntary,
        }
    }
}

/// The monotonic clock, the same for all processes.
#[inline]
pub(crate) fn now_ns() -> u64 {
    nanoseconds(ClockId::Monotonic)
}

#[inline]
fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}
