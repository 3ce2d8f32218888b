//! Real child processes that cannot outlive, block or silently fail the test.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, kill_process};

use crate::HANG;
use crate::test::{ARGUMENT, ROLE, SAID};

/// A child process about to be started: the test's own binary, in one role of one test.
#[derive(Debug)]
pub struct Spawn {
    role: String,
    test: String,
    arguments: Vec<String>,
    wrapper: Vec<String>,
    nobody: bool,
    descriptors: Vec<(OwnedFd, RawFd)>,
}

impl Spawn {
    pub(crate) fn new(test: &str, role: &str) -> Self {
        Self {
            role: role.to_owned(),
            test: test.to_owned(),
            arguments: Vec::new(),
            wrapper: Vec::new(),
            nobody: false,
            descriptors: Vec::new(),
        }
    }

    /// The next argument of the role.
    #[must_use]
    pub fn arg(mut self, argument: impl ToString) -> Self {
        self.arguments.push(argument.to_string());
        self
    }

    /// Runs the child by way of another command: `unshare --ipc`, `strace -f`, ...
    #[must_use]
    pub fn under<S: AsRef<str>>(mut self, wrapper: &[S]) -> Self {
        self.wrapper.extend(wrapper.iter().map(|word| word.as_ref().to_owned()));
        self
    }

    /// Runs the child as user and group 65534, who own nothing. Needs [`root`](crate::root).
    #[must_use]
    pub fn as_nobody(mut self) -> Self {
        self.nobody = true;
        self
    }

    /// Gives the child a descriptor under this number.
    #[must_use]
    pub fn descriptor(mut self, descriptor: OwnedFd, number: RawFd) -> Self {
        self.descriptors.push((descriptor, number));
        self
    }

    /// Starts it.
    pub fn spawn(self) -> Child {
        loop {
            let mut command = self.command();
            let copies = self
                .descriptors
                .iter()
                .map(|(descriptor, number)| (descriptor.try_clone().expect("a free descriptor"), *number));
            twixt_sys::spawn::pass_descriptors(&mut command, copies.collect())
                .expect("descriptor numbers that differ");
            match Child::try_start(command) {
                Ok(child) => return child,
                // Another test's thread has let go of one of the numbers just now, and the library got it.
                Err(error) if error.kind() == ErrorKind::ResourceBusy => {}
                Err(error) => panic!("{self:?}: {error}"),
            }
        }
    }

    pub(crate) fn command(&self) -> Command {
        let binary = env::current_exe().expect("the test's own binary");
        let mut words = self.wrapper.iter().map(Into::into).chain([binary.into_os_string()]);
        let mut command = Command::new(words.next().expect("at least the binary"));
        command.args(words).args([
            self.test.as_str(),
            "--exact",
            "--nocapture",
            "--include-ignored",
            "--test-threads=1",
        ]);
        command.env(ROLE, &self.role);
        for (index, argument) in self.arguments.iter().enumerate() {
            command.env(format!("{ARGUMENT}{index}"), argument);
        }
        if self.nobody {
            command.uid(65534).gid(65534);
        }
        command
    }
}

/// A running child process. Killed and waited for when dropped.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    said: VecDeque<String>,
}

impl Child {
    /// Starts any command, with its standard input and output in the test's hands.
    pub fn start(command: Command) -> Self {
        let name = command.get_program().to_owned();
        Self::try_start(command).unwrap_or_else(|error| panic!("{name:?}: {error}"))
    }

