//! What an address leads to.

use core::fmt;

use crate::number::within;
use crate::{
    BusName, Command, Descriptor, FilePath, Host, HostPort, OptionName, Options, PosixName, Protocol, Scheme,
    SemName, SignalName, SignalTarget, SysvKey, UnixKind, UnixName, ValueError,
};

/// What an address leads to: the mechanism, and the object's name in the mechanism's own terms.
///
/// Whatever can be made of it prints as an address that parses back to it.
///
/// ```
/// use twixt_address::{Endpoint, FilePath};
/// let endpoint = Endpoint::Fifo(FilePath::new("/run/jobs")?);
/// assert_eq!(endpoint.scheme(), "fifo");
/// assert_eq!(endpoint.to_string(), "fifo:/run/jobs");
/// # Ok::<(), twixt_address::ValueError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `pipe:`, an anonymous pipe.
    Pipe,
    /// `exec:COMMAND`, the standard input and output of a child.
    Exec(Command),
    /// `fd:N`, an inherited descriptor.
    Fd(Descriptor),
    /// `-`, standard input and output.
    Stdio,
    /// `fifo:/path`, a named pipe.
    Fifo(FilePath),
    /// `file:/path`, a file that is appended to and followed.
    File(FilePath),
    /// `mmap:/path`, a mapped file.
    Mmap(FilePath),
    /// `lock:/path`, an advisory lock on a file.
    Lock(FilePath),
    /// `unix:`, `unix-dgram:` or `unix-seqpacket:` with `/path` or `@name`, a Unix socket.
    Unix {
        /// Which of the three.
        kind: UnixKind,
        /// Its name.
        name: UnixName,
    },
    /// `tcp:host:port`.
    Tcp(HostPort),
    /// `udp:host:port`.
    Udp(HostPort),
    /// `raw:proto@host`, a raw IP socket.
    Raw {
        /// The protocol over IP.
        protocol: Protocol,
        /// The other side.
        host: Host,
    },
    /// `sysv-msg:KEY`, a System V message queue.
    SysvMsg(SysvKey),
    /// `sysv-sem:KEY[/N]`, a System V semaphore set or one of its semaphores.
    SysvSem {
        /// The set.
        key: SysvKey,
        /// The semaphore in it, from 0; without one, the set.
        index: Option<u16>,
    },
    /// `sysv-shm:KEY`, System V shared memory.
    SysvShm(SysvKey),
    /// `posix-mq:/name`, a POSIX message queue.
    PosixMq(PosixName),
    /// `posix-sem:/name`, a POSIX semaphore.
    PosixSem(SemName),
    /// `posix-shm:/name`, POSIX shared memory.
    PosixShm(PosixName),
    /// `signal:PID[/NAME]`, a process or group that gets signals.
    Signal {
        /// Who gets it.
        target: SignalTarget,
        /// Which signal; the user's choice if there is none.
        signal: Option<SignalName>,
    },
    /// `eventfd:`, a counter.
    Eventfd,
    /// `memfd:`, memory with a descriptor and seals.
    Memfd,
    /// `topic:NAME` on the bus: everyone gets every message.
    Topic(BusName),
    /// `queue:NAME` on the bus: one consumer gets each message.
    Queue(BusName),
    /// `latest:NAME` on the bus: the newest value.
    Latest(BusName),
    /// `rpc:NAME` on the bus: a service.
    Rpc(BusName),
}

