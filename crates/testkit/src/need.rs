//! What a test needs of the machine. What is missing is named, never passed over.

use core::fmt;
use std::process::{Command, Stdio};

/// What is missing, in words.
#[derive(Clone, Debug)]
pub struct Missing(pub String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "needs {}", self.0)
    }
}

/// Root, to become another user.
pub fn root() -> Result<(), Missing> {
    if rustix::process::geteuid().is_root() {
        Ok(())
    } else {
        Err(Missing("root, to run a process as another user".into()))
    }
}

/// A command on the path.
pub fn command(name: &str) -> Result<(), Missing> {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|directory| directory.join(name).is_file()));
    if found { Ok(()) } else { Err(Missing(format!("the command {name}"))) }
}

/// The command that runs another in IPC and mount namespaces of its own, where limits can be set and file systems
/// mounted: give it to [`Spawn::under`](crate::Spawn::under).
pub fn namespaces() -> Result<Vec<&'static str>, Missing> {
    let as_root = vec!["unshare", "--ipc", "--mount", "--"];
    let as_user = vec!["unshare", "--ipc", "--mount", "--map-root-user", "--"];
    [as_root, as_user]
        .into_iter()
        .find(|words| works(words))
        .ok_or_else(|| Missing("private IPC and mount namespaces (unshare --ipc --mount)".into()))
}

fn works(words: &[&str]) -> bool {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg("true").stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
