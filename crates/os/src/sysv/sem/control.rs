//! Looking at a set and changing it from outside: `semctl(2)`.

use std::time::SystemTime;

use twixt_sys::sysv::sem as sys;

use crate::sysv::sem::{Set, Settings};
use crate::sysv::stat::{last_pid, last_time, time};
use crate::sysv::{self, Perm};
use crate::{Errno, ErrorKind, Result};

/// What the kernel tells about a set: `struct semid_ds`. The fields have the kernel's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "semid_ds")]
pub struct Stat {
    /// Who owns it and who may use it.
    pub perm: Perm,
    /// How many semaphores it has.
    #[doc(alias = "sem_nsems")]
    pub nsems: usize,
    /// When the last operation was done on it, to the second; `None` before the first.
    #[doc(alias = "sem_otime")]
    pub otime: Option<SystemTime>,
    /// When it was made, or its permissions or values were last set, to the second.
    #[doc(alias = "sem_ctime")]
    pub ctime: SystemTime,
}

impl From<sys::Stat> for Stat {
    fn from(stat: sys::Stat) -> Self {
        Self {
            perm: stat.perm.into(),
            nsems: stat.count,
            otime: last_time(stat.operated),
            ctime: time(stat.changed),
        }
    }
}

/// Looking and setting.
///
/// The errors that these share: [`PermissionDenied`](ErrorKind::PermissionDenied) (looking needs read permission,
/// setting values needs write permission, and the rest is for owner, creator and root),
/// [`Removed`](ErrorKind::Removed), and [`OutOfRange`](ErrorKind::OutOfRange) if the set has no semaphore of that number.
impl Set {
    /// The set's size, permissions and times: `IPC_STAT` of `semctl(2)`.
    ///
    /// # Errors
    /// [`PermissionDenied`](ErrorKind::PermissionDenied), [`Removed`](ErrorKind::Removed)
    #[doc(alias = "IPC_STAT")]
    #[doc(alias = "semctl")]
    pub fn stat(&self) -> Result<Stat> {
        sys::stat(self.id.as_raw()).map(Stat::from).map_err(|errno| self.fail("look at", errno))
    }

    /// The value of one semaphore: `GETVAL` of `semctl(2)`.
    ///
    /// # Errors
    /// [`PermissionDenied`](ErrorKind::PermissionDenied), [`Removed`](ErrorKind::Removed),
    /// [`OutOfRange`](ErrorKind::OutOfRange)
    #[doc(alias = "GETVAL")]
    #[doc(alias = "semctl")]
    pub fn value(&self, semaphore: u16) -> Result<u16> {
        let value = self.query(semaphore, sys::Query::Value)?;
        Ok(u16::try_from(value).unwrap_or(u16::MAX))
    }

    /// The values of all semaphores, as they were at one moment: `GETALL` of `semctl(2)`.
    ///
    /// # Errors
    /// [`PermissionDenied`](ErrorKind::PermissionDenied), [`Removed`](ErrorKind::Removed)
    #[doc(alias = "GETALL")]
    #[doc(alias = "semctl")]
    pub fn values(&self) -> Result<Vec<u16>> {
        let mut values = vec![0; self.stat()?.nsems];
        sys::values(self.id.as_raw(), &mut values).map_err(|errno| self.fail_all("look at", errno))?;
        Ok(values)
    }

    /// Sets one value, and wakes whoever can go on with it: `SETVAL` of `semctl(2)`.
    ///
    /// What processes would have undone to this semaphore ([`Operation::undo`](super::Operation::undo)) is forgotten.
    ///
    /// # Errors
    /// [`OutOfRange`](ErrorKind::OutOfRange) if the value is above 32767 (`SEMVMX`) or there is no such semaphore,
    /// [`PermissionDenied`](ErrorKind::PermissionDenied), [`Removed`](ErrorKind::Removed)
    #[doc(alias = "SETVAL")]
    #[doc(alias = "semctl")]
    pub fn set_value(&self, semaphore: u16, value: u16) -> Result<()> {
        sys::set_value(self.id.as_raw(), semaphore, value.into())
            .map_err(|errno| self.fail_number("set a value of", semaphore, errno))
    }

