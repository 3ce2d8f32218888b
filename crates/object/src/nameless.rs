//! Addresses that no object stays under, and why.

use twixt_address::{Address, Endpoint, UnixName};
use twixt_os::ErrorKind;

use crate::Error;

const LASTS: &str = "fifo:, posix- and sysv- addresses and the names of the bus name objects that stay";

/// The refusal, if the address names nothing that stays when all processes are gone.
pub(crate) fn refusal(operation: &'static str, address: &Address) -> Option<Error> {
    let (kind, why, advice) = match address.endpoint() {
        Endpoint::Pipe => (
            ErrorKind::InvalidInput,
            "an anonymous pipe has no name; it goes with the processes that hold its ends",
            "fifo:/path is a pipe with a name",
        ),
        Endpoint::Exec(_) => {
            (ErrorKind::InvalidInput, "a command is run by the process that talks to it", LASTS)
        }
        Endpoint::Fd(_) => {
            (ErrorKind::InvalidInput, "a descriptor comes from the process that passes it on", LASTS)
        }
        Endpoint::Stdio => {
            (ErrorKind::InvalidInput, "standard input and output come from whoever starts a process", LASTS)
        }
        Endpoint::Tcp(_) | Endpoint::Udp(_) | Endpoint::Raw { .. } => (
            ErrorKind::InvalidInput,
            "an Internet socket exists only while a process has it open, and leaves nothing behind",
            "end that process to have it gone, or start one to have it",
        ),
        Endpoint::Unix { name: UnixName::Abstract(_), .. } => (
            ErrorKind::InvalidInput,
            "an abstract name exists only while a process has the socket open, and leaves nothing behind",
            "end that process to have it gone, or start one to have it",
        ),
        Endpoint::Signal { .. } => {
            (ErrorKind::InvalidInput, "signals go to a process, and nothing stays between the two", LASTS)
        }
        Endpoint::Eventfd => (
            ErrorKind::InvalidInput,
            "an eventfd has no name; it goes with the processes that hold its descriptor",
            "posix-sem:/name is a counter with a name",
        ),
        Endpoint::Memfd => (
            ErrorKind::InvalidInput,
            "a memfd has no name; it goes with the processes that hold its descriptor",
            "posix-shm:/name is memory with a name",
        ),
        Endpoint::Fifo(_)
        | Endpoint::File(_)
        | Endpoint::Mmap(_)
        | Endpoint::Lock(_)
        | Endpoint::Unix { name: UnixName::Path(_), .. }
        | Endpoint::SysvMsg(_)
        | Endpoint::SysvSem { .. }
        | Endpoint::SysvShm(_)
        | Endpoint::PosixMq(_)
        | Endpoint::PosixSem(_)
        | Endpoint::PosixShm(_)
        | Endpoint::Topic(_)
        | Endpoint::Queue(_)
        | Endpoint::Latest(_)
        | Endpoint::Rpc(_) => return None,
    };
    Some(Error::refused(operation, address, kind, why, advice))
}

/// The refusal of what no version of this crate knows.
pub(crate) fn unknown(operation: &'static str, address: &Address) -> Error {
    Error::refused(operation, address, ErrorKind::InvalidInput, "it is not an object with a name", LASTS)
}
