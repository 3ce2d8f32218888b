//! Who uses an object.

use core::fmt;

use twixt_os::lock;

use crate::find::Identity;
use crate::{Error, Result};

mod file;
mod proc;
mod socket;
mod sysv;

/// Who uses an object, as far as this process can see.
///
/// It is a series of looks at a moving thing: processes come and go meanwhile.
#[derive(Clone, Debug, Default)]
pub struct Users {
    /// The processes, in the order of their numbers.
    pub users: Vec<User>,
    /// How many the kernel itself counts, whoever they are: attachments of System V shared memory, waiters of a System
    /// V semaphore set. For other kinds it keeps no count.
    pub counted: Option<u64>,
    /// How many processes could not be looked at, for lack of permission. Any of them may use the object.
    pub unreadable: usize,
    /// Why the object itself did not tell everything, if it did not.
    pub hidden: Option<Error>,
}

/// A process that uses an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The process; unknown for the holder of a lock who cannot be seen from here.
    pub pid: Option<i32>,
    /// The name of its command, of at most 15 bytes, with everything escaped that would play with a terminal. None if
    /// the process has ended, which those who used the object last may have.
    pub command: Option<String>,
    /// What it does with the object, each once.
    pub uses: Vec<Use>,
}

/// What a process does with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Use {
    /// It has a descriptor for reading.
    Reads,
    /// It has a descriptor for writing.
    Writes,
    /// It has a descriptor for both.
    ReadsAndWrites,
    /// It has the object mapped or attached, for reading only.
    MapsReadOnly,
    /// It has the object mapped or attached, for writing too.
    Maps,
    /// It takes part in the name on the bus as one that sends: publisher, producer, writer, an end of a connection.
    Sends,
    /// It takes part in the name on the bus as one that receives: subscriber, consumer, reader, an end of a connection.
    Receives,
    /// It has the socket open that is bound to the path, or accepts connections to the name on the bus.
    Serves,
    /// It holds a lock.
    HoldsLock(lock::Kind),
    /// It waits for a lock.
    WaitsForLock(lock::Kind),
    /// It waits in the kernel for the other end of the FIFO.
    WaitsToOpen,
    /// It waits in the kernel to receive.
    WaitsToReceive,
    /// It waits in the kernel to send.
    WaitsToSend,
    /// It waits in the kernel for a semaphore.
    WaitsForSemaphore,
    /// It was the last that sent.
    LastSent,
    /// It was the last that received.
    LastReceived,
    /// It was the last that operated on a semaphore of the set.
    LastOperated,
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reads => "reads",
            Self::Writes => "writes",
            Self::ReadsAndWrites => "reads and writes",
            Self::MapsReadOnly => "maps it for reading",
            Self::Maps => "maps it",
            Self::Sends => "sends to it",
            Self::Receives => "receives from it",
            Self::Serves => "serves it",
            Self::HoldsLock(lock::Kind::Exclusive) => "holds an exclusive lock",
            Self::HoldsLock(lock::Kind::Shared) => "holds a shared lock",
            Self::WaitsForLock(lock::Kind::Exclusive) => "waits for an exclusive lock",
            Self::WaitsForLock(lock::Kind::Shared) => "waits for a shared lock",
            Self::WaitsToOpen => "waits for the other end",
            Self::WaitsToReceive => "waits to receive",
            Self::WaitsToSend => "waits to send",
            Self::WaitsForSemaphore => "waits for a semaphore",
            Self::LastSent => "was the last to send",
            Self::LastReceived => "was the last to receive",
            Self::LastOperated => "was the last to operate",
        })
    }
}

/// `1234 (worker): reads, waits to receive`
impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "{pid}")?,
            None => f.write_str("an unknown process")?,
        }
        match (&self.command, self.pid) {
            (Some(command), _) => write!(f, " ({command})")?,
            (None, Some(_)) => f.write_str(" (has ended)")?,
            (None, None) => {}
        }
        for (index, one) in self.uses.iter().enumerate() {
            write!(f, "{} {one}", if index == 0 { ":" } else { "," })?;
        }
        Ok(())
    }
}

pub(crate) fn of(identity: &Identity) -> Result<Users> {
    let mut users = match identity {
        Identity::File { kind, path, inode } => file::users(*kind, path, *inode)?,
        Identity::PosixQueue { inode, .. } => file::queue_users(*inode)?,
        Identity::OnBus(site) => site.users()?,
        Identity::Queue(id) => sysv::queue_users(*id)?,
        Identity::Set(id) => sysv::set_users(*id)?,
        Identity::Segment(id) => sysv::segment_users(*id)?,
    };
    users.users.sort_by_key(|user| user.pid);
    Ok(users)
}

impl Users {
    /// Notes a use of a process.
    pub(crate) fn add(&mut self, pid: Option<i32>, one: Use) {
        let index = self.users.iter().position(|user| user.pid == pid).unwrap_or_else(|| {
            let command = pid.and_then(proc::command);
            self.users.push(User { pid, command, uses: Vec::new() });
            self.users.len() - 1
        });
        if let Some(user) = self.users.get_mut(index)
            && !user.uses.contains(&one)
        {
            user.uses.push(one);
        }
    }
}
