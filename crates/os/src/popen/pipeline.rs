//! Commands joined by pipes.

use core::ops::BitOr;

use crate::Result;
use crate::pipe::{self, Reader, Writer};
use crate::popen::process::Process;
use crate::popen::{Command, Duplex, Input, Job, Output};

/// Commands that are about to run at the same time, the output of each joined to the input of the next by a pipe.
///
/// ```
/// use std::io::Read;
/// use twixt_os::popen::Command;
///
/// let mut sorted = (Command::program("printf").arg("b\nc\na\n")
///     | Command::program("sort")
///     | Command::program("head").arg("-n1"))
/// .read()?;
/// let mut first = String::new();
/// sorted.read_to_string(&mut first)?;
/// assert_eq!(first, "a\n");
/// assert!(sorted.close()?.success());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "it runs when it is told what to do with its streams"]
pub struct Pipeline {
    commands: Vec<Command>,
}

impl Pipeline {
    /// A pipeline of one.
    pub fn new(first: Command) -> Self {
        Self { commands: vec![first] }
    }

    /// Adds a command that reads what the last one writes.
    pub fn pipe(mut self, next: Command) -> Self {
        self.commands.push(next);
        self
    }

    /// Starts all commands, to read the standard output of the last.
    ///
    /// # Errors
    /// Those of [`Command::read`]. If one cannot be started, those before it are killed.
    pub fn read(self) -> Result<Output> {
        let (reader, theirs) = pipe::create()?;
        let job = self.start(None, Some(theirs))?;
        Ok(Output::new(reader, job))
    }

    /// Starts all commands, to write to the standard input of the first.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub fn write(self) -> Result<Input> {
        let (theirs, writer) = pipe::create()?;
        let job = self.start(Some(theirs), None)?;
        Ok(Input::new(writer, job))
    }

    /// Starts all commands, to write to the standard input of the first and read the standard output of the last.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub fn duplex(self) -> Result<Duplex> {
        let (their_input, writer) = pipe::create()?;
        let (reader, their_output) = pipe::create()?;
        let job = self.start(Some(their_input), Some(their_output))?;
        Ok(Duplex::new(writer, reader, job))
    }

    /// Starts all commands, connected to nothing of this process: what remains is to wait.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub fn run(self) -> Result<Job> {
        self.start(None, None)
    }

    fn start(self, mut input: Option<Reader>, mut output: Option<Writer>) -> Result<Job> {
        let kill_on_drop = self.commands.iter().any(|command| command.kill_on_drop);
        // Kills what has been started if something after it cannot be.
        let mut job = Job::new(true);
        let last = self.commands.len() - 1;
        for (place, mut command) in self.commands.into_iter().enumerate() {
            if let Some(input) = input.take() {
                command.inner.stdin(input);
            }
            if place < last {
                let (next_input, this_output) = pipe::create()?;
                command.inner.stdout(this_output);
                input = Some(next_input);
            } else if let Some(output) = output.take() {
                command.inner.stdout(output);
            }
            // The command, and with it this process's copies of its ends, are gone after this.
            job.add(Process::start(command)?);
        }
        job.set_kill_on_drop(kill_on_drop);
        Ok(job)
    }
}

/// `pipeline | c`, as in the shell.
impl BitOr<Command> for Pipeline {
    type Output = Self;

    fn bitor(self, next: Command) -> Self {
        self.pipe(next)
    }
}
