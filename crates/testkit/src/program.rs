//! Programs that know nothing of testkit.

use std::ffi::OsStr;
use std::process::Command;

use crate::Child;

/// What a command prints on its standard output, in the C locale. It must succeed.
pub fn output<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, arguments: &[S]) -> String {
    let program = program.as_ref();
    let output = Command::new(program).args(arguments).env("LC_ALL", "C").output();
    let output = output.unwrap_or_else(|error| panic!("{program:?}: {error}"));
    assert!(output.status.success(), "{program:?}: {output:?}");
    String::from_utf8(output.stdout).expect("output in UTF-8")
}

impl Child {
    /// Starts a program with these arguments, as [`Child::start`] does.
    pub fn program<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, arguments: &[S]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments);
        Self::start(command)
    }
}
