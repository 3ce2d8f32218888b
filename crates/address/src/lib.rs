//! Endpoint addresses: one way to name any object that processes talk through.
//!
//! ```
//! use twixt_address::{Address, Endpoint};
//!
//! let address: Address = "fifo:/run/jobs?create&timeout=2s".parse()?;
//! match address.endpoint() {
//!     Endpoint::Fifo(path) => assert_eq!(path.as_path().to_str(), Some("/run/jobs")),
//!     other => println!("{other} is no FIFO"),
//! }
//! assert!(address.options().create());
//! assert_eq!(address.to_string(), "fifo:/run/jobs?create&timeout=2s");
//! # Ok::<(), twixt_address::ParseError>(())
//! ```
//!
//! This crate knows the grammar and nothing else: it opens nothing, looks nothing up and depends on nothing.
//!
//! # Addresses
//!
//! | address | leads to | options |
//! |---|---|---|
//! | `pipe:` | anonymous pipe | `capacity` (bytes), `framing`, `timeout` |
//! | `exec:COMMAND` | standard input and output of a command | `framing`, `timeout` |
//! | `fd:N` | inherited descriptor, from 0 | `framing`, `timeout` |
//! | `-` | standard input and output | `framing`, `timeout` |
//! | `fifo:/path` | named pipe | `create`, `mode`, `capacity` (bytes), `framing`, `timeout` |
//! | `file:/path` | file, appended to and followed | `create`, `mode`, `budget`, `framing`, `timeout` |
//! | `mmap:/path` | mapped file, a ring | `create`, `mode`, `capacity` (bytes), `budget`, `size`, `timeout` |
//! | `lock:/path` | advisory lock on a file | `create`, `mode`, `timeout` |
//! | `unix:/path` or `unix:@name` | Unix stream socket, by path or by abstract name | `create`, `mode` (paths only), `capacity` (bytes), `framing`, `timeout` |
//! | `unix-dgram:/path` or `unix-dgram:@name` | Unix datagram socket | `create`, `mode` (paths only), `capacity` (bytes), `timeout` |
//! | `unix-seqpacket:/path` or `unix-seqpacket:@name` | Unix socket, connected and with message boundaries | the same |
//! | `tcp:host:port` | TCP; an IPv6 address as `tcp:[::1]:80` | `capacity` (bytes), `framing`, `timeout` |
//! | `udp:host:port` | UDP | `capacity` (bytes), `timeout` |
//! | `raw:proto@host` | raw IP socket; `proto` is a name (`icmp`) or 1 to 255 | `timeout` |
//! | `sysv-msg:KEY` | System V message queue | `create`, `mode`, `capacity` (bytes), `type`, `timeout` |
//! | `sysv-sem:KEY[/N]` | System V semaphore set, or semaphore N of it, from 0 | `create`, `mode`, `count`, `value`, `timeout` |
//! | `sysv-shm:KEY` | System V shared memory, a ring | `create`, `mode`, `capacity` (bytes), `budget`, `size`, `timeout` |
//! | `posix-mq:/name` | POSIX message queue | `create`, `mode`, `capacity` (messages), `message-size`, `prio`, `timeout` |
//! | `posix-sem:/name` | POSIX semaphore | `create`, `mode`, `value`, `timeout` |
//! | `posix-shm:/name` | POSIX shared memory, a ring | `create`, `mode`, `capacity` (bytes), `budget`, `size`, `timeout` |
//! | `signal:PID[/NAME]` | signals to a process, to a group (`-PGID`) or to the own group (`0`) | `value`, `timeout` |
//! | `eventfd:` | event counter | `value`, `timeout` |
//! | `memfd:` | memory with a descriptor and seals | `size` |
//! | `topic:NAME` | bus: every subscriber gets every message | `create`, `mode`, `capacity` (bytes), `budget`, `history`, `slow`, `timeout` |
//! | `queue:NAME` | bus: one consumer gets each message | `create`, `mode`, `capacity` (bytes), `budget`, `retries`, `visibility`, `timeout` |
//! | `latest:NAME` | bus: the newest value | `create`, `mode`, `message-size`, `timeout` |
//! | `rpc:NAME` | bus: a service to call | `create`, `mode`, `capacity` (bytes), `timeout` |
//!
//! A System V **KEY** is one of
//!
//! | form | means |
//! |---|---|
//! | `0x7477` | a `key_t` of the programs' choice, `0x1` to `0xffffffff`; so it prints |
//! | `29815`, `-2` | the same in decimal, as C prints a `key_t` |
//! | `id=3` | the kernel's identifier of an object that exists, as `ipcs` shows it; takes no option that makes one |
//! | `ftok=/path,7` | the key that `ftok(3)` makes of a file and a project number, 1 to 255; the last comma separates them |
//! | `private` | `IPC_PRIVATE`, a new object without a key |
//!
//! # Options
//!
//! Options follow a question mark and are joined by `&`, each at most once: `?create&mode=0600&timeout=2s`.
//!
//! | option | value |
//! |---|---|
//! | `create` | none; the object is made if there is none |
//! | `mode` | permission bits in octal, 0 to 0777 |
//! | `capacity` | bytes or messages, from 0, with `k` (1024), `M` or `G` |
//! | `budget` | bytes, from 1, with `k`, `M` or `G` |
//! | `size`, `message-size` | bytes, from 1, with `k`, `M` or `G` |
//! | `count` | semaphores of a new set, 1 to 65536 |
//! | `value` | initial value: of a System V semaphore 0 to 32767, of a POSIX semaphore to 2147483647, of an eventfd to 4294967295; with a signal, any `int` |
//! | `type` | type of System V messages, 1 to 2⁶³ − 1 |
//! | `prio` | priority of POSIX messages, 0 to 32767 |
//! | `history` | messages of each publisher, from 0 |
//! | `slow` | `block`, `drop-oldest`, `drop-newest` or `disconnect` |
//! | `retries` | how often a job is handed out, 0 (any number of times) to 4294967295 |
//! | `visibility` | as `timeout`, more than 0 |
//! | `framing` | `frame`, `lines`, `nul`, `len` or `raw` |
//! | `timeout` | a whole number and `ns`, `us`, `ms`, `s` or `m` |
//!
//! # Any byte
//!
//! In paths, commands, POSIX names and abstract names, `%` and two hexadecimal digits stand for one byte: `%3F` for a
//! question mark, `%25` for a percent sign, `%FF` for a byte that is not UTF-8, `%40` for an `@` at the beginning of
//! a socket's path. Everything else stands for itself; a command needs no quotes beyond the shell's own:
//! `exec:ls -t | head -1`. The zone of an IPv6 address is written `tcp:[fe80::1%25eth0]:80`.
//!
//! # Errors
//!
//! [`ParseError`] says which part is wrong ([`span`](ParseError::span)), why, and what would be right.

#![forbid(unsafe_code)]

mod address;
mod bus;
mod endpoint;
mod error;
mod framing;
mod net;
mod number;
mod options;
mod parse;
mod path;
mod percent;
mod posix;
mod process;
mod scheme;
mod slow;
mod sysv;
mod unix;

pub use address::Address;
pub use bus::BusName;
pub use endpoint::Endpoint;
pub use error::{ParseError, ValueError};
pub use framing::Framing;
pub use net::{Host, HostPort, Protocol};
pub use options::{OptionName, Options, parse_duration, parse_size};
pub use path::{Command, FilePath};
pub use posix::{PosixName, SemName};
pub use process::{Descriptor, Pid, ProcessGroup, SignalName, SignalTarget};
pub use scheme::Scheme;
pub use slow::Slow;
pub use sysv::{SysvId, SysvKey};
pub use unix::{AbstractName, SocketPath, UnixKind, UnixName};
