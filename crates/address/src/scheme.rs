//! The table of schemes.

use crate::OptionName::{
    self, Budget, Capacity, Count, Create, Framing, History, MessageSize, Mode, Prio, Retries, Size, Slow,
    Timeout, Type, Value, Visibility,
};

/// What there is to say of a scheme, for a help text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scheme {
    /// What stands before the colon; `-` for standard input and output.
    pub name: &'static str,
    /// The form of an address without its options, such as `sysv-sem:KEY[/N]`.
    pub form: &'static str,
    /// What it leads to, in one line.
    pub summary: &'static str,
    /// A complete address.
    pub example: &'static str,
    /// The options that it takes, in the order in which they print.
    pub options: &'static [OptionName],
}

impl Scheme {
    /// All schemes, in the order of the table at the head of this crate.
    pub const ALL: &'static [Self] = &[
        row("pipe", "pipe:", "anonymous pipe", "pipe:", &[Capacity, Framing, Timeout]),
        row(
            "exec",
            "exec:COMMAND",
            "standard input and output of a command",
            "exec:sort -n",
            &[Framing, Timeout],
        ),
        row("fd", "fd:N", "inherited descriptor", "fd:3", &[Framing, Timeout]),
        row("-", "-", "standard input and output", "-", &[Framing, Timeout]),
        row(
            "fifo",
            "fifo:/path",
            "named pipe",
            "fifo:/run/jobs",
            &[Create, Mode, Capacity, Framing, Timeout],
        ),
        row(
            "file",
            "file:/path",
            "file, appended to and followed",
            "file:/var/log/jobs",
            &[Create, Mode, Budget, Framing, Timeout],
        ),
        row("mmap", "mmap:/path", "mapped file", "mmap:/run/ring", RING),
        row("lock", "lock:/path", "advisory lock on a file", "lock:/run/jobs.lock", &[Create, Mode, Timeout]),
        row(
            "unix",
            "unix:/path or unix:@name",
            "Unix stream socket",
            "unix:/run/jobs.sock",
            &[Create, Mode, Capacity, Framing, Timeout],
        ),
        row(
            "unix-dgram",
            "unix-dgram:/path or unix-dgram:@name",
            "Unix datagram socket",
            "unix-dgram:/run/log.sock",
            UNIX,
        ),
        row(
            "unix-seqpacket",
            "unix-seqpacket:/path or unix-seqpacket:@name",
            "Unix socket, connected and with message boundaries",
            "unix-seqpacket:@jobs",
            UNIX,
        ),
        row("tcp", "tcp:host:port", "TCP", "tcp:localhost:7000", &[Capacity, Framing, Timeout]),
        row("udp", "udp:host:port", "UDP", "udp:[::1]:7000", &[Capacity, Timeout]),
        row("raw", "raw:proto@host", "raw IP socket", "raw:icmp@127.0.0.1", &[Timeout]),
        row(
            "sysv-msg",
            "sysv-msg:KEY",
            "System V message queue",
            "sysv-msg:0x7477",
            &[Create, Mode, Capacity, Type, Timeout],
        ),
        row(
            "sysv-sem",
            "sysv-sem:KEY[/N]",
            "System V semaphore set, or one semaphore of it",
            "sysv-sem:0x7477/0",
            &[Create, Mode, Count, Value, Timeout],
        ),
        row("sysv-shm", "sysv-shm:KEY", "System V shared memory", "sysv-shm:0x7477", RING),
        row(
            "posix-mq",
            "posix-mq:/name",
            "POSIX message queue",
            "posix-mq:/jobs",
            &[Create, Mode, Capacity, MessageSize, Prio, Timeout],
        ),
        row(
            "posix-sem",
            "posix-sem:/name",
            "POSIX semaphore",
            "posix-sem:/turn",
            &[Create, Mode, Value, Timeout],
        ),
        row("posix-shm", "posix-shm:/name", "POSIX shared memory", "posix-shm:/frame", RING),
        row(
            "signal",
            "signal:PID[/NAME]",
            "signals to a process, to a group (-PGID) or to the own group (0)",
            "signal:4711/USR1",
            &[Value, Timeout],
        ),
        row("eventfd", "eventfd:", "event counter", "eventfd:", &[Value, Timeout]),
        row("memfd", "memfd:", "memory with a descriptor and seals", "memfd:", &[Size]),
        row(
            "topic",
            "topic:NAME",
            "bus: every subscriber gets every message",
            "topic:prices",
            &[Create, Mode, Capacity, Budget, History, Slow, Timeout],
        ),
        row(
            "queue",
            "queue:NAME",
            "bus: one consumer gets each message",
            "queue:jobs",
            &[Create, Mode, Capacity, Budget, Retries, Visibility, Timeout],
        ),
        row(
            "latest",
            "latest:NAME",
            "bus: the newest value",
            "latest:plant/speed",
            &[Create, Mode, MessageSize, Timeout],
        ),
        row("rpc", "rpc:NAME", "bus: a service to call", "rpc:resize", &[Create, Mode, Capacity, Timeout]),
    ];

    /// The scheme of a name, given without its colon.
    pub fn of(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|scheme| scheme.name == name)
    }

    /// The name as a message shows it: with its colon, if it has one.
    pub(crate) fn shown(&self) -> String {
        if self.name == "-" { self.name.to_owned() } else { format!("{}:", self.name) }
    }
}

const UNIX: &[OptionName] = &[Create, Mode, Capacity, Timeout];
const RING: &[OptionName] = &[Create, Mode, Capacity, Budget, Size, Timeout];

const fn row(
    name: &'static str,
    form: &'static str,
    summary: &'static str,
    example: &'static str,
    options: &'static [OptionName],
) -> Scheme {
    Scheme { name, form, summary, example, options }
}
