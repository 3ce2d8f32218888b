//! The mechanisms by their names.

use core::fmt;

macro_rules! mechanisms {
    ($($(#[$doc:meta])* $variant:ident => $scheme:literal, $name:literal;)*) => {
        /// A mechanism, as errors name it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Mechanism {
            $($(#[$doc])* $variant,)*
        }

        impl Mechanism {
            /// The scheme of its endpoint addresses.
            pub fn scheme(self) -> &'static str {
                match self {
                    $(Self::$variant => $scheme,)*
                }
            }
        }

        impl fmt::Display for Mechanism {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$variant => $name,)*
                })
            }
        }
    };
}

mechanisms! {
    /// `pipe(7)`
    Pipe => "pipe", "pipe";
    /// `popen(3)`
    Popen => "exec", "command";
    /// `fifo(7)`
    Fifo => "fifo", "FIFO";
    /// A regular file.
    File => "file", "file";
    /// `mmap(2)`
    Mmap => "mmap", "mapped file";
    /// `memfd_create(2)`
    Memfd => "memfd", "memfd";
    /// `eventfd(2)`
    EventFd => "eventfd", "eventfd";
    /// `flock(2)`, `fcntl_locking(2)`
    Lock => "lock", "lock";
    /// `signal(7)`
    Signal => "signal", "signal";
    /// `sysvipc(7)`: message queues
    SysvMsg => "sysv-msg", "System V message queue";
    /// `sysvipc(7)`: semaphore sets
    SysvSem => "sysv-sem", "System V semaphore set";
    /// `sysvipc(7)`: shared memory
    SysvShm => "sysv-shm", "System V shared memory";
    /// `mq_overview(7)`
    PosixMq => "posix-mq", "POSIX message queue";
    /// `sem_overview(7)`
    PosixSem => "posix-sem", "POSIX semaphore";
    /// `shm_overview(7)`
    PosixShm => "posix-shm", "POSIX shared memory";
    /// `unix(7)`: stream
    UnixStream => "unix", "Unix stream socket";
    /// `unix(7)`: datagram
    UnixDatagram => "unix-dgram", "Unix datagram socket";
    /// `unix(7)`: sequenced packets
    UnixSeqpacket => "unix-seqpacket", "Unix seqpacket socket";
    /// `tcp(7)`
    Tcp => "tcp", "TCP socket";
    /// `udp(7)`
    Udp => "udp", "UDP socket";
    /// `raw(7)`
    Raw => "raw", "raw socket";
    /// A descriptor of whatever kind.
    Descriptor => "fd", "descriptor";
    /// Standard input and output.
    Stdio => "-", "standard input and output";
    /// A channel between threads of one process.
    Local => "local", "channel within the process";
    /// A link between two processes that name each other.
    Direct => "direct", "direct link";
    /// The zero-copy bus.
    Bus => "bus", "bus";
}