    /// Sets all values at once, one for each semaphore: `SETALL` of `semctl(2)`. Otherwise as [`Set::set_value`].
    ///
    /// # Errors
    /// As [`Set::set_value`], and [`InvalidInput`](ErrorKind::InvalidInput) if the set has another number of semaphores.
    /// Needs read permission, too.
    #[doc(alias = "SETALL")]
    #[doc(alias = "semctl")]
    pub fn set_values(&self, values: &[u16]) -> Result<()> {
        let count = self.stat()?.nsems;
        if count != values.len() {
            let why = format!("it has {count} semaphores, and {} values were given", values.len());
            return Err(self.refuse("set the values of", ErrorKind::InvalidInput, why));
        }
        sys::set_values(self.id.as_raw(), values).map_err(|errno| self.fail_all("set the values of", errno))
    }

    /// The process that last operated on the semaphore or set its value; `None` if none ever did: `GETPID` of
    /// `semctl(2)`.
    ///
    /// 0 stands for a process of another pid namespace that has no number here, and is `None` too.
    ///
    /// # Errors
    /// [`PermissionDenied`](ErrorKind::PermissionDenied), [`Removed`](ErrorKind::Removed),
    /// [`OutOfRange`](ErrorKind::OutOfRange)
    #[doc(alias = "GETPID")]
    #[doc(alias = "semctl")]
    #[doc(alias = "sempid")]
    pub fn last_pid(&self, semaphore: u16) -> Result<Option<i32>> {
        let pid = self.query(semaphore, sys::Query::LastPid)?;
        Ok(last_pid(pid))
    }

    /// How many threads wait for the value to grow: `GETNCNT` of `semctl(2)`.
    ///
    /// # Errors
    /// [`PermissionDenied`](ErrorKind::PermissionDenied), [`Removed`](ErrorKind::Removed),
    /// [`OutOfRange`](ErrorKind::OutOfRange)
    #[doc(alias = "GETNCNT")]
    #[doc(alias = "semctl")]
    #[doc(alias = "semncnt")]
    pub fn waiting_to_acquire(&self, semaphore: u16) -> Result<u32> {
        Ok(self.query(semaphore, sys::Query::WaitingToGrow)?.unsigned_abs())
    }

    /// How many threads wait for the value to be 0: `GETZCNT` of `semctl(2)`.
    ///
    /// # Errors
    /// [`PermissionDenied`](ErrorKind::PermissionDenied), [`Removed`](ErrorKind::Removed),
    /// [`OutOfRange`](ErrorKind::OutOfRange)
    #[doc(alias = "GETZCNT")]
    #[doc(alias = "semctl")]
    #[doc(alias = "semzcnt")]
    pub fn waiting_for_zero(&self, semaphore: u16) -> Result<u32> {
        Ok(self.query(semaphore, sys::Query::WaitingForZero)?.unsigned_abs())
    }

    /// Gives the set a new owner, group and mode: `IPC_SET` of `semctl(2)`. The creator stays and keeps its rights.
    ///
    /// # Errors
    /// [`PermissionDenied`](ErrorKind::PermissionDenied) unless owner, creator or root,
    /// [`Removed`](ErrorKind::Removed), [`InvalidInput`](ErrorKind::InvalidInput) for an unmapped user or group
    #[doc(alias = "IPC_SET")]
    #[doc(alias = "semctl")]
    pub fn set(&self, settings: Settings) -> Result<()> {
        let Settings { uid, gid, mode } = settings;
        sys::set_perm(self.id.as_raw(), uid, gid, mode.bits()).map_err(|errno| {
            sysv::failure::change(self.fail("change", errno), || sys::stat(self.id.as_raw()))
        })
    }

    /// Removes the set at once: `IPC_RMID` of `semctl(2)`. Whoever waits on it gets [`Removed`](ErrorKind::Removed), as
    /// does every later call.
    ///
    /// # Errors
    /// [`PermissionDenied`](ErrorKind::PermissionDenied) unless owner, creator or root,
    /// [`Removed`](ErrorKind::Removed) if it is gone already
    #[doc(alias = "IPC_RMID")]
    #[doc(alias = "semctl")]
    pub fn remove(&self) -> Result<()> {
        sys::remove(self.id.as_raw()).map_err(|errno| sysv::failure::for_owner(self.fail("remove", errno)))
    }

    fn query(&self, semaphore: u16, query: sys::Query) -> Result<i32> {
        sys::query(self.id.as_raw(), semaphore, query)
            .map_err(|errno| self.fail_number("look at", semaphore, errno))
    }

    /// As `fail`, for calls over all values: `EFAULT` says that the identifier stands for another, larger set now.
    fn fail_all(&self, operation: &'static str, errno: Errno) -> crate::Error {
        let error = self.fail(operation, errno);
        if errno == Errno::FAULT { error.with_kind(ErrorKind::Removed) } else { error }
    }
}
