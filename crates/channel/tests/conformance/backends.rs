//! The table of backends: a line for each.

use std::net::Ipv4Addr;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use twixt_address::Address;
use twixt_testkit::{TempDir, scratch, unique_key, unique_name};

/// A mechanism, and how the two ends of a channel of it come about.
///
/// In addresses `{directory}`, `{name}`, `{key}`, `{host}` and `{receiver}` stand for an empty directory, a name, a System V
/// key and a loopback address of the test's own, and the receiver's process id.
pub struct Backend {
    pub name: &'static str,
    /// By what the sender opens its end.
    pub sender: &'static str,
    /// By what the receiver does, and whoever listens.
    pub receiver: &'static str,
    /// What is made before either is opened, by its address.
    before: Option<&'static str>,
    /// What else stays, by its address.
    stays: Option<&'static str>,
    /// The descriptors that the two are started with.
    descriptors: Option<fn() -> [Passed; 2]>,
    /// An address that gives back what is sent to it, of a mechanism whose two ways do not lead to another process of ours.
    pub echo: Option<&'static str>,
    /// Whether both ends live in one process, since they cannot be opened anywhere else.
    pub in_threads: bool,
    /// Whether what waits counts for all processes of a user, so that the receiver needs to be one of a user namespace.
    pub counts_for_user: bool,
    /// A capacity that can be asked for, in the mechanism's unit.
    pub capacity: u64,
}

/// Descriptors, and the numbers that a process gets them under.
pub type Passed = Vec<(OwnedFd, RawFd)>;

#[rustfmt::skip]
pub const BACKENDS: &[Backend] = &[
    threads("local", "local:"),
    threads("local-bytes", "local:?capacity=64k"),
    threads("pipe", "pair:pipe:"),
    threads("eventfd", "pair:eventfd:"),
    passed("fd-pipe", "fd:30", || descriptors(pipe())),
    passed("fd-unix", "fd:30", || descriptors(sockets(SocketType::STREAM))),
    passed("fd-dgram", "fd:30", || descriptors(sockets(SocketType::DGRAM))),
    passed("fd-seqpacket", "fd:30", || descriptors(sockets(SocketType::SEQPACKET))),
    passed("fd-eventfd", "fd:30", || descriptors(eventfd())),
    passed("stdio", "-", crossed),
    exec("exec", "exec:cat > {directory}/between", "exec:cat {directory}/between"),
    named("fifo", "fifo:{directory}/fifo?create"),
    named("file", "file:{directory}/file?create"),
    named("mmap", "mmap:{directory}/ring?create"),
    named("unix", "unix:{directory}/socket"),
    named("unix-abstract", "unix:@{name}"),
    named("unix-dgram", "unix-dgram:{directory}/socket"),
    named("unix-seqpacket", "unix-seqpacket:{directory}/socket"),
    named("tcp", "tcp:{host}:7447?capacity=64k"),
    named("udp", "udp:{host}:7447"),
    named("sysv-msg", "sysv-msg:{key}?create").capacity(8 * 1024),
    named("sysv-shm", "sysv-shm:{key}?create").leaves("sysv-sem:{key}"),
    named("posix-mq", "posix-mq:/{name}?create&message-size=2k").capacity(4),
    named("posix-shm", "posix-shm:/{name}?create"),
    named("topic", "topic:{name}?create"),
    named("queue", "queue:{name}?create"),
    named("latest", "latest:{name}?create"),
    named("rpc", "rpc:{name}?create"),
    named("signal", "signal:{receiver}/RTMIN+3").counted_for_user(),
];

/// Opened by the same name in any process.
const fn named(name: &'static str, address: &'static str) -> Backend {
    Backend {
        name,
        sender: address,
        receiver: address,
        before: None,
        stays: None,
        descriptors: None,
        echo: None,
        in_threads: false,
        counts_for_user: false,
        capacity: 64 * 1024,
    }
}

const fn threads(name: &'static str, address: &'static str) -> Backend {
    Backend { in_threads: true, ..named(name, address) }
}

const fn passed(name: &'static str, address: &'static str, descriptors: fn() -> [Passed; 2]) -> Backend {
    Backend { descriptors: Some(descriptors), ..named(name, address) }
}

/// Two commands, joined by a FIFO.
const fn exec(name: &'static str, sender: &'static str, receiver: &'static str) -> Backend {
    let before = Some("fifo:{directory}/between");
    Backend { sender, receiver, before, echo: Some("exec:cat"), ..named(name, "") }
}

impl Backend {
    const fn capacity(self, capacity: u64) -> Self {
        Self { capacity, ..self }
    }

    const fn leaves(self, address: &'static str) -> Self {
        Self { stays: Some(address), ..self }
    }

    const fn counted_for_user(self) -> Self {
        Self { counts_for_user: true, ..self }
    }

    /// Whether the process that starts it decides what it is.
    pub fn is_passed(&self) -> bool {
        self.descriptors.is_some()
    }

