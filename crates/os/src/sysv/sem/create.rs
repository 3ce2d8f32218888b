//! Finding, making and initialising sets.

use twixt_sys::sysv::sem as sys;

use crate::sysv::sem::error::{Number, kernel, refused};
use crate::sysv::sem::{Id, MAX_VALUE, MECHANISM, Operation, Set};
use crate::sysv::{self, Key};
use crate::{Errno, Error, ErrorKind, Mode, Result, Wait};

/// Making and initialising in one, without a race: see [the module](crate::sysv::sem).
impl Set {
    /// Makes the set and gives it its initial values, one for each semaphore: `semget(2)`, `semop(2)`. The key must
    /// have none yet.
    ///
    /// A set that could not be initialised is removed again.
    ///
    /// # Errors
    /// Those of [`Set::create`]; [`OutOfRange`](ErrorKind::OutOfRange) if a value is above 32767 (`SEMVMX`);
    /// [`PermissionDenied`](ErrorKind::PermissionDenied) if `mode` denies the creator itself to write.
    #[doc(alias = "semget")]
    pub fn create_with(key: Key, values: &[u16], mode: Mode) -> Result<Self> {
        create_filled(key, values, mode, "create")
    }

    /// Opens the set that the key leads to once it is initialised, or makes and initialises it: `semget(2)`,
    /// `semop(2)`.
    ///
    /// However many processes do this at the same time, all get the same set, and it is given its values once. With
    /// [`Key::PRIVATE`] it always makes one.
    ///
    /// # Errors
    /// - Those of [`Set::create_with`], except that the set may exist
    /// - [`InvalidInput`](ErrorKind::InvalidInput) if the set exists and does not have exactly `values.len()` semaphores
    /// - [`TimedOut`](ErrorKind::TimedOut) (or [`WouldBlock`](ErrorKind::WouldBlock), or
    ///   [`Interrupted`](ErrorKind::Interrupted), as the wait says): it exists, and nobody has initialised it. What to
    ///   do then is told [above](crate::sysv::sem#initialisation-without-a-race).
    /// - [`PermissionDenied`](ErrorKind::PermissionDenied) if the existing set may not be read
    #[doc(alias = "semget")]
    pub fn open_or_create_with(key: Key, values: &[u16], mode: Mode, wait: impl Into<Wait>) -> Result<Self> {
        let wait = wait.into();
        loop {
            match create_filled(key, values, mode, "open or create") {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                // Somebody removed it before it had its values.
                Err(error) if error.kind() == ErrorKind::Removed => continue,
                outcome => return outcome,
            }
            match Self::open_initialised(key, values.len(), wait) {
                // It went between the two attempts.
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Removed) => {}
                outcome => return outcome,
            }
        }
    }

    /// Opens the set that the key leads to, which must have exactly `count` semaphores, once it is initialised:
    /// `semget(2)`, and `IPC_STAT` of `semctl(2)` until `sem_otime` is not 0.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if the key has no set, [`Removed`](ErrorKind::Removed) if it is removed
    /// meanwhile, and otherwise those of [`Set::open_or_create_with`].
    #[doc(alias = "semget")]
    #[doc(alias = "sem_otime")]
    pub fn open_initialised(key: Key, count: usize, wait: impl Into<Wait>) -> Result<Self> {
        let set = Self::open(key)?;
        let initialised = wait.into().with_backoff(|| {
            let stat = sys::stat(set.id.as_raw())?;
            if stat.count != count {
                return Ok(Err(stat.count));
            }
            // No operation yet, so no initialisation yet.
            if stat.operated == 0 { Err(Errno::AGAIN) } else { Ok(Ok(())) }
        });
        match initialised {
            Ok(Ok(())) => Ok(set),
            Ok(Err(actual)) => Err(set.other_size("open", actual, count)),
            Err(errno @ (Errno::AGAIN | Errno::TIMEDOUT)) => Err(set.uninitialised(errno)),
            Err(errno) => Err(set.fail("open", errno)),
        }
    }

    /// Gives a set that was [made](Set::create) without values its values, which opens it to those who wait for that.
    ///
    /// Only the creator may do this, or the one process that knows that the creator is gone.
    ///
    /// # Errors
    /// - [`Busy`](ErrorKind::Busy) if a value is not 0: the set has its values already
    /// - [`InvalidInput`](ErrorKind::InvalidInput) if the set does not have exactly `values.len()` semaphores
    /// - [`OutOfRange`](ErrorKind::OutOfRange) if a value is above 32767 (`SEMVMX`)
    /// - [`PermissionDenied`](ErrorKind::PermissionDenied), [`Removed`](ErrorKind::Removed)
    pub fn initialise(&self, values: &[u16]) -> Result<()> {
        check_values(values).map_err(|why| self.refuse("initialise", ErrorKind::OutOfRange, why))?;
        let stat = self.stat()?;
        if stat.nsems != values.len() {
            return Err(self.other_size("initialise", stat.nsems, values.len()));
        }
        let busy = || {
            let why = "it was initialised or used already".to_owned();
            Err(self.refuse("initialise", ErrorKind::Busy, why))
        };
        if stat.otime.is_some() || self.values()?.iter().any(|value| *value != 0) {
            return busy();
        }
        match self.fill(values, &every_zero(values.len())) {
            Err(Errno::AGAIN) => busy(),
            outcome => outcome.map_err(|errno| self.fail("initialise", errno)),
        }
    }

    /// Whether the set was initialised, or used: whether any operation was ever done on it.
    ///
    /// Sets that are never given values by an operation, such as those of `ipcmk -S`, are not until their first use.
    ///
    /// # Errors
    /// [`PermissionDenied`](ErrorKind::PermissionDenied), [`Removed`](ErrorKind::Removed)
    pub fn is_initialised(&self) -> Result<bool> {
        Ok(self.stat()?.otime.is_some())
    }

    /// Removes the set that the key leads to if it bears no trace of use: no operation was ever done on it, all values
    /// are 0, nobody ever set one, and nobody waits on it. Tells whether it did.
    ///
    /// For those whom [`Set::open_or_create_with`] has told that a set was never initialised. Processes that do this
    /// at the same time cannot hurt each other, since each removes the set that it looked at (by its identifier) and
    /// not another that has its key by then. A creator that was stopped and not killed finds its set removed and
    /// starts again, unless it goes on in the instant between the look and the removal: then its set is removed as it
    /// comes into use, and those who use it are told ([`Removed`](ErrorKind::Removed)). Wait longer than creators can
    /// be stopped.
    ///
    /// # Errors
    /// [`PermissionDenied`](ErrorKind::PermissionDenied): only owner and creator (and root) may remove a set. That
    /// there is no set is no error.
    pub fn discard_uninitialised(key: Key) -> Result<bool> {
        let operation = "discard the uninitialised";
        let set = match get(key, 0, sys::GetFlags::empty(), 0, operation) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            set => set?,
        };
        match set.remove_if_untouched() {
            Err(Errno::INVAL | Errno::IDRM) => Ok(false),
            outcome => outcome.map_err(|errno| set.fail(operation, errno)),
        }
    }

    fn remove_if_untouched(&self) -> Result<bool, Errno> {
        let untouched = self.is_untouched()?;
        if untouched {
            sys::remove(self.id.as_raw())?;
        }
        Ok(untouched)
    }

    fn is_untouched(&self) -> Result<bool, Errno> {
        let id = self.id.as_raw();
        let stat = sys::stat(id)?;
        if stat.operated != 0 {
            return Ok(false);
        }
        let count = u16::try_from(stat.count).unwrap_or(u16::MAX);
        for number in 0..count {
            for query in [
                sys::Query::Value,
                sys::Query::LastPid,
                sys::Query::WaitingToGrow,
                sys::Query::WaitingForZero,
            ] {
                if sys::query(id, number, query)? != 0 {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Adds the values to a new set's zeroes, after the `tests`, by one operation where the kernel takes so many at
    /// once. That sets `sem_otime`.
    fn fill(&self, values: &[u16], tests: &[Operation]) -> Result<(), Errno> {
        let id = self.id.as_raw();
        let add = |(number, value): (u16, &u16)| Operation::new(number, value.cast_signed()).no_wait();
        let additions = (0..=u16::MAX).zip(values).filter(|(_, value)| **value != 0).map(add);
        let mut operations: Vec<_> = tests.iter().copied().chain(additions).collect();
        if operations.is_empty() {
            // All are zero. They are so already, but an operation has to be done.
            operations.push(Operation::wait_for_zero(0).no_wait());
        }
        // Operations reach the first 65536 semaphores only.
        let reached = values.len() <= usize::from(u16::MAX) + 1;
        match if reached { sys::operate(id, &operations, None) } else { Err(Errno::TOOBIG) } {
            Err(Errno::TOOBIG) => {
                // The first value is left for the operation that ends the initialisation.
                let (first, rest) = values.split_first().unwrap_or((&0, &[]));
                let rest: Vec<_> = [0].iter().chain(rest).copied().collect();
                sys::set_values(id, &rest)?;
                sys::operate(id, &[add((0, first))], None)
            }
            done => done,
        }
    }

    fn uninitialised(&self, errno: Errno) -> Error {
        let kind = if errno == Errno::AGAIN { ErrorKind::WouldBlock } else { ErrorKind::TimedOut };
        let why = format!("it exists (id {}) and nobody has initialised it", self.id);
        self.refuse("open", kind, why).with_advice(
            "if its creator died, discard it and create it again (ipcrm -s, Set::discard_uninitialised)",
        )
    }

    fn other_size(&self, operation: &'static str, actual: usize, wanted: usize) -> Error {
        let why = format!("it has {actual} semaphores, not {wanted}");
        self.refuse(operation, ErrorKind::InvalidInput, why)
    }

    pub(super) fn refuse(&self, operation: &'static str, kind: ErrorKind, why: String) -> Error {
        refused(operation, self.object.clone(), kind, why)
    }
}

/// Makes a set and gives it its values, or leaves none behind.
fn create_filled(key: Key, values: &[u16], mode: Mode, operation: &'static str) -> Result<Set> {
    check_values(values).map_err(|why| refused(operation, key.into(), ErrorKind::OutOfRange, why))?;
    let set =
        get(key, values.len(), sys::GetFlags::CREATE | sys::GetFlags::EXCLUSIVE, mode.bits(), operation)?;
    match set.fill(values, &[]) {
        // Refused because somebody gave without waiting for the initialisation: that was an operation, too.
        Ok(()) | Err(Errno::AGAIN) => Ok(set),
        Err(errno) => {
            let _ = sys::remove(set.id.as_raw());
            Err(set.fail(operation, errno))
        }
    }
}

/// Operations that find out, as one, whether all values are 0.
fn every_zero(count: usize) -> Vec<Operation> {
    let numbers = (0..=u16::MAX).take(count);
    numbers.map(|number| Operation::wait_for_zero(number).no_wait()).collect()
}

/// `semget(2)`.
pub(super) fn get(
    key: Key,
    count: usize,
    flags: sys::GetFlags,
    mode: u32,
    operation: &'static str,
) -> Result<Set> {
    let create = flags.contains(sys::GetFlags::CREATE);
    if create && count == 0 {
        let why = "a set has at least one semaphore".to_owned();
        return Err(refused(operation, key.into(), ErrorKind::InvalidInput, why));
    }
    if key.is_private() && !create {
        return Err(sysv::failure::private_key(MECHANISM, operation));
    }
    // More than fits is more than any limit, and so is the highest that does.
    let raw_count = i32::try_from(count).unwrap_or(i32::MAX);
    match sys::get(key.as_raw(), raw_count, flags, mode) {
        Ok(id) => Ok(Set::new(Id::given(id), key)),
        Err(errno) => Err(refusal(key, count, create, operation, errno)),
    }
}

/// What `semget(2)` means by an errno.
fn refusal(key: Key, count: usize, create: bool, operation: &'static str, errno: Errno) -> Error {
    let error = kernel(operation, key.into(), errno);
    let limited = |number: Number, needed| {
        kernel(operation, key.into(), errno)
            .with_kind(ErrorKind::LimitReached)
            .with_limit(number.limit(needed))
            .with_advice(number.advice())
    };
    match errno {
        Errno::INVAL => {
            if create && Number::Semmsl.limit(count).is_exceeded() {
                return limited(Number::Semmsl, count);
            }
            if let Some(actual) = actual_count(key) {
                let why = format!("it has {actual} semaphores, {count} were asked for");
                return refused(operation, key.into(), ErrorKind::InvalidInput, why);
            }
            error
        }
        Errno::NOSPC => match sys::info() {
            Ok(info) if info.semaphores as usize + count > info.semmns as usize => {
                limited(Number::Semmns, info.semaphores as usize + count)
            }
            Ok(info) => limited(Number::Semmni, info.sets as usize + 1),
            Err(_) => error.with_kind(ErrorKind::LimitReached),
        },
        _ => error,
    }
}

/// How many semaphores the set of this key has, if it has one.
fn actual_count(key: Key) -> Option<usize> {
    if key.is_private() {
        return None;
    }
    let id = sys::get(key.as_raw(), 0, sys::GetFlags::empty(), 0).ok()?;
    sys::stat(id).ok().map(|stat| stat.count)
}

fn check_values(values: &[u16]) -> Result<(), String> {
    match values.iter().position(|value| *value > MAX_VALUE) {
        None => Ok(()),
        Some(number) => {
            Err(format!("the value {} of semaphore {number} is above {MAX_VALUE} (SEMVMX)", values[number]))
        }
    }
}
