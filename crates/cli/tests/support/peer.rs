//! What the tests with real peers share: a receiver whose output is a file, and programs that run to their end.

#![allow(dead_code, reason = "each test file uses its part")]

use std::path::{Path, PathBuf};
use std::process::Command;

use twixt_testkit::{Child, Missing, command};

/// Where a receiver waits that listens: for connections, for datagrams, or on a queue.
#[cfg(target_arch = "x86_64")]
const RECEIVING: &[i64] = &[
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_recvmsg,
    libc::SYS_recvfrom,
    libc::SYS_msgrcv,
    libc::SYS_mq_timedreceive,
];
#[cfg(not(target_arch = "x86_64"))]
const RECEIVING: &[i64] =
    &[libc::SYS_epoll_pwait, libc::SYS_recvmsg, libc::SYS_msgrcv, libc::SYS_mq_timedreceive];

/// `twixt recv` in the background, with its output in a file.
pub struct Hearing {
    child: Child,
    output: PathBuf,
}

impl Hearing {
    /// Starts it, and waits until it can be sent to.
    pub fn start(directory: &Path, arguments: &[&str]) -> Self {
        let output = directory.join("received");
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "out=$1; shift; exec \"$0\" recv \"$@\" > \"$out\"",
            env!("CARGO_BIN_EXE_twixt"),
        ]);
        command.arg(&output).args(arguments);
        let child = Child::start(command);
        child.wait_until_blocked_in(RECEIVING);
        Self { child, output }
    }

    /// All that it has printed, once it has ended well by itself.
    #[track_caller]
    pub fn all(mut self) -> Vec<u8> {
        let status = self.child.wait();
        assert!(status.success(), "{status}");
        std::fs::read(&self.output).unwrap()
    }

    /// The same as text.
    #[track_caller]
    pub fn text(self) -> String {
        String::from_utf8(self.all()).unwrap()
    }
}

/// All of these commands are here.
pub fn commands(names: &[&str]) -> Result<(), Missing> {
    names.iter().try_for_each(|name| command(name))
}

/// Python with these modules.
pub fn python(modules: &[&str]) -> Result<(), Missing> {
    command("python3")?;
    for module in modules {
        let imported = Command::new("python3").args(["-c", &format!("import {module}")]).output();
        if !imported.is_ok_and(|output| output.status.success()) {
            return Err(Missing(format!("the Python module {module}")));
        }
    }
    Ok(())
}

/// A shell's pipeline, to its end.
pub fn shell(line: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", line]);
    command
}
