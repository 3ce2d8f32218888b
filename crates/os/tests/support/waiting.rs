//! What a call costs that has to wait: the system calls of a traced child, woken each time once it is seen asleep.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write, pipe};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;

use twixt_os::inherit::inherited;
use twixt_testkit::{Missing, Spawn, strace};

/// Above all numbers that a test itself uses.
const NUMBER: i32 = 490;

/// How a role tells that it has waited.
pub struct Turns {
    told: File,
    pid: [u8; 4],
}

impl Turns {
    /// To be made before the first wait.
    pub fn begin() -> Self {
        let pid = std::process::id().to_ne_bytes();
        let mut turns = Self { told: inherited(NUMBER).unwrap().into(), pid };
        turns.done();
        turns
    }

    /// It has waited once more. One `write`.
    pub fn done(&mut self) {
        self.told.write_all(&self.pid).unwrap();
    }
}

/// What it costs more to play a role for 200 rounds than for 100. In each round it waits once in one of these system
/// calls, is woken with `wake`, which learns its process id, and says so with [`Turns::done`].
pub fn cost(
    role: impl Fn(u64) -> Spawn,
    asleep_in: &'static [i64],
    wake: impl Fn(i32) + Clone + Send + 'static,
) -> Result<BTreeMap<String, u64>, Missing> {
    let cost = strace::cost(|rounds| {
        let (mut turns, its_end) = pipe().unwrap();
        let wake = wake.clone();
        thread::spawn(move || {
            let mut pid = [0; 4];
            for _ in 0..rounds {
                turns.read_exact(&mut pid).unwrap();
                let pid = i32::from_ne_bytes(pid);
                until_asleep_in(pid, asleep_in);
                wake(pid);
            }
            // The role's last turn.
            _ = turns.read_to_end(&mut Vec::new());
        });
        role(rounds).descriptor(OwnedFd::from(its_end), NUMBER)
    });
    // `poll` is another call on machines that lack it.
    cost.map(|mut cost| {
        if let Some(polls) = cost.remove("ppoll") {
            *cost.entry("poll".to_owned()).or_default() += polls;
        }
        cost
    })
}

/// Returns once a thread of the process sleeps in one of these calls.
pub fn until_asleep_in(pid: i32, calls: &[i64]) {
    while !is_asleep_in(pid, calls) {
        thread::sleep(Duration::from_micros(100));
    }
}

/// Whether a thread of the process sleeps in one of these calls. One that its tracer has stopped on the way into the call
/// does not yet.
fn is_asleep_in(pid: i32, calls: &[i64]) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads.flatten().any(|thread| {
        let read = |file| fs::read_to_string(thread.path().join(file)).unwrap_or_default();
        let in_call = || {
            let number = read("syscall").split(' ').next().and_then(|word| word.parse().ok());
            number.is_some_and(|number| calls.contains(&number))
        };
        let sleeps = || read("stat").rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" S"));
        in_call() && sleeps()
    })
}
