//! What a command inherits of the signals that are blocked here: nothing.

use twixt_os::popen::Command;
use twixt_os::signal::{Signal, SignalSet};
use twixt_testkit::test;

#[test]
fn a_command_blocks_no_signal() {
    let _test = test!();
    let _blocked = SignalSet::from([Signal::TERM, Signal::INT]).block().unwrap();
    let output = Command::program("grep").args(["SigBlk", "/proc/self/status"]).read().unwrap();
    let line = std::io::read_to_string(output).unwrap();
    assert_eq!(line.trim_start_matches("SigBlk:").trim(), "0000000000000000");
    let mut job = Command::shell("kill -TERM $$; exit 3").run().unwrap();
    let status = job.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(15));
}
