//! `twixt serve` in the background, and what it says.

#![allow(dead_code, reason = "each test file uses its part")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use rustix::process::Signal;

use crate::process;
use crate::tool::twixt;

/// A service, and what it says on standard error.
pub struct Service {
    pub child: Child,
    said: Receiver<String>,
    /// What it says that it serves.
    pub name: String,
}

impl Service {
    /// Starts it and waits until it is ready.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, said) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut service = Self { child, said, name: String::new() };
        let ready = service.says("twixt: serving ");
        service.name = ready.trim_start_matches("twixt: serving ").to_owned();
        service
    }

    /// `twixt serve ARGUMENTS -- sh -c SCRIPT`
    pub fn of(arguments: &[&str], script: &str) -> Self {
        Self::start(twixt([&["serve"], arguments, &["--", "sh", "-c", script]].concat()))
    }

    #[track_caller]
    pub fn says(&self, part: &str) -> String {
        let line = self.said.recv_timeout(std::time::Duration::from_secs(60)).expect("it says something");
        assert!(line.contains(part), "{part:?} is not in {line:?}");
        line
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub fn signal(&self, signal: Signal) {
        assert!(process::signal(self.pid(), signal));
    }

    #[track_caller]
    pub fn ends(mut self, signal: Signal) {
        self.signal(signal);
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        assert_eq!(self.said.recv().ok(), None, "nothing else is said");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
