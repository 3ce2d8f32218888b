//! Messages that were taken and could not be delivered, kept in a file: none of them may be lost.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Keeps bytes in a new file of the first directory that takes them: `$TMPDIR`, the current one, `/tmp`. The file has
/// the command's name in its own, and only its owner can read it. The error says why no directory takes it.
pub fn keep(command: &str, bytes: &[u8]) -> Result<PathBuf, String> {
    let directories = [
        std::env::var_os("TMPDIR").filter(|name| !name.is_empty()).map(PathBuf::from),
        std::env::current_dir().ok(),
        Some(PathBuf::from("/tmp")),
    ];
    let mut failures = Vec::new();
    let mut tried: Vec<PathBuf> = Vec::new();
    for directory in directories.into_iter().flatten() {
        if tried.contains(&directory) {
            continue;
        }
        match keep_in(&directory, command, bytes) {
            Ok(path) => return Ok(path),
            Err(error) => failures.push(format!("{} takes no file ({error})", directory.display())),
        }
        tried.push(directory);
    }
    Err(failures.join(", "))
}

fn keep_in(directory: &Path, command: &str, bytes: &[u8]) -> io::Result<PathBuf> {
    let id = std::process::id();
    let mut number = 1;
    loop {
        let path = directory.join(format!("twixt-{command}-{id}-{number}"));
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(mut file) => {
                let kept = file.write_all(bytes).and_then(|()| file.sync_all());
                if kept.is_err() {
                    // Half of it is of no use, and takes room that is scarce.
                    let _ = std::fs::remove_file(&path);
                }
                return kept.map(|()| path);
            }
            // An earlier process of this number has left one.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 10_000 => number += 1,
            Err(error) => return Err(error),
        }
    }
}
