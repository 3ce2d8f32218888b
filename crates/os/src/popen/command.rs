//! A command that is about to run.

use core::ops::BitOr;
use std::ffi::OsStr;
use std::os::fd::{OwnedFd, RawFd};
use std::path::Path;
use std::process::Stdio;

use crate::inherit::PassDescriptors;
use crate::popen::{Duplex, Input, Job, Output, Pipeline};
use crate::{Object, Result};

/// A command that is about to run: a line for the shell, or a program with its arguments.
///
/// Like that of the standard library, which is inside, it inherits this process's environment and directory, and
/// those of its standard streams that are not connected. In the command SIGPIPE has its default disposition and no
/// signal is blocked.
///
/// ```
/// use std::io::Write;
/// use twixt_os::popen::Command;
///
/// let mut od = Command::program("od").arg("-c").stdout(std::process::Stdio::null()).write()?;
/// od.write_all(b"Once upon a time, there was ...\n")?;
/// assert!(od.close()?.success());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "it runs when it is told what to do with its streams"]
pub struct Command {
    pub(super) inner: std::process::Command,
    pub(super) object: Object,
    pub(super) kill_on_drop: bool,
}

impl Command {
    /// A line that `/bin/sh -c` interprets, with all that a shell does: pipes, patterns, variables.
    ///
    /// Whatever goes into the line is executed. Never build it from names or text that come from elsewhere: pass
    /// those as arguments to a [`program`](Self::program).
    #[doc(alias = "popen")]
    #[doc(alias = "system")]
    pub fn shell(line: impl AsRef<OsStr>) -> Self {
        let line = line.as_ref();
        let mut inner = std::process::Command::new("/bin/sh");
        // Without the dashes, a line that begins with one would be taken for an option.
        inner.args(["-c", "--"]).arg(line);
        Self { inner, object: Object::name(line.to_string_lossy()), kill_on_drop: false }
    }

    /// A program, looked for in `PATH` unless its name has a slash. Its arguments are taken as they are.
    pub fn program(program: impl AsRef<OsStr>) -> Self {
        let program = program.as_ref();
        let inner = std::process::Command::new(program);
        Self { inner, object: Object::name(program.to_string_lossy()), kill_on_drop: false }
    }

    /// One more argument. A shell line has them as `$0`, `$1`, ...
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.inner.arg(argument);
        self
    }

    /// More arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.inner.args(arguments);
        self
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.inner.env(name, value);
        self
    }

    /// The directory that it starts in.
    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.inner.current_dir(directory);
        self
    }

    /// Its standard input, where that is not connected to this process or another command.
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.inner.stdin(stdin);
        self
    }

    /// Its standard output, where that is not connected to this process or another command.
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.inner.stdout(stdout);
        self
    }

    /// Its standard error, which is never connected.
    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.inner.stderr(stderr);
        self
    }

    /// Has it start with other descriptors too: [`PassDescriptors::pass_descriptors`].
    ///
    /// # Errors
    /// Those of [`PassDescriptors::pass_descriptors`].
    pub fn pass_descriptors<D: Into<OwnedFd>>(
        mut self,
        descriptors: impl IntoIterator<Item = (D, RawFd)>,
    ) -> Result<Self> {
        self.inner.pass_descriptors(descriptors)?;
        Ok(self)
    }

    /// Has it killed with SIGKILL and reaped if the stream, or the [`Job`], is dropped before it has ended.
    pub fn kill_on_drop(mut self) -> Self {
        self.kill_on_drop = true;
        self
    }

    /// Has the kernel kill it with SIGKILL when the thread ends that starts it, however that ends. What it has started itself
    /// lives on.
    pub fn die_with_parent(mut self) -> Self {
        twixt_sys::spawn::die_with_parent(&mut self.inner);
        self
    }

    /// The standard library's command inside, for what has no method here.
    pub fn as_std_mut(&mut self) -> &mut std::process::Command {
        &mut self.inner
    }

    /// Connects its output to the input of another: `self | next`.
    pub fn pipe(self, next: Self) -> Pipeline {
        Pipeline::new(self).pipe(next)
    }

    /// Starts it to read its standard output: `popen(line, "r")`.
    ///
    /// # Errors
    /// * [`NotFound`](crate::ErrorKind::NotFound), [`PermissionDenied`](crate::ErrorKind::PermissionDenied): there
    ///   is no such program, or it is not executable. Not so for a command that the *shell* does not find: then
    ///   the shell ends with status 127 (or 126).
    /// * [`TooLong`](crate::ErrorKind::TooLong): arguments and environment exceed what `execve(2)` takes.
    /// * [`LimitReached`](crate::ErrorKind::LimitReached): `RLIMIT_NOFILE` or `RLIMIT_NPROC`.
    pub fn read(self) -> Result<Output> {
        Pipeline::new(self).read()
    }

    /// Starts it to write to its standard input: `popen(line, "w")`.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub fn write(self) -> Result<Input> {
        Pipeline::new(self).write()
    }

    /// Starts it to write to its standard input and read its standard output.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub fn duplex(self) -> Result<Duplex> {
        Pipeline::new(self).duplex()
    }

    /// Starts it, connected to nothing of this process: what remains is to wait.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub fn run(self) -> Result<Job> {
        Pipeline::new(self).run()
    }
}

/// `a | b`, as in the shell.
impl BitOr for Command {
    type Output = Pipeline;

    fn bitor(self, next: Self) -> Pipeline {
        self.pipe(next)
    }
}
