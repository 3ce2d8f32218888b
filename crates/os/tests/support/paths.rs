//! What the tests of Unix sockets' paths share.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use twixt_os::unix::{Address, BindOptions, StreamListener};
use twixt_os::{Mode, Wait};
use twixt_testkit::Test;

use crate::support::later;

pub fn at(path: &Path) -> Address {
    Address::path(path).unwrap()
}

pub fn mode(bits: u32) -> Mode {
    Mode::new(bits).unwrap()
}

/// Returns what leaves a socket file behind. To be called before anything else, since it is a role of the test.
///
/// The server is a process of its own: any child that another test just forks off would have a copy of a socket of this
/// process, until it executes its program.
pub fn stale(test: &Test) -> impl Fn(&Path) {
    test.role("leave", |peer| drop(StreamListener::bind(&peer.arg(0).parse().unwrap()).unwrap()));
    let test = test.clone();
    move |path| {
        test.child("leave").arg(path.display()).spawn().succeed();
        assert!(fs::symlink_metadata(path).unwrap().file_type().is_socket());
    }
}

/// The names in a directory.
pub fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub fn taking_over() -> BindOptions {
    BindOptions::new().take_over_stale(Wait::until(later()))
}
