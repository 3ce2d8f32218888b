//! Where connections and messages come from.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use rustix::net::{AddressFamily, SocketType, sockopt};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use twixt::address::{Address, Endpoint, OptionName, UnixKind, UnixName};
use twixt::channel::{Boundaries, Capabilities, Framing, Message, Receiver};
use twixt::os::net::udp;
use twixt::os::unix::{self, BindOptions, Datagram, UnlinkGuard};
use twixt::os::{Deadline, ErrorKind, Mode, Wait, inherit};

use super::door::{Door, Guest, TAKE_OVER};
use super::message::{Answer, Request};
use super::talk::{Question, Talk};
use crate::args::Serve;
use crate::channel;

/// What comes in, and how.
pub enum Source {
    /// A command per connection.
    Door(Door),
    /// A command per message of connections.
    Talk(Talk),
    /// A command per message, which may be answered.
    Unix {
        _path: Option<UnlinkGuard>,
        socket: Arc<Datagram>,
        room: Vec<u8>,
        name: String,
    },
    Udp {
        socket: Arc<udp::Socket>,
        room: Vec<u8>,
        name: String,
    },
    /// A command per message, which nobody waits for.
    Mailbox {
        receiver: Box<Receiver>,
        goes_on: bool,
        name: String,
    },
}

/// What has come.
pub enum Work {
    Connection(Guest),
    Question(Box<Question>),
    Message(Request, Answer),
}

/// More than any datagram over IP has.
const ROOM: usize = 65_536;

/// What the command line asks for.
pub fn open(arguments: &Serve) -> anyhow::Result<Vec<Source>> {
    match &arguments.address {
        Some(address) => Ok(vec![of_address(address, arguments)?]),
        None => activated()?.map(|number| of_descriptor(number, arguments)).collect(),
    }
}

/// The descriptors that were passed by the convention of `sd_listen_fds(3)`.
fn activated() -> anyhow::Result<std::ops::Range<i32>> {
    let number = |name: &str| -> anyhow::Result<i32> {
        let value = std::env::var(name)
            .map_err(|_| anyhow!("{name} is not set; systemd or systemd-socket-activate sets it"))?;
        value.parse().map_err(|_| anyhow!("{name} is {value:?}, and no number"))
    };
    let read = || -> anyhow::Result<i32> {
        let (pid, own) = (number("LISTEN_PID")?, std::process::id());
        if u32::try_from(pid) != Ok(own) {
            bail!("LISTEN_PID is {pid}, and this is process {own}: the sockets are meant for another");
        }
        match number("LISTEN_FDS")? {
            count @ 1..=10_000 => Ok(count),
            count => bail!("LISTEN_FDS says that there are {count} of them"),
        }
    };
    let count = read().context("cannot serve activated sockets")?;
    Ok(3..3 + count)
}

fn of_address(address: &Address, arguments: &Serve) -> anyhow::Result<Source> {
    let endpoint = address.endpoint();
    if let Endpoint::Fd(number) = endpoint {
        let number = number.get();
        return of_descriptor_at(number, address, arguments);
    }
    let Some(can) = Capabilities::of(endpoint) else {
        bail!("cannot serve {endpoint}: it carries no messages")
    };
    if arguments.per_message && !can.listens {
        bail!(
            "cannot serve {endpoint}: --per-message is for connections (unix, unix-seqpacket, tcp); here each \
             message has a command anyway"
        );
    }
    if arguments.create && can.listens {
        bail!("cannot serve {endpoint}: --create does not apply: what listens is made anyway");
    }
    if arguments.framing.is_some()
        && (can.boundaries == Boundaries::Kept || (can.listens && !arguments.per_message))
    {
        bail!("cannot serve {endpoint}: --framing is for streams of bytes that are cut into messages");
    }
    // A connection on the bus is memory, and no command has that as its standard input.
    let is_memory = matches!(endpoint, Endpoint::Rpc(_));
    if can.listens && !arguments.per_message && !is_memory {
        return Ok(Source::Door(Door::open(address)?.context("nothing connects to it")?));
    }
    match endpoint {
        Endpoint::Unix { kind: UnixKind::Datagram, name } => {
            only(address, &[OptionName::Mode, OptionName::Create])?;
            let bound = match name {
                UnixName::Path(path) => unix::Address::path(path.as_path())?,
                UnixName::Abstract(name) => unix::Address::abstract_name(name.as_bytes())?,
            };
            let mode = address.options().mode().and_then(Mode::new).unwrap_or_default();
            let options =
                BindOptions::new().mode(mode).take_over_stale(Wait::until(Deadline::after(TAKE_OVER)));
            let socket = options.datagram(&bound)?;
            let path = bound.as_path().map(|_| socket.unlink_on_drop()).transpose()?;
            of_datagrams(socket, path, endpoint.to_string())
        }
        Endpoint::Udp(peer) => {
            only(address, &[])?;
            of_udp(udp::Socket::bind((peer.host.as_str(), peer.port))?)
        }
        _ if can.listens => talk(address, arguments),
        _ => mailbox(address, arguments),
    }
}

