//! Deadlines and refusals, for the tests of all mechanisms.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::time::Duration;

use twixt_os::{Deadline, Error, ErrorKind, Result};

/// The error of what must fail, whatever it would have given.
pub fn error<T>(outcome: Result<T>) -> Error {
    match outcome {
        Ok(_) => panic!("it succeeded"),
        Err(error) => error,
    }
}

/// What kind of failure it was.
pub fn kind<T>(outcome: Result<T>) -> ErrorKind {
    error(outcome).kind()
}

/// A deadline that has passed.
pub fn past() -> Deadline {
    Deadline::now()
}

/// A deadline that is to pass.
pub fn soon() -> Deadline {
    Deadline::after(Duration::from_millis(30))
}

/// A deadline that must not pass.
pub fn later() -> Deadline {
    Deadline::after(Duration::from_secs(80))
}
