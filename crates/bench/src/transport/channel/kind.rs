//! What the kinds of address need.

use twixt_address::{Address, Endpoint, UnixKind};
use twixt_channel::{Capabilities, Parties};

use crate::{Failure, Pattern, Result, Setup};

/// The kinds of address that are measured by their names alone. Besides these there are `exec:`, which starts a program of
/// its own that is no party, and `fd:` and `-`, which are one of these by another name.
pub(crate) const KINDS: &[&str] = &[
    "pipe",
    "fifo",
    "file",
    "mmap",
    "unix",
    "unix-dgram",
    "unix-seqpacket",
    "tcp",
    "udp",
    "sysv-msg",
    "posix-mq",
    "sysv-shm",
    "posix-shm",
    "eventfd",
    "signal",
];

/// A kind of address, as a run uses it.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    /// What the user gave, or what the kind is measured with.
    pub(super) address: Address,
    /// Whether it was the user who gave it.
    pub(super) is_given: bool,
    pub(super) can: Capabilities,
    meeting: Meeting,
}

/// How the parties come together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meeting {
    /// One listens, the other connects.
    Connection,
    /// Whoever receives has the name; each receiver one of its own.
    Own,
    /// All may send to it and receive from it.
    Shared,
    /// All may send to it, and each that receives has everything.
    Everything,
    /// Nobody finds it by a name.
    Anonymous,
}

impl Kind {
    pub(super) fn of(setup: &Setup) -> Result<Self> {
        let (name, directory) = (&setup.name, setup.directory.display());
        let is_given = setup.transport.contains(':') || setup.transport == "-";
        let text = match setup.transport.as_str() {
            "pipe" => "pipe:?framing=len".into(),
            "eventfd" => "eventfd:".into(),
            "fifo" => format!("fifo:{directory}/fifo?create&framing=len"),
            "file" => format!("file:{directory}/file?create&framing=len"),
            "mmap" => format!("mmap:{directory}/mmap?create"),
            "unix" => format!("unix:{directory}/unix?framing=len"),
            kind @ ("unix-dgram" | "unix-seqpacket") => format!("{kind}:{directory}/{kind}"),
            "tcp" => "tcp:127.0.0.1:0?framing=len".into(),
            "udp" => "udp:127.0.0.1:0".into(),
            // The party that makes it draws the key.
            kind @ ("sysv-msg" | "sysv-shm") => format!("{kind}:private?create"),
            "posix-mq" => format!("posix-mq:/{name}?create&message-size={}", setup.workload.size.max(1)),
            // The run's directory has the name itself, in the same place.
            "posix-shm" => format!("posix-shm:/{name}-ring?create"),
            // The first real-time signal: they queue. The party that receives puts its own number.
            "signal" => "signal:0/RTMIN".into(),
            given => given.to_owned(),
        };
        let address: Address = text.parse().map_err(Failure::failed)?;
        let can = Capabilities::of(address.endpoint())
            .ok_or_else(|| Failure::Unsupported("it carries no messages".into()))?;
        let meeting = match address.endpoint() {
            Endpoint::Pipe | Endpoint::Eventfd => Meeting::Anonymous,
            Endpoint::Unix { kind: UnixKind::Stream | UnixKind::Seqpacket, .. } | Endpoint::Tcp(_) => {
                Meeting::Connection
            }
            Endpoint::File(_) => Meeting::Everything,
            // Of a stream of bytes each receiver would get pieces.
            Endpoint::Fifo(_) => Meeting::Own,
            _ if can.receivers == Parties::Many => Meeting::Shared,
            _ => Meeting::Own,
        };
        Ok(Self { address, is_given, can, meeting })
    }

    pub(super) fn is_connection(&self) -> bool {
        self.meeting == Meeting::Connection
    }

    pub(super) fn is_anonymous(&self) -> bool {
        self.meeting == Meeting::Anonymous
    }

    /// Whether each that receives has everything, so that none can have a part.
    pub(super) fn gives_all_to_all(&self) -> bool {
        self.meeting == Meeting::Everything
    }

    /// Whether an answer needs a link of its own that has a name.
    pub(super) fn needs_way_back(&self) -> bool {
        !self.is_connection() && !self.is_anonymous()
    }

    /// Whether the receiving side accepts one connection, both ways of it, rather than hearing all who connect.
    pub(super) fn listens_for_one(&self, setup: &Setup) -> bool {
        let has_room = self.address.options().capacity() != Some(0);
        self.is_connection() && setup.workload.publishers == 1 && has_room
    }

    /// Which link a subscriber receives from.
    pub(super) fn link_of(&self, setup: &Setup, subscriber: usize) -> usize {
        match (self.meeting, setup.workload.pattern) {
            (Meeting::Shared, Pattern::Work) | (Meeting::Everything, Pattern::Fanout) => 0,
            _ => subscriber,
        }
    }

    /// How many links there are from publishers to subscribers.
    pub(super) fn links(&self, setup: &Setup) -> usize {
        (0..setup.workload.subscribers).map(|it| self.link_of(setup, it) + 1).max().unwrap_or(0)
    }
}