fn talk(address: &Address, arguments: &Serve) -> anyhow::Result<Source> {
    let opening = channel::opening(address, false, None, arguments.framing)?;
    let listener = opening.listener()?;
    let is_framed = listener.capabilities().boundaries == Boundaries::Framed;
    let framing = address.options().framing().or(arguments.framing).unwrap_or(Framing::Frame);
    Ok(Source::Talk(Talk::new(listener, is_framed.then_some(framing))?))
}

fn mailbox(address: &Address, arguments: &Serve) -> anyhow::Result<Source> {
    let endpoint = address.endpoint();
    let opening = channel::opening(address, arguments.create, None, arguments.framing)?;
    let receiver = Box::new(opening.receiver()?);
    let goes_on = matches!(endpoint, Endpoint::Fifo(_) | Endpoint::File(_));
    Ok(Source::Mailbox { receiver, goes_on, name: endpoint.to_string() })
}

fn of_datagrams(socket: Datagram, path: Option<UnlinkGuard>, name: String) -> anyhow::Result<Source> {
    socket.set_pass_credentials(true)?;
    // One that is longer than the room is looked at first, and then there is room.
    socket.keep_long_messages(true);
    Ok(Source::Unix { _path: path, socket: Arc::new(socket), room: vec![0; ROOM], name })
}

fn of_udp(socket: udp::Socket) -> anyhow::Result<Source> {
    let name = format!("udp:{}", socket.local_address()?);
    Ok(Source::Udp { socket: Arc::new(socket), room: vec![0; ROOM], name })
}

fn of_descriptor(number: i32, arguments: &Serve) -> anyhow::Result<Source> {
    of_descriptor_at(number, &format!("fd:{number}").parse()?, arguments)
}

/// Serves what this program was started with, which its kind decides.
fn of_descriptor_at(number: i32, address: &Address, arguments: &Serve) -> anyhow::Result<Source> {
    let what = look(number).with_context(|| format!("cannot serve {address}"))?;
    match what {
        What::Listener if arguments.per_message => talk(address, arguments),
        What::Listener => {
            only(address, &[])?;
            Ok(Source::Door(Door::inherited(inherit::inherited(number)?)?))
        }
        _ if arguments.per_message => {
            bail!("cannot serve {address}: --per-message is for sockets that listen")
        }
        What::UnixDatagrams => {
            only(address, &[])?;
            of_datagrams(Datagram::try_from(inherit::inherited(number)?)?, None, address.to_string())
        }
        What::Udp => {
            only(address, &[])?;
            of_udp(udp::Socket::try_from(inherit::inherited(number)?)?)
        }
        What::Connection => bail!(
            "cannot serve {address}: it is a connection, and no socket that listens; a shell gives it to the command: \
             COMMAND <&{number} >&{number}"
        ),
        What::Other => mailbox(address, arguments),
    }
}

enum What {
    Listener,
    Connection,
    UnixDatagrams,
    Udp,
    Other,
}

