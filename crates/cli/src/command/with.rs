//! `twixt with`: running a command that holds a semaphore or a lock.
//!
//! Each mechanism gives back in its own way; the text of `twixt with --help` says what that promises. Here:
//!
//! - System V: the kernel keeps what is to be undone with the process, also across `execve(2)`. So this process takes the
//!   permits and becomes the command; nothing can come between the two.
//! - POSIX: [`guard`], a process that outlives this one.
//! - Lock: the lock belongs to an open file that this process and the command share.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{anyhow, bail};
use twixt::address::{Address, Endpoint, FilePath, SysvKey};
use twixt::object::Plan;
use twixt::os::inherit::PassDescriptors;
use twixt::os::lock::{Kind, LockFile};
use twixt::os::posix::sem::Semaphore;
use twixt::os::sysv::Key;
use twixt::os::sysv::sem::{Id, Operation, Set};
use twixt::os::{Deadline, Error, ErrorKind, Mode, Wait};

use crate::args::With;
use crate::exit::Exit;
use crate::output;

mod guard;
mod supervise;

use guard::Guard;
pub use guard::play as guard;
use supervise::{Signals, supervise};

/// The number under which the command has what keeps its permits: above those that shells and their scripts use.
const KEEPER: i32 = 100;

/// Takes the permits and runs the command.
pub fn run(arguments: &With) -> anyhow::Result<Exit> {
    let address = &arguments.address;
    if arguments.shared && !matches!(address.endpoint(), Endpoint::Lock(_)) {
        bail!("cannot share {}: --shared is for lock:, which may be shared or exclusive", address.endpoint());
    }
    let permits = arguments.permits.unwrap_or(1);
    match address.endpoint() {
        Endpoint::SysvSem { key, index } => with_sysv_sem(arguments, key, *index, permits),
        Endpoint::PosixSem(name) => with_posix_sem(arguments, name.as_os_str(), permits),
        Endpoint::Lock(path) if arguments.permits.is_none() => with_lock(arguments, path),
        Endpoint::Lock(_) => bail!(
            "cannot hold {permits} permits of {}: a lock has no permits; a semaphore has: sysv-sem:, posix-sem:",
            address.endpoint()
        ),
        other => bail!("cannot hold {other}: sysv-sem:KEY[/N], posix-sem:/name and lock:/path can be held"),
    }
}

fn with_sysv_sem(arguments: &With, key: &SysvKey, index: Option<u16>, permits: u16) -> anyhow::Result<Exit> {
    let (set, index) = set(arguments, key, index, permits)?;
    // One operation: all permits at once, or none. The kernel undoes it when the process ends.
    let take = Operation::new(index, -permits.cast_signed()).undo();
    set.operate_wait(&[take], wait(arguments))?;
    // From here on this process is the command. If that fails it ends, and the kernel gives back.
    let error = command(&arguments.command).exec();
    not_started(&arguments.command, &error)
}

/// The set, and the number of the semaphore in it.
fn set(arguments: &With, key: &SysvKey, index: Option<u16>, permits: u16) -> anyhow::Result<(Set, u16)> {
    let endpoint = arguments.address.endpoint();
    let key = match key {
        SysvKey::Private => {
            bail!("cannot hold {endpoint}: private is always a new set; name one by its key or id")
        }
        SysvKey::Id(id) => {
            let id = Id::new(id.get()).ok_or_else(|| anyhow!("cannot hold {endpoint}: no identifier"))?;
            let set = Set::open_id(id)?;
            let index = index_in(&set, index, endpoint)?;
            return Ok((set, index));
        }
        SysvKey::Key(key) => Key::new(key.get()).unwrap_or(Key::PRIVATE),
        SysvKey::Ftok { path, project } => Key::from_path(path.as_path(), project.get())?,
    };
    let set = match Set::open(key) {
        Err(error) if error.kind() == ErrorKind::NotFound && creates(arguments) => {
            let value = value(arguments, permits)?;
            // What is too much for a semaphore, the library refuses.
            let value = u16::try_from(value).unwrap_or(u16::MAX);
            let count =
                arguments.address.options().count().unwrap_or(0).max(u32::from(index.unwrap_or(0)) + 1);
            let values = vec![value; usize::try_from(count)?];
            match Set::create_with(key, &values, mode(arguments)) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Set::open(key)?,
                made => made?,
            }
        }
        Err(error) => return Err(missing(error).into()),
        Ok(set) => set,
    };
    let index = index_in(&set, index, endpoint)?;
    Ok((set, index))
}

/// Which semaphore of the set is meant.
fn index_in(set: &Set, index: Option<u16>, endpoint: &Endpoint) -> anyhow::Result<u16> {
    match (index, set.stat()) {
        (Some(index), _) => Ok(index),
        (None, Ok(stat)) if stat.nsems > 1 => {
            let last = stat.nsems - 1;
            bail!(
                "cannot hold {endpoint}: the set has {} semaphores; say which one: /0 to /{last}",
                stat.nsems
            )
        }
        // Who may not look at it may still take from it; and a set has a first semaphore.
        (None, _) => Ok(0),
    }
}

