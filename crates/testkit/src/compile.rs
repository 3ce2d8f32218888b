//! C programs for the tests of interoperation.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Compiles a C program into `directory` and gives its path. `libraries` are linked, as in `["rt"]`.
///
/// A C compiler is among the things that this project requires, so its absence is a failure.
pub fn compile_c(directory: &Path, name: &str, source: &str, libraries: &[&str]) -> PathBuf {
    let program = directory.join(name);
    let mut command = Command::new("cc");
    command.args(["-std=gnu11", "-Wall", "-Werror", "-pthread", "-x", "c", "-", "-o"]).arg(&program);
    command.args(libraries.iter().map(|library| format!("-l{library}")));
    let mut compiler = command.stdin(Stdio::piped()).spawn().expect("a C compiler called cc");
    compiler.stdin.take().expect("piped above").write_all(source.as_bytes()).expect("the compiler reads");
    assert!(compiler.wait().expect("a child of this process").success(), "cc refused {name}");
    program
}
