//! A benchmark that is interrupted or killed leaves nothing behind.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use twixt_testkit::{Child, test};

const TWIXT: &str = env!("CARGO_BIN_EXE_twixt");

/// Longer than any test may take.
const LONG: &str = "3600000";

fn bench(pattern: &str, wait: &str) -> Command {
    let mut command = Command::new(TWIXT);
    let size = if pattern == "rtt" { "64" } else { "1k" };
    command.args(["bench", "unix", "--pattern", pattern, "--size", size, "--wait", wait]);
    command.args(["--repeat", "1", "--time", LONG, "--json"]);
    command
}

/// Waits until there is something.
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The parties of this conductor, whoever is their parent by now: their runs bear its number.
fn parties(conductor: i32) -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let run = format!("twixt-bench-{conductor}-");
    let is_party = |pid: &i32| {
        // Empty of one that has ended and only waits to be waited for.
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words);
        words.contains("bench-party") && words.contains(&run)
    };
    pids.filter(is_party).count()
}

/// The directories of its runs.
fn directories(conductor: i32) -> Vec<String> {
    let names = ["/dev/shm", "/tmp"].into_iter().filter_map(|place| fs::read_dir(place).ok()).flatten();
    let names = names.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with(&format!("twixt-bench-{conductor}-"))).collect()
}

/// One that is in the middle of it.
fn begun(pattern: &str, wait: &str) -> Child {
    let child = Child::start(bench(pattern, wait));
    let is_on = || parties(child.pid()) == 2 && !directories(child.pid()).is_empty();
    wait_for("a run", || is_on().then_some(()));
    child
}

#[test]
fn a_signal_ends_all_of_it() {
    let _test = test!();
    for signal in [Signal::INT, Signal::TERM] {
        for (pattern, wait) in [("rtt", "block"), ("throughput", "spin")] {
            let mut child = begun(pattern, wait);
            let pid = child.pid();
            child.signal(signal);
            let status = child.wait();
            assert_eq!(
                status.signal().or(status.code().map(|code| code - 128)),
                Some(signal.as_raw()),
                "{status}"
            );
            assert_eq!((parties(pid), directories(pid)), (0, Vec::new()));
        }
    }
}

#[test]
fn a_killed_one_takes_its_parties_with_it_and_the_next_tidies_up() {
    let _test = test!();
    let child = begun("rtt", "block");
    let pid = child.pid();
    child.kill();
    wait_for("the parties' end", || (parties(pid) == 0).then_some(()));
    let mut next = Command::new(TWIXT);
    next.args([
        "bench",
        "unix",
        "--pattern",
        "rtt",
        "--size",
        "64",
        "--repeat",
        "1",
        "--time",
        "1",
        "--json",
    ]);
    let output = next.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(directories(pid), Vec::<String>::new());
}