fn with_posix_sem(arguments: &With, name: &std::ffi::OsStr, permits: u16) -> anyhow::Result<Exit> {
    let semaphore = match Semaphore::open(name) {
        Err(error) if error.kind() == ErrorKind::NotFound && creates(arguments) => {
            let value = value(arguments, permits)?;
            exactly(arguments, || Semaphore::open_or_create(name, value, mode(arguments)))?
        }
        opened => opened.map_err(missing)?,
    };
    let signals = Signals::catch()?;
    let mut guard = match Guard::take(semaphore, name, permits, wait(arguments), &signals)? {
        Ok(guard) => guard,
        Err(exit) => return Ok(exit),
    };
    let mut command = command(&arguments.command);
    command.pass_descriptors([(guard.line()?, KEEPER)])?;
    let spawned = command.spawn();
    drop(command);
    let ended = match spawned {
        Ok(child) => {
            guard.watch(&child);
            supervise(child, &signals, Some(&mut guard))
        }
        Err(error) => {
            let exit = not_started(&arguments.command, &error);
            guard.finish();
            return exit;
        }
    };
    guard.finish();
    Ok(supervise::exit_of(ended?))
}

fn with_lock(arguments: &With, path: &FilePath) -> anyhow::Result<Exit> {
    let path = path.as_path();
    if creates(arguments) {
        let plan = Plan::with_options(arguments.address.endpoint().clone(), options_of_file(arguments)?)?;
        match exactly(arguments, || plan.make()) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => drop(made?),
        }
    } else if let Err(error) = std::fs::metadata(path)
        && error.kind() == io::ErrorKind::NotFound
    {
        let _ = output::complain(&anyhow!(
            "cannot hold {}: there is no such file; {MAKE_IT}",
            arguments.address.endpoint()
        ));
        return Ok(Exit::Nothing);
    }
    let kind = if arguments.shared { Kind::Shared } else { Kind::Exclusive };
    // Signals still do what they do to any program that waits.
    let lock = LockFile::acquire_wait(path, kind, wait(arguments))?;
    let signals = Signals::catch()?;
    let mut command = command(&arguments.command);
    command.pass_descriptors([(lock.as_fd().try_clone_to_owned()?, KEEPER)])?;
    let spawned = command.spawn();
    drop(command);
    let ended = match spawned {
        Ok(child) => supervise(child, &signals, None),
        Err(error) => return not_started(&arguments.command, &error),
    };
    // Said to the kernel, not left to the closing of descriptors: others may have copies.
    drop(lock);
    Ok(supervise::exit_of(ended?))
}

fn command(words: &[OsString]) -> Command {
    let mut command = Command::new(words.first().map(OsString::as_os_str).unwrap_or_default());
    command.args(words.iter().skip(1));
    command
}

/// What a shell would say.
fn not_started(words: &[OsString], error: &io::Error) -> anyhow::Result<Exit> {
    let name = words.first().map(|word| word.to_string_lossy()).unwrap_or_default();
    output::complain(&anyhow!("cannot run {name}: {error}"))?;
    Ok(Exit::Command(if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 }))
}

const MAKE_IT: &str = "make it with --create, or with twixt mk";

fn missing(error: Error) -> Error {
    if error.kind() == ErrorKind::NotFound { error.with_advice(MAKE_IT) } else { error }
}

fn creates(arguments: &With) -> bool {
    arguments.create || arguments.address.options().create()
}

fn mode(arguments: &With) -> Mode {
    arguments.address.options().mode().and_then(Mode::new).unwrap_or_default()
}

fn options_of_file(arguments: &With) -> anyhow::Result<twixt::address::Options> {
    let options = twixt::address::Options::default();
    Ok(match arguments.address.options().mode() {
        Some(mode) => options.with_mode(mode)?,
        None => options,
    })
}

/// Makes something with the very mode that was asked for, whatever the umask, which is the command's as it was.
fn exactly<T>(arguments: &With, make: impl FnOnce() -> T) -> T {
    if arguments.address.options().mode().is_none() {
        return make();
    }
    let umask = rustix::process::umask(rustix::fs::Mode::empty());
    let made = make();
    rustix::process::umask(umask);
    made
}

/// The value of a new semaphore.
fn value(arguments: &With, permits: u16) -> anyhow::Result<u32> {
    let value = arguments.address.options().value().unwrap_or(1);
    if value < i64::from(permits) {
        bail!(
            "cannot make {} with {value} permits and hold {permits} of them: give ?value={permits} or more",
            arguments.address.endpoint()
        );
    }
    Ok(u32::try_from(value).unwrap_or(u32::MAX))
}

/// How long to wait for the permits; what the flag says goes before what the address says.
fn wait(arguments: &With) -> Wait {
    let address: &Address = &arguments.address;
    match arguments.timeout.or(address.options().timeout()) {
        Some(time) => Wait::until(Deadline::after(time)),
        None => Wait::forever(),
    }
}