    fn try_start(mut command: Command) -> io::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        twixt_sys::spawn::die_with_parent(&mut command);
        let mut process = command.spawn()?;
        let stdin = process.stdin.take();
        let stdout = BufReader::new(process.stdout.take().expect("piped above"));
        Ok(Self { process, stdin, stdout, said: VecDeque::new() })
    }

    /// The process id.
    pub fn pid(&self) -> i32 {
        self.process.id().cast_signed()
    }

    /// Tells the child one line.
    pub fn tell(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("not closed yet");
        // In one piece: a child that needs no more than the first byte may be gone before a second one.
        stdin.write_all(format!("{line}\n").as_bytes()).expect("the child listens");
    }

    /// Closes the child's standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// The next line that the child says with [`Peer::say`](crate::Peer::say).
    pub fn hear(&mut self) -> String {
        loop {
            let line = self.line().unwrap_or_else(|| {
                panic!("the child ended ({:?}) and said nothing", self.process.try_wait())
            });
            if let Some(said) = line.strip_prefix(SAID) {
                return said.to_owned();
            }
        }
    }

    /// Waits until the child says something, which must be this.
    pub fn expect(&mut self, line: &str) {
        assert_eq!(self.hear(), line);
    }

    /// The next line of raw output, for programs that know nothing of testkit; `None` at its end.
    pub fn line(&mut self) -> Option<String> {
        if let Some(line) = self.said.pop_front() {
            return Some(line);
        }
        if self.stdout.buffer().is_empty() {
            wait_readable(&self.stdout);
        }
        let mut line = String::new();
        let read = self.stdout.read_line(&mut line).expect("readable output");
        (read > 0).then(|| line.trim_end_matches('\n').to_owned())
    }

    /// All output until its end.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.stdout.read_to_end(&mut bytes).expect("readable output");
        bytes
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.process);
        kill_process(pid, signal).expect("a child that was not waited for exists");
    }

    /// Stops it with SIGSTOP, and waits until all its threads stand still: the signal itself only asks for that.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
        let end = Instant::now() + HANG;
        while !stands_still(self.process.id()) {
            assert!(Instant::now() < end, "the child {} did not stop", self.pid());
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Kills it with SIGKILL and waits for its end.
    pub fn kill(mut self) {
        self.signal(Signal::KILL);
        assert_eq!(self.wait().signal(), Some(Signal::KILL.as_raw()));
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + HANG;
        loop {
            if let Some(status) = self.process.try_wait().expect("a child of this process") {
                return status;
            }
            assert!(Instant::now() < end, "the child {} did not end", self.pid());
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Closes its standard input and waits until it ends, which must be with success.
    pub fn succeed(mut self) {
        self.stdin = None;
        let status = self.wait();
        assert!(status.success(), "the child ended with {status}");
    }

    /// Waits until the kernel shows the main thread, or the thread of the test role, asleep in this system call.
    ///
    /// `numbers` are system call numbers, as `/proc/PID/task/TID/syscall` shows them.
    pub fn wait_until_blocked_in(&self, numbers: &[i64]) {
        wait_until_blocked_in(self.process.id(), numbers);
    }
}

/// Waits until the kernel shows a thread of a process asleep in one of these system calls.
///
/// `numbers` are system call numbers, as `/proc/PID/task/TID/syscall` shows them.
pub fn wait_until_blocked_in(pid: u32, numbers: &[i64]) {
    let end = Instant::now() + HANG;
    while !is_blocked_in(pid, numbers) {
        assert!(Instant::now() < end, "process {pid} never blocked in any of {numbers:?}");
        assert!(!is_dead(pid), "process {pid} ended and never blocked in any of {numbers:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Whether each thread is stopped.
fn stands_still(pid: u32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads.flatten().all(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, fields)| fields.starts_with('T'))
    })
}

/// Whether it has ended and only waits to be waited for.
fn is_dead(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, fields)| fields.starts_with('Z'))
}

fn is_blocked_in(pid: u32, numbers: &[i64]) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads.flatten().any(|thread| {
        let call = std::fs::read_to_string(thread.path().join("syscall")).unwrap_or_default();
        let number = call.split(' ').next().and_then(|word| word.parse().ok());
        number.is_some_and(|number| numbers.contains(&number))
    })
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn wait_readable(from: &BufReader<ChildStdout>) {
    let mut polled = [PollFd::from_borrowed_fd(from.get_ref().as_fd(), PollFlags::IN)];
    let timeout = rustix::event::Timespec { tv_sec: HANG.as_secs().cast_signed(), tv_nsec: 0 };
    let end = Instant::now() + HANG;
    while Instant::now() < end {
        match poll(&mut polled, Some(&timeout)) {
            Ok(0) => break,
            Ok(_) => return,
            Err(_interrupted) => {}
        }
    }
    panic!("the child says nothing and does not end");
}
