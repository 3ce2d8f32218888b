//! Giving a child process its descriptors and its fate: `execve(2)`, `prctl(2)`.

use core::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::Errno;
use crate::call::checked;

/// Has the command start with each descriptor at the number beside it, as the shell's `N<&M` would.
///
/// Everything else stays close-on-exec. The numbers must differ from each other; they may coincide with the numbers
/// that the descriptors have here. Call it once for a command, with all of them: a second call could overwrite in
/// the child what it is to pass itself.
///
/// The descriptors live as long as the `Command`: drop it after spawning, or they stay open in this process. So do
/// copies that hold the numbers which are free here: the standard library reports a failed `execve` through a
/// descriptor of its own, which must not come to stand on one of them.
///
/// # Errors
/// `EINVAL` if a number is negative, stands twice, or is not below `RLIMIT_NOFILE`; `EMFILE`. The spawn itself
/// fails with `EBUSY` if a number was taken here when this was called, has become free since, and that descriptor has
/// got it; not if all numbers are above those that this process uses itself.
pub fn pass_descriptors(command: &mut Command, descriptors: Vec<(OwnedFd, RawFd)>) -> Result<(), Errno> {
    let numbers: Vec<RawFd> = descriptors.iter().map(|(_, number)| *number).collect();
    let twice = numbers.iter().enumerate().any(|(at, number)| numbers[..at].contains(number));
    if twice || numbers.iter().any(|number| *number < 0) {
        return Err(Errno::INVAL);
    }
    let above = match numbers.iter().max() {
        Some(highest) => highest.checked_add(1).ok_or(Errno::INVAL)?,
        None => 0,
    };
    let targets = descriptors
        .iter()
        .map(|(descriptor, number)| Target::reserve(descriptor, *number))
        .collect::<Result<Vec<_>, _>>()?;
    let mut raised = Vec::with_capacity(descriptors.len());
    let install = move || {
        // First out of the way of every target number, then down to it: no order of targets can then close a
        // descriptor that is still to be moved.
        raised.clear();
        for (descriptor, _) in &descriptors {
            raised.push(duplicate_above(descriptor.as_raw_fd(), above)?);
        }
        for (from, target) in raised.iter().zip(&targets) {
            target.check()?;
            place(*from, target.number)?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec `install` makes only async-signal-safe calls: fcntl, fstat, getsockopt and dup2.
    // `raised` has its capacity already, so nothing is allocated.
    unsafe { command.pre_exec(install) };
    Ok(())
}

/// A number in the child that a descriptor shall have, and what stands at it until then.
struct Target {
    number: RawFd,
    holder: Holder,
}

enum Holder {
    /// A copy that was made to hold the number.
    Reserved(#[expect(dead_code, reason = "held open, never used")] OwnedFd),
    /// The first three belong to the child's standard streams, which the standard library has set up by then.
    Standard,
    /// Something else of this process, at the time.
    Taken(Identity),
}

impl Target {
    fn reserve(descriptor: &OwnedFd, number: RawFd) -> Result<Self, Errno> {
        if number <= 2 {
            return Ok(Self { number, holder: Holder::Standard });
        }
        let copy = rustix::io::fcntl_dupfd_cloexec(descriptor, number)?;
        let holder = if copy.as_raw_fd() == number {
            Holder::Reserved(copy)
        } else {
            match Identity::of(number) {
                Ok(holder) => Holder::Taken(holder),
                // Free after all, since just now.
                Err(Errno::BADF) => return Self::reserve(descriptor, number),
                Err(errno) => return Err(errno),
            }
        };
        Ok(Self { number, holder })
    }

    /// In the child: whether the number may be overwritten.
    fn check(&self) -> Result<(), Errno> {
        let Holder::Taken(then) = self.holder else { return Ok(()) };
        match Identity::of(self.number) {
            Err(Errno::BADF) => Ok(()),
            Ok(now) if now == then => Ok(()),
            Ok(now) if now.may_report_failure(self.number)? => Err(Errno::BUSY),
            Ok(_) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}

/// What a descriptor of this process refers to.
#[derive(Clone, Copy)]
struct Identity {
    device: u64,
    inode: u64,
    mode: u32,
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

impl Identity {
    /// Calls `fstat`, which is async-signal-safe.
    fn of(number: RawFd) -> Result<Self, Errno> {
        let mut stat = MaybeUninit::<libc::stat>::uninit();
        // SAFETY: the pointer is valid for writing a `stat`; a number that is not open fails with EBADF.
        checked(unsafe { libc::fstat(number, stat.as_mut_ptr()) })?;
        // SAFETY: the call succeeded, so it has filled the structure.
        let stat = unsafe { stat.assume_init() };
        Ok(Self { device: stat.st_dev, inode: stat.st_ino, mode: stat.st_mode })
    }

    /// In the child: whether this, at `number`, may be the descriptor by which the standard library will tell the
    /// parent of a failed `execve`. That is one end, close-on-exec, of a Unix socket pair of sequenced packets; it
    /// may be a pipe one day, whose read end the child does not have.
    fn may_report_failure(self, number: RawFd) -> Result<bool, Errno> {
        if query(number, libc::F_GETFD)? & libc::FD_CLOEXEC == 0 {
            return Ok(false);
        }
        match self.mode & libc::S_IFMT {
            libc::S_IFSOCK => Ok(socket_type(number)? == libc::SOCK_SEQPACKET),
            libc::S_IFIFO if access_mode(number)? == libc::O_WRONLY => {
                // What another thread of the parent has just made is there with both ends.
                let is_read_end =
                    |other| Self::of(other) == Ok(self) && access_mode(other) == Ok(libc::O_RDONLY);
                Ok(!(0..number + 64).any(is_read_end))
            }
            _ => Ok(false),
        }
    }
}

fn socket_type(number: RawFd) -> Result<i32, Errno> {
    let mut kind = 0;
    let mut length = size_of_val(&kind) as libc::socklen_t;
    let value = (&raw mut kind).cast();
    // SAFETY: the pointers are valid for writing an integer and its length, which says how much may be written.
    checked(unsafe { libc::getsockopt(number, libc::SOL_SOCKET, libc::SO_TYPE, value, &mut length) })?;
    Ok(kind)
}

fn access_mode(number: RawFd) -> Result<i32, Errno> {
    Ok(query(number, libc::F_GETFL)? & libc::O_ACCMODE)
}

/// An `fcntl` without an argument.
fn query(number: RawFd, command: i32) -> Result<i32, Errno> {
    // SAFETY: `fcntl` with these commands takes no argument and touches no memory; EBADF if the number is not open.
    checked(unsafe { libc::fcntl(number, command) })
}

/// A close-on-exec copy of `fd` numbered `above` or higher.
fn duplicate_above(fd: RawFd, above: RawFd) -> Result<RawFd, Errno> {
    // SAFETY: `fcntl` with this command takes an integer and touches no memory.
    checked(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, above) })
}

/// Makes `to` a copy of `from` that survives `execve`.
fn place(from: RawFd, to: RawFd) -> Result<RawFd, Errno> {
    // SAFETY: `dup2` touches no memory. What it closes at `to` was checked to be of no use to the child.
    checked(unsafe { libc::dup2(from, to) })
}

/// Takes over the descriptor that this program was started with under `number`, and makes it close-on-exec.
///
/// What an `execve(2)` leaves open has no close-on-exec flag, and what Rust's standard library and this crate open has
/// one: so a descriptor without it is taken to be inherited and to belong to nobody yet.
///
/// That is an inference, and the residue is this: a descriptor that something in the program owns and that has no such
/// flag, since it was opened without (a C library, rustix without `CLOEXEC`) or lost it (`fcntl_setfd`, which is safe to
/// call), is taken for an inherited one and gets a second owner. Which open files a program started with the kernel does
/// not tell, and a record made at the first call would come after such opens. Callers must name only numbers that
/// were agreed on with whoever started the program.
///
/// # Errors
/// `EBADF` if there is no such descriptor, it is one of the standard three, was taken before, or was not inherited.
pub fn inherited(number: RawFd) -> Result<OwnedFd, Errno> {
    static TAKING: Mutex<()> = Mutex::new(());
    if number <= 2 {
        return Err(Errno::BADF);
    }
    // Between looking at the flag and setting it nobody else may do the same.
    let _taking = TAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let flags = query(number, libc::F_GETFD)?;
    if flags & libc::FD_CLOEXEC != 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: `fcntl` with this command takes an integer and touches no memory.
    checked(unsafe { libc::fcntl(number, libc::F_SETFD, flags | libc::FD_CLOEXEC) })?;
    // SAFETY: it is open and was not taken by this function before (it would have the close-on-exec flag). That nothing
    // else owns it rests on the flag: what was open at `execve` lacks it, and what Rust code opens has it, unless it was
    // asked otherwise. For a number of the caller's own descriptors whose flag was left out or cleared this does not
    // hold, as the documentation says; nothing that the kernel can be asked would tell the two apart.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Has the kernel kill the command with SIGKILL when the *thread* that spawns it ends, however that happens.
#[doc(alias = "PR_SET_PDEATHSIG")]
pub fn die_with_parent(command: &mut Command) {
    let parent = std::process::id();
    let request = move || {
        // SAFETY: `prctl` with this option takes an `unsigned long` and touches no memory.
        checked(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong) })?;
        // The parent may have ended before the request was made.
        // SAFETY: `getppid` takes nothing and cannot fail.
        let now = unsafe { libc::getppid() };
        if now.cast_unsigned() == parent { Ok(()) } else { Err(Errno::CHILD.into()) }
    };
    // SAFETY: between fork and exec `request` makes only async-signal-safe calls: prctl and getppid.
    unsafe { command.pre_exec(request) };
}

/// Has the command start with no signal blocked, whatever the spawning thread blocks: a mask is inherited otherwise.
#[doc(alias = "sigprocmask")]
pub fn unblock_signals(command: &mut Command) {
    let unblock = || crate::signal::change_mask(crate::signal::How::Set, 0).map(drop).map_err(Into::into);
    // SAFETY: between fork and exec `unblock` makes only an async-signal-safe call: sigprocmask. It allocates nothing.
    unsafe { command.pre_exec(unblock) };
}
