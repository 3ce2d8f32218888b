//! What the kernel's refusals mean for a semaphore set.

use twixt_sys::sysv::sem as sys;

use crate::sysv;
use crate::sysv::sem::{MECHANISM, Set};
use crate::{Errno, Error, ErrorKind, Limit, Object};

/// The numbers of the sysctl `kernel.sem`, in their order there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Semmsl,
    Semmns,
    Semopm,
    Semmni,
}

impl Number {
    /// The limit, with its value now.
    pub(super) fn limit(self, needed: usize) -> Limit {
        let limit = Limit::sysctl("kernel.sem", self as usize).needed(needed as u64);
        let name = match self {
            Self::Semmsl => "kernel.sem[0] (SEMMSL)",
            Self::Semmns => "kernel.sem[1] (SEMMNS)",
            Self::Semopm => "kernel.sem[2] (SEMOPM)",
            Self::Semmni => "kernel.sem[3] (SEMMNI)",
        };
        Limit { name, ..limit }
    }

    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::Semmsl => "raise the first number of the sysctl kernel.sem, or make several smaller sets",
            Self::Semmns => {
                "raise the second number of the sysctl kernel.sem, or remove sets (ipcs -s, ipcrm -s)"
            }
            Self::Semopm => "raise the third number of the sysctl kernel.sem, or do it in several steps",
            Self::Semmni => {
                "raise the fourth number of the sysctl kernel.sem, or remove sets (ipcs -s, ipcrm -s)"
            }
        }
    }
}

pub(super) fn kernel(operation: &'static str, object: Object, errno: Errno) -> Error {
    Error::kernel(MECHANISM, operation, object, errno)
}

pub(super) fn refused(operation: &'static str, object: Object, kind: ErrorKind, why: String) -> Error {
    Error::refused(MECHANISM, operation, object, kind, why)
}

impl Set {
    /// A failed call that names no semaphore. The set was there once, so `EINVAL` means that it is no more.
    pub(super) fn fail(&self, operation: &'static str, errno: Errno) -> Error {
        let error = sysv::failure::on_object(MECHANISM, operation, self.object.clone(), errno);
        match errno {
            Errno::RANGE => error.with_advice("a semaphore counts from 0 to 32767 (SEMVMX)"),
            _ => error,
        }
    }

    /// A failed call that names a semaphore: `EINVAL` may be its number's.
    pub(super) fn fail_number(&self, operation: &'static str, number: u16, errno: Errno) -> Error {
        if errno == Errno::INVAL
            && let Ok(stat) = sys::stat(self.id.as_raw())
            && usize::from(number) >= stat.count
        {
            return self.no_semaphore(operation, number, errno);
        }
        self.fail(operation, errno)
    }

    /// A failed `semop(2)`.
    pub(super) fn fail_operation(
        &self,
        operation: &'static str,
        operations: &[sys::Operation],
        errno: Errno,
    ) -> Error {
        match errno {
            Errno::TOOBIG => kernel(operation, self.object.clone(), errno)
                .with_kind(ErrorKind::LimitReached)
                .with_limit(Number::Semopm.limit(operations.len()))
                .with_advice(Number::Semopm.advice()),
            Errno::FBIG => {
                let highest = operations.iter().map(|operation| operation.semaphore()).max();
                self.no_semaphore(operation, highest.unwrap_or(0), errno)
            }
            // POSIX has a limit on undo structures; Linux takes memory for them instead.
            Errno::NOSPC | Errno::NOMEM => kernel(operation, self.object.clone(), errno)
                .with_kind(ErrorKind::NoSpace)
                .with_advice("the kernel has no room for the operation or for what SEM_UNDO has to remember"),
            _ => self.fail(operation, errno),
        }
    }

    fn no_semaphore(&self, operation: &'static str, number: u16, errno: Errno) -> Error {
        match sys::stat(self.id.as_raw()) {
            Ok(stat) => {
                let why =
                    format!("there is no semaphore {number}; the set has {}, counted from 0", stat.count);
                refused(operation, self.object.clone(), ErrorKind::OutOfRange, why)
            }
            // The set may not be looked at.
            Err(_) => kernel(operation, self.object.clone(), errno)
                .with_kind(ErrorKind::OutOfRange)
                .with_advice("the set has no semaphore of that number; they are counted from 0"),
        }
    }
}
