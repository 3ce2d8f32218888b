//! Looking at processes from outside.

#![allow(dead_code)]

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Until this holds; a test that waits in vain must fail.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Sends a signal; whether there was somebody to get it.
pub fn signal(pid: i32, signal: Signal) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| kill_process(pid, signal).is_ok())
}

/// The letter of its state: R, S, T, Z, ...; none if it is no more.
pub fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Whether it runs: is there, and does not only wait to be waited for.
pub fn lives(pid: i32) -> bool {
    state(pid).is_some_and(|state| state != 'Z')
}

/// Its children that live, whichever of its threads has started them.
pub fn children(pid: i32) -> Vec<i32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let listed = threads.flatten().map(|thread| fs::read_to_string(thread.path().join("children")));
    let listed: Vec<String> = listed.map(Result::unwrap_or_default).collect();
    let numbers =
        listed.iter().flat_map(|list| list.split_whitespace()).filter_map(|child| child.parse().ok());
    numbers.filter(|child| lives(*child)).collect()
}

/// Its command line, with spaces between the words.
pub fn command_line(pid: i32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}
