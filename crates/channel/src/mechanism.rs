//! The table of mechanisms: a file and a line for each.

use twixt_address::{Endpoint, UnixKind};
use twixt_os::{ErrorKind, Mechanism as Name, Object, Result};

use crate::half::{Accept, Halves, ReceiveHalf, SendHalf};
use crate::{Capabilities, Opening};

mod bus;
pub(crate) mod create;
mod eventfd;
mod exec;
mod fd;
mod fifo;
mod file;
mod latest;
mod mmap;
mod pipe;
mod posix_mq;
mod posix_shm;
mod queue;
mod rpc;
mod seqpacket;
mod signal;
mod socket;
mod stdio;
mod sysv_msg;
mod sysv_shm;
mod tcp;
mod topic;
mod udp;
mod unix;
mod unix_dgram;

/// How a mechanism is opened. What it does not implement it does not have, and the user is told so.
pub(crate) trait Mechanism: Sync {
    /// What it can do, at its best.
    fn capabilities(&self, endpoint: &Endpoint) -> Capabilities;

    /// The half that sends.
    fn sender(&self, opening: &Opening) -> Result<Box<dyn SendHalf>>;

    /// The half that receives.
    fn receiver(&self, opening: &Opening) -> Result<Box<dyn ReceiveHalf>>;

    /// Both halves, on the side that was chosen.
    fn duplex(&self, opening: &Opening) -> Result<Halves> {
        let why = "it has one direction; open it to send or to receive";
        Err(opening.refused("open", ErrorKind::Unsupported, why))
    }

    /// A connection to the listening side.
    fn connect(&self, opening: &Opening) -> Result<Halves> {
        self.duplex(opening)
    }

    /// The listening side.
    fn listener(&self, opening: &Opening) -> Result<Box<dyn Accept>> {
        let why = "it has no listening side";
        Err(opening.refused("listen at", ErrorKind::Unsupported, why))
    }

    /// Both ends of something without a name.
    fn pair(&self, opening: &Opening) -> Result<Halves> {
        let why = "it has a name; open each end by it";
        Err(opening.refused("make a pair of", ErrorKind::Unsupported, why))
    }
}

/// The mechanism of an endpoint, if it carries messages.
pub(crate) fn of(endpoint: &Endpoint) -> Option<&'static dyn Mechanism> {
    Some(match endpoint {
        Endpoint::Pipe => &pipe::Pipe,
        Endpoint::Exec(_) => &exec::Exec,
        Endpoint::Fd(_) => &fd::Fd,
        Endpoint::Stdio => &stdio::Stdio,
        Endpoint::Fifo(_) => &fifo::Fifo,
        Endpoint::File(_) => &file::File,
        Endpoint::Mmap(_) => &mmap::Mmap,
        Endpoint::Unix { kind: UnixKind::Stream, .. } => &unix::Unix,
        Endpoint::Unix { kind: UnixKind::Datagram, .. } => &unix_dgram::UnixDatagram,
        Endpoint::Unix { kind: UnixKind::Seqpacket, .. } => &seqpacket::Seqpacket,
        Endpoint::Tcp(_) => &tcp::Tcp,
        Endpoint::Udp(_) => &udp::Udp,
        Endpoint::SysvMsg(_) => &sysv_msg::SysvMsg,
        Endpoint::PosixMq(_) => &posix_mq::PosixMq,
        Endpoint::SysvShm(_) => &sysv_shm::SysvShm,
        Endpoint::PosixShm(_) => &posix_shm::PosixShm,
        Endpoint::Signal { .. } => &signal::Signal,
        Endpoint::Eventfd => &eventfd::Eventfd,
        Endpoint::Topic(_) => &topic::Topic,
        Endpoint::Queue(_) => &queue::Queue,
        Endpoint::Latest(_) => &latest::Latest,
        Endpoint::Rpc(_) => &rpc::Rpc,
        _ => return None,
    })
}

/// The name of an endpoint's mechanism in errors.
pub(crate) fn name_of(endpoint: &Endpoint) -> Name {
    match endpoint {
        Endpoint::Pipe => Name::Pipe,
        Endpoint::Exec(_) => Name::Popen,
        Endpoint::Fd(_) => Name::Descriptor,
        Endpoint::Stdio => Name::Stdio,
        Endpoint::Fifo(_) => Name::Fifo,
        Endpoint::File(_) => Name::File,
        Endpoint::Mmap(_) => Name::Mmap,
        Endpoint::Lock(_) => Name::Lock,
        Endpoint::Unix { kind: UnixKind::Stream, .. } => Name::UnixStream,
        Endpoint::Unix { kind: UnixKind::Datagram, .. } => Name::UnixDatagram,
        Endpoint::Unix { kind: UnixKind::Seqpacket, .. } => Name::UnixSeqpacket,
        Endpoint::Tcp(_) => Name::Tcp,
        Endpoint::Udp(_) => Name::Udp,
        Endpoint::Raw { .. } => Name::Raw,
        Endpoint::SysvMsg(_) => Name::SysvMsg,
        Endpoint::SysvSem { .. } => Name::SysvSem,
        Endpoint::SysvShm(_) => Name::SysvShm,
        Endpoint::PosixMq(_) => Name::PosixMq,
        Endpoint::PosixSem(_) => Name::PosixSem,
        Endpoint::PosixShm(_) => Name::PosixShm,
        Endpoint::Signal { .. } => Name::Signal,
        Endpoint::Eventfd => Name::EventFd,
        Endpoint::Memfd => Name::Memfd,
        Endpoint::Topic(_) | Endpoint::Queue(_) | Endpoint::Latest(_) | Endpoint::Rpc(_) => Name::Bus,
    }
}

/// The endpoint's name in errors: without the scheme, which the mechanism's name says already, except on the bus.
pub(crate) fn object_of(endpoint: &Endpoint) -> String {
    let text = endpoint.to_string();
    if name_of(endpoint) == Name::Bus {
        return text;
    }
    match text.split_once(':') {
        Some((_, name)) => name.to_owned(),
        None => text,
    }
}

/// The endpoint's name as an object of errors.
pub(crate) fn object(endpoint: &Endpoint) -> Object {
    match object_of(endpoint) {
        // `pipe:` and the like.
        name if name.is_empty() => Object::Unnamed,
        name => Object::name(name),
    }
}
