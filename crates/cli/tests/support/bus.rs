//! A bus of the test's own, and the tool on it.

#![allow(dead_code, reason = "each test file uses its part")]

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;
use twixt_testkit::{Child, TempDir};

use crate::tool::{Ended, end, twixt};

/// All of it goes when the test ends.
pub struct Bus(TempDir);

impl Bus {
    pub fn new() -> Self {
        Self(twixt_testkit::bus())
    }

    /// Its directory.
    pub fn path(&self) -> &std::path::Path {
        self.0.path()
    }

    /// The tool, with arguments that have no spaces in them.
    pub fn twixt(&self, line: &str) -> Command {
        self.on_it(twixt(line.split_ascii_whitespace()))
    }

    /// A command of the tool, on this bus.
    pub fn on_it(&self, mut command: Command) -> Command {
        command.env("TWIXT_BUS", self.0.path());
        command
    }

    pub fn run(&self, line: &str) -> Ended {
        end(self.twixt(line))
    }

    /// The same, with this on its standard input.
    pub fn feed(&self, line: &str, input: &str) -> Ended {
        let mut command = self.twixt(line);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub fn start(&self, line: &str) -> Child {
        Child::start(self.twixt(line))
    }

    /// Those who take part in a name; nobody if there is none.
    pub fn participants(&self, address: &str) -> Vec<Value> {
        let ended = self.run(&format!("stat --json {address}"));
        let line: Value = serde_json::from_str(&ended.stdout).unwrap_or_default();
        line["participants"].as_array().cloned().unwrap_or_default()
    }

    /// How many of a role are there.
    pub fn count(&self, address: &str, role: &str) -> usize {
        let is_here = |one: &Value| one["role"] == role && one["state"] == "here";
        self.participants(address).iter().filter(|one| is_here(one)).count()
    }

    /// Waits until so many of a role are there.
    #[track_caller]
    pub fn wait_for(&self, address: &str, role: &str, count: usize) {
        crate::process::until(&format!("{count} times {role}"), || self.count(address, role) == count);
    }
}

/// The numbers of a range, a line each.
pub fn lines(numbers: impl Iterator<Item = u64>) -> String {
    numbers.map(|number| format!("{number}\n")).collect()
}
