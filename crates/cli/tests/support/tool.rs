//! Running the real binary.

// Each test file uses its own part of this.
#![allow(dead_code)]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use twixt_testkit::Defer;

/// The binary, with nothing on its standard input.
pub fn twixt<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(arguments: I) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twixt"));
    command.args(arguments).stdin(Stdio::null()).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    command
}

/// How it ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

pub fn end(mut command: Command) -> Ended {
    let output = command.output().unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs a line of arguments that have no spaces in them.
pub fn run(line: &str) -> Ended {
    end(twixt(line.split_ascii_whitespace()))
}

impl Ended {
    /// It did what it was told, and had nothing to say beyond its result.
    #[track_caller]
    pub fn well(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:?}");
        self.stdout
    }

    /// It ended with this code, printed no result, and said this.
    #[track_caller]
    pub fn fails(self, code: i32, part: &str) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        assert!(self.stderr.contains(part), "{part:?} is not in {self:?}");
        self.stderr
    }
}

/// As user and group 65534, who own nothing.
pub fn as_nobody(mut command: Command) -> Command {
    command.uid(65534).gid(65534);
    command
}

/// Removes an object at the end of the test, whatever has become of it.
pub fn remove_at_end(address: &str) -> Defer<impl FnOnce() + use<>> {
    let address = address.to_owned();
    twixt_testkit::defer(move || drop(end(twixt(["rm", "--yes", &address]))))
}

/// A terminal: the user's side, and the program's.
pub fn terminal() -> (File, OwnedFd) {
    let user = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&user).unwrap();
    unlockpt(&user).unwrap();
    let name = ptsname(&user, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let program = rustix::fs::open(&name, flags, Mode::empty()).unwrap();
    (user.into(), program)
}

/// Runs it with a terminal for its input, on which the user types this.
pub fn typing(mut command: Command, typed: &str) -> Ended {
    let (mut user, program) = terminal();
    user.write_all(typed.as_bytes()).unwrap();
    command.stdin(program);
    end(command)
}

/// What it prints to a terminal.
pub fn printed_on_terminal(mut command: Command) -> String {
    let (mut user, program) = terminal();
    let mut child = command.stdout(program).spawn().unwrap();
    // The program's side lives in the command too; only when all copies are closed does reading end.
    drop(command);
    let mut text = Vec::new();
    // At the end a terminal gives EIO rather than nothing.
    let _ = user.read_to_end(&mut text);
    assert!(child.wait().unwrap().success());
    String::from_utf8(text).unwrap()
}