/// Looks at a descriptor without taking it over.
fn look(number: i32) -> anyhow::Result<What> {
    let own = pidfd_open(rustix::process::getpid(), PidfdFlags::empty())?;
    let copy: OwnedFd = pidfd_getfd(own, number, PidfdGetfdFlags::empty())
        .with_context(|| format!("there is no descriptor {number}"))?;
    let Ok(kind) = sockopt::socket_type(&copy) else { return Ok(What::Other) };
    let is_unix = sockopt::socket_domain(&copy)? == AddressFamily::UNIX;
    Ok(match kind {
        SocketType::STREAM | SocketType::SEQPACKET if sockopt::socket_acceptconn(&copy)? => What::Listener,
        SocketType::STREAM | SocketType::SEQPACKET => What::Connection,
        SocketType::DGRAM if is_unix => What::UnixDatagrams,
        SocketType::DGRAM => What::Udp,
        _ => What::Other,
    })
}

/// Refuses options that mean nothing here.
fn only(address: &Address, names: &[OptionName]) -> anyhow::Result<()> {
    match address.options().given().find(|name| !names.contains(name)) {
        Some(name) => bail!("cannot serve {address}: option {name} means nothing here"),
        None => Ok(()),
    }
}

impl Source {
    /// The next to come.
    pub fn take(&mut self, number: u64, wait: Wait) -> twixt::os::Result<Work> {
        match self {
            Self::Door(door) => door.accept(wait).map(Work::Connection),
            Self::Talk(talk) => talk.take(wait).map(Box::new).map(Work::Question),
            Self::Unix { socket, room, .. } => {
                let received = match socket.receive_with_wait(room, wait) {
                    Err(error) if error.kind() == ErrorKind::TooLong => {
                        room.resize(room.len() * 2, 0);
                        return Err(error.with_kind(ErrorKind::WouldBlock));
                    }
                    received => received?,
                };
                let source = (!received.from.is_unnamed()).then(|| received.from.to_string());
                let request = Request {
                    number,
                    bytes: room[..received.len].to_vec(),
                    message_type: None,
                    priority: None,
                    credentials: received.credentials,
                    descriptors: received.descriptors,
                    source,
                };
                let answer = match received.from.is_unnamed() {
                    true => Answer::None,
                    false => Answer::Unix(Arc::clone(socket), received.from),
                };
                Ok(Work::Message(request, answer))
            }
            Self::Udp { socket, room, .. } => {
                let (length, from) = socket.receive_from_wait(room, wait)?;
                let request = Request {
                    number,
                    bytes: room[..length].to_vec(),
                    message_type: None,
                    priority: None,
                    credentials: None,
                    descriptors: Vec::new(),
                    source: Some(from.to_string()),
                };
                Ok(Work::Message(request, Answer::Udp(Arc::clone(socket), from)))
            }
            Self::Mailbox { receiver, .. } => {
                let mut message = Message::new();
                receiver.receive_wait(&mut message, wait)?;
                Ok(Work::Message(Request::of(number, message), Answer::None))
            }
        }
    }

    /// Whether something may come although all who could send have gone.
    pub fn goes_on(&self) -> bool {
        match self {
            Self::Mailbox { goes_on, .. } => *goes_on,
            _ => true,
        }
    }

    /// Whether what comes are connections, which may last.
    pub fn is_of_connections(&self) -> bool {
        matches!(self, Self::Door(_) | Self::Talk(_))
    }

    /// What others know it by.
    pub fn name(&self) -> String {
        match self {
            Self::Door(door) => door.address().unwrap_or_else(|| "a socket without a name".to_owned()),
            Self::Talk(talk) => talk.name().to_owned(),
            Self::Unix { name, .. } | Self::Udp { name, .. } | Self::Mailbox { name, .. } => name.clone(),
        }
    }

    /// How long to poll at most before it is asked again.
    pub fn patience(&self) -> Option<Duration> {
        match self {
            Self::Talk(talk) => talk.patience(),
            Self::Mailbox { receiver, .. } => receiver.readiness().ok()?.patience(),
            Self::Door(_) | Self::Unix { .. } | Self::Udp { .. } => None,
        }
    }

    /// Readable when something has come; `None` where that cannot be polled.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Door(door) => Some(door.as_fd()),
            Self::Talk(talk) => Some(talk.as_fd()),
            Self::Unix { socket, .. } => Some(socket.as_fd()),
            Self::Udp { socket, .. } => Some(socket.as_fd()),
            Self::Mailbox { receiver, .. } => receiver.readiness().ok().map(|it| it.descriptor()),
        }
    }
}