impl Endpoint {
    /// The scheme: what stands before the colon; `-` for standard input and output.
    pub const fn scheme(&self) -> &'static str {
        match self {
            Self::Pipe => "pipe",
            Self::Exec(_) => "exec",
            Self::Fd(_) => "fd",
            Self::Stdio => "-",
            Self::Fifo(_) => "fifo",
            Self::File(_) => "file",
            Self::Mmap(_) => "mmap",
            Self::Lock(_) => "lock",
            Self::Unix { kind: UnixKind::Stream, .. } => "unix",
            Self::Unix { kind: UnixKind::Datagram, .. } => "unix-dgram",
            Self::Unix { kind: UnixKind::Seqpacket, .. } => "unix-seqpacket",
            Self::Tcp(_) => "tcp",
            Self::Udp(_) => "udp",
            Self::Raw { .. } => "raw",
            Self::SysvMsg(_) => "sysv-msg",
            Self::SysvSem { .. } => "sysv-sem",
            Self::SysvShm(_) => "sysv-shm",
            Self::PosixMq(_) => "posix-mq",
            Self::PosixSem(_) => "posix-sem",
            Self::PosixShm(_) => "posix-shm",
            Self::Signal { .. } => "signal",
            Self::Eventfd => "eventfd",
            Self::Memfd => "memfd",
            Self::Topic(_) => "topic",
            Self::Queue(_) => "queue",
            Self::Latest(_) => "latest",
            Self::Rpc(_) => "rpc",
        }
    }

    /// The options that this endpoint takes, in the order in which they print.
    ///
    /// They are those of its scheme, without those that make an object where the endpoint is one that is already
    /// there (`id=N`), and without the ones for a file where there is none (`unix:@name`).
    pub fn options(&self) -> impl Iterator<Item = OptionName> + '_ {
        let all = Scheme::of(self.scheme()).map_or(&[][..], |scheme| scheme.options);
        all.iter().copied().filter(|&option| self.why_not(option).is_none())
    }

    /// Whether an option may be given here, and may have the value it has.
    pub(crate) fn check(&self, name: OptionName, options: &Options) -> Result<(), ValueError> {
        self.check_name(name)?;
        match options.value() {
            Some(value) if name == OptionName::Value => {
                let (least, most) = self.values();
                match within("value", value, least, most) {
                    Ok(_) => Ok(()),
                    Err(error) => {
                        let right = format!("a value of {} is {least} to {most}", self.scheme());
                        Err(ValueError::new(error.why(), right))
                    }
                }
            }
            _ => Ok(()),
        }
    }

    /// Whether an option may be given here.
    pub(crate) fn check_name(&self, name: OptionName) -> Result<(), ValueError> {
        if self.options().any(|option| option == name) {
            return Ok(());
        }
        let scheme = self.scheme();
        let this = match Scheme::of(scheme) {
            Some(row) if row.options.contains(&name) => self.why_not(name),
            _ => None,
        };
        let this = this.as_deref().unwrap_or(scheme);
        Err(ValueError::new(format!("option {name} does not apply to {this}"), self.taken()))
    }

    /// "fifo takes create, mode, capacity and timeout".
    pub(crate) fn taken(&self) -> String {
        let names: Vec<_> = self.options().map(OptionName::as_str).collect();
        let names = match names.split_last() {
            None if Scheme::of(self.scheme()).is_some_and(|row| !row.options.is_empty()) => {
                "no options with id=".to_owned()
            }
            None => "no options".to_owned(),
            Some((last, [])) => (*last).to_owned(),
            Some((last, others)) => format!("{} and {last}", others.join(", ")),
        };
        format!("{} takes {names}", self.scheme())
    }

    /// Why an option of the scheme does not apply to this very endpoint.
    fn why_not(&self, option: OptionName) -> Option<String> {
        match self {
            Self::SysvMsg(SysvKey::Id(id))
            | Self::SysvSem { key: SysvKey::Id(id), .. }
            | Self::SysvShm(SysvKey::Id(id))
                if !matches!(option, OptionName::Type | OptionName::Timeout) =>
            {
                Some(format!("id={id}, an object that is there already"))
            }
            Self::Unix { name: UnixName::Abstract(_), .. }
                if matches!(option, OptionName::Create | OptionName::Mode) =>
            {
                Some("an abstract name, which has no file".to_owned())
            }
            _ => None,
        }
    }

    /// What `value` may be here.
    const fn values(&self) -> (i64, i64) {
        match self {
            // SEMVMX, SEM_VALUE_MAX, the unsigned int of eventfd(2), the int of union sigval.
            Self::SysvSem { .. } => (0, 32_767),
            Self::PosixSem(_) => (0, i32::MAX as i64),
            Self::Eventfd => (0, u32::MAX as i64),
            Self::Signal { .. } => (i32::MIN as i64, i32::MAX as i64),
            _ => (i64::MIN, i64::MAX),
        }
    }
}

/// The address without options.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.scheme();
        match self {
            Self::Stdio => f.write_str(scheme),
            Self::Pipe | Self::Eventfd | Self::Memfd => write!(f, "{scheme}:"),
            Self::Exec(command) => write!(f, "{scheme}:{command}"),
            Self::Fd(descriptor) => write!(f, "{scheme}:{descriptor}"),
            Self::Fifo(path) | Self::File(path) | Self::Mmap(path) | Self::Lock(path) => {
                write!(f, "{scheme}:{path}")
            }
            Self::Unix { name, .. } => write!(f, "{scheme}:{name}"),
            Self::Tcp(peer) | Self::Udp(peer) => write!(f, "{scheme}:{peer}"),
            Self::Raw { protocol, host } => write!(f, "{scheme}:{protocol}@{host}"),
            Self::SysvMsg(key) | Self::SysvShm(key) | Self::SysvSem { key, index: None } => {
                write!(f, "{scheme}:{key}")
            }
            Self::SysvSem { key, index: Some(index) } => write!(f, "{scheme}:{key}/{index}"),
            Self::PosixMq(name) | Self::PosixShm(name) => write!(f, "{scheme}:{name}"),
            Self::PosixSem(name) => write!(f, "{scheme}:{name}"),
            Self::Signal { target, signal: None } => write!(f, "{scheme}:{target}"),
            Self::Signal { target, signal: Some(signal) } => write!(f, "{scheme}:{target}/{signal}"),
            Self::Topic(name) | Self::Queue(name) | Self::Latest(name) | Self::Rpc(name) => {
                write!(f, "{scheme}:{name}")
            }
        }
    }
}