    /// Whether an end can be opened again, by whoever knows the address.
    pub fn has_name(&self) -> bool {
        !self.sender.starts_with("pair:")
    }

    /// Whether a descriptor decides what it can do, so that nothing is known before it is open.
    pub fn is_any_descriptor(&self) -> bool {
        self.sender.starts_with("fd:")
    }

    /// A place of this kind that nobody else uses.
    pub fn site(&self, of_sender: &str, of_receiver: &str) -> Site {
        let [sender, receiver] = self.descriptors.map_or_else(Default::default, |make| make());
        let mut site = Site {
            names: Names::new(),
            others: Vec::new(),
            sender: Entrance { address: self.sender, options: of_sender.to_owned(), descriptors: sender },
            receiver: Entrance {
                address: self.receiver,
                options: of_receiver.to_owned(),
                descriptors: receiver,
            },
        };
        if let Some(before) = self.before {
            let address = site.names.fill(before);
            let address: Address = address.parse().expect("an address of the table");
            twixt_object::make(&address).expect("a new object");
            site.others.push(address.to_string());
        }
        site.others.extend(self.stays.map(|address| site.names.fill(address)));
        site
    }
}

/// Where the two ends of one test's channel are opened.
pub struct Site {
    pub names: Names,
    /// What is not opened as an end and is there all the same.
    others: Vec<String>,
    pub sender: Entrance,
    pub receiver: Entrance,
}

pub struct Entrance {
    address: &'static str,
    options: String,
    pub descriptors: Passed,
}

impl Site {
    /// The address of an end, once it is known who receives.
    pub fn address(&self, entrance: &Entrance, receiver: i32) -> String {
        let address = self.names.fill(entrance.address).replace("{receiver}", &receiver.to_string());
        join(address, &entrance.options)
    }

    /// Another address at this place.
    pub fn other(&self, template: &str, options: &str) -> String {
        join(self.names.fill(template), options)
    }
}

fn join(address: String, options: &str) -> String {
    if options.is_empty() {
        return address;
    }
    // What a case asks for stands in the place of what the table says.
    let (endpoint, given) = address.split_once('?').unwrap_or((&address, ""));
    let name = |option: &str| option.split('=').next().unwrap_or_default().to_owned();
    let is_room = |option: &str| ["capacity", "budget"].contains(&name(option).as_str());
    let kept = given.split('&').filter(|option| !option.is_empty());
    let kept = kept
        .filter(|old| !options.split('&').any(|new| name(new) == name(old) || is_room(new) && is_room(old)));
    let all: Vec<&str> = kept.chain(options.split('&')).collect();
    format!("{endpoint}?{}", all.join("&"))
}

impl Drop for Site {
    fn drop(&mut self) {
        let ends = [&self.sender, &self.receiver].map(|end| self.address(end, 1));
        for address in ends.iter().chain(&self.others) {
            // Sockets and the like leave nothing, and a failed case may have made nothing.
            if let Ok(address) = address.parse::<Address>()
                && let Ok(found) = twixt_object::find(&Address::from(address.into_parts().0))
            {
                let _ = found.remove();
            }
        }
    }
}

pub struct Names {
    directory: TempDir,
    name: String,
    key: i32,
    host: Ipv4Addr,
}

impl Names {
    fn new() -> Self {
        // All of 127.0.0.0/8 is this machine's; a host of its own saves a test from sharing ports.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let place = std::process::id().wrapping_mul(1021).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        // No part is 0 or 255, which networks and broadcasts have.
        let part = |divisor: u32| u8::try_from(place / divisor % 254 + 1).expect("at most 254");
        let host = Ipv4Addr::new(127, part(254 * 254), part(254), part(1));
        Self { directory: scratch(), name: unique_name(), key: unique_key(), host }
    }

    fn fill(&self, template: &str) -> String {
        template
            .replace("{directory}", self.directory.path().to_str().expect("a plain path"))
            .replace("{name}", &self.name)
            .replace("{key}", &self.key.to_string())
            .replace("{host}", &self.host.to_string())
    }
}

/// One descriptor for each of the two, under the number that the table has in its addresses.
fn descriptors((sender, receiver): (OwnedFd, OwnedFd)) -> [Passed; 2] {
    [vec![(sender, 30)], vec![(receiver, 30)]]
}

fn pipe() -> (OwnedFd, OwnedFd) {
    let (reader, writer) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("free descriptors");
    (writer, reader)
}

fn sockets(kind: SocketType) -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).expect("free descriptors")
}

fn eventfd() -> (OwnedFd, OwnedFd) {
    let flags = rustix::event::EventfdFlags::CLOEXEC;
    let one = rustix::event::eventfd(0, flags).expect("a free descriptor");
    let other = one.try_clone().expect("a free descriptor");
    (one, other)
}

/// The output of each is the input of the other.
fn crossed() -> [Passed; 2] {
    let (to_receiver, from_sender) = pipe();
    let (to_sender, from_receiver) = pipe();
    [vec![(from_receiver, 0), (to_receiver, 1)], vec![(from_sender, 0), (to_sender, 1)]]
}
