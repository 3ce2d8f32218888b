//! What the tests of sockets share.

#![allow(dead_code, unused_imports, reason = "each test binary uses a part of it")]

mod outcome;

use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use twixt_os::unix::Address;
use twixt_os::{Error, ErrorKind};
use twixt_testkit::{Child, Spawn, unique_name};

pub use outcome::{error, kind, later, past, soon};

/// The number under which children inherit a socket: higher than any that this process has in use otherwise.
pub const INHERITED: i32 = 600;

/// Starts a child that inherits a descriptor.
pub fn hand(descriptor: impl Into<OwnedFd>, child: Spawn) -> Child {
    // What another test hands over under the same number at this moment must not be overwritten.
    static HANDING: Mutex<()> = Mutex::new(());
    let _handing = HANDING.lock().unwrap_or_else(PoisonError::into_inner);
    child.descriptor(descriptor.into(), INHERITED).spawn()
}

/// An abstract name that nobody else uses.
pub fn name() -> Address {
    Address::abstract_name(unique_name()).unwrap()
}

/// Sends with `send` until it would block.
pub fn fill(mut send: impl FnMut() -> Result<(), Error>) -> usize {
    for count in 0.. {
        if let Err(error) = send() {
            assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
            return count;
        }
    }
    unreachable!("something is full at last")
}
