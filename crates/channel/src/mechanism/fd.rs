//! Descriptors that this program was started with. What such a one is decides what can be done with it.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat, fstatfs};
use rustix::net::{AddressFamily, SocketType, sockopt};
use twixt_address::{Endpoint, Framing};
use twixt_os::eventfd::EventFd;
use twixt_os::net::{tcp, udp};
use twixt_os::posix::mq;
use twixt_os::{Errno, Error, ErrorKind, Result, inherit, unix};

use super::{
    eventfd, file, posix_mq, seqpacket, tcp as tcp_streams, udp as udp_sockets, unix as unix_streams,
    unix_dgram,
};
use crate::half::{Accept, Halves, ReceiveHalf, SendHalf};
use crate::mechanism::Mechanism;
use crate::origin::Origin;
use crate::{Capabilities, Capacities, Direction, Opening, connection, stream};

pub(super) struct Fd;

impl Mechanism for Fd {
    /// What most descriptors can do: they are pipes and stream sockets. An open one says what it can do itself.
    fn capabilities(&self, _endpoint: &Endpoint) -> Capabilities {
        Capabilities {
            direction: Direction::BothWays,
            capacities: Capacities::empty(),
            ..stream::capabilities(Framing::Frame)
        }
    }

    fn sender(&self, opening: &Opening) -> Result<Box<dyn SendHalf>> {
        let origin = Origin::of(opening);
        match Given::take(opening)? {
            Given::Stream(fd) => {
                writable(&fd, &origin)?;
                stream::sender_over(fd, opening.framing_or(Framing::Frame), &origin)
            }
            Given::Terminal(fd) => stream::sender_over(fd, opening.framing_or(Framing::Lines), &origin),
            Given::File(fd) => {
                writable(&fd, &origin)?;
                Ok(Box::new(file::Sender::new(fd, None, opening.framing_or(Framing::Lines), origin)?))
            }
            Given::Queue(queue) => {
                writable(queue.as_fd(), &origin)?;
                Ok(posix_mq::sender(queue, mq::Priority::LOWEST, origin))
            }
            Given::UdpReceiver(_) => Err(unconnected(opening)),
            Given::Datagram(socket) if socket.peer_address().is_err() => Err(unconnected(opening)),
            Given::Listener(accept) => Ok(accept.accept(opening.opening_wait())?.0),
            both => Ok(both.halves(opening)?.0),
        }
    }

    fn receiver(&self, opening: &Opening) -> Result<Box<dyn ReceiveHalf>> {
        let origin = Origin::of(opening);
        match Given::take(opening)? {
            Given::Stream(fd) => {
                readable(&fd, &origin)?;
                stream::receiver_over(fd, opening.framing_or(Framing::Frame), &origin)
            }
            Given::Terminal(fd) => stream::receiver_over(fd, opening.framing_or(Framing::Lines), &origin),
            Given::File(fd) => {
                readable(&fd, &origin)?;
                Ok(Box::new(file::Receiver::new(fd, None, opening, Framing::Lines)?))
            }
            Given::Queue(queue) => {
                readable(queue.as_fd(), &origin)?;
                Ok(posix_mq::receiver(queue))
            }
            Given::UdpReceiver(socket) => udp_sockets::receiver_of(socket),
            Given::Listener(accept) => connection::gather(accept),
            Given::Seqpacket(socket) => Ok(connection::quiet(seqpacket::halves_of(socket, origin.object))),
            both => Ok(both.halves(opening)?.1),
        }
    }

    fn duplex(&self, opening: &Opening) -> Result<Halves> {
        match Given::take(opening)? {
            Given::Listener(accept) => accept.accept(opening.opening_wait()),
            Given::UdpReceiver(_) => Err(unconnected(opening)),
            Given::Datagram(socket) if socket.peer_address().is_err() => Err(unconnected(opening)),
            Given::Counter(_) => {
                let why =
                    "who adds to a counter would take what it added itself; open it to send or to receive";
                Err(opening.refused("open", ErrorKind::Unsupported, why))
            }
            given => given.halves(opening),
        }
    }

    fn listener(&self, opening: &Opening) -> Result<Box<dyn Accept>> {
        match Given::take(opening)? {
            Given::Listener(accept) => Ok(accept),
            _ => Err(opening.refused("listen at", ErrorKind::InvalidInput, "it is no listening socket")),
        }
    }
}

/// A descriptor, by what it is.
enum Given {
    /// A pipe, FIFO or connected stream socket.
    Stream(OwnedFd),
    /// A terminal or another device.
    Terminal(OwnedFd),
    File(OwnedFd),
    Queue(mq::Queue),
    Counter(EventFd),
    Seqpacket(unix::Seqpacket),
    Datagram(unix::Datagram),
    Udp(udp::Connected),
    /// Not connected.
    UdpReceiver(udp::Socket),
    Listener(Box<dyn Accept>),
}

/// `fstatfs(2)` of the file system in which POSIX message queues are.
const MQUEUE_MAGIC: i64 = 0x1980_0202;

impl Given {
    fn take(opening: &Opening) -> Result<Self> {
        let origin = Origin::of(opening);
        let fail = |errno| Error::kernel(origin.mechanism, "look at", origin.object.clone(), errno);
        let fd = descriptor(opening, &origin)?;
        let refuse = |what: &str| {
            let why = format!("messages can be neither sent to nor received from {what}");
            Err(opening.refused("open", ErrorKind::Unsupported, why))
        };
        match FileType::from_raw_mode(fstat(&fd).map_err(fail)?.st_mode) {
            FileType::Fifo => Ok(Self::Stream(fd)),
            FileType::CharacterDevice => Ok(Self::Terminal(fd)),
            FileType::Socket => Self::of_socket(fd, opening, &origin),
            FileType::RegularFile => match fstatfs(&fd).map_err(fail)?.f_type {
                MQUEUE_MAGIC => Ok(Self::Queue(mq::Queue::try_from(fd)?)),
                _ => Ok(Self::File(fd)),
            },
            FileType::Directory => refuse("a directory"),
            FileType::BlockDevice => refuse("a block device"),
            // Nothing else has no type of file: eventfd, epoll, timerfd, ...
            _ => match EventFd::try_from(fd) {
                Ok(counter) => Ok(Self::Counter(counter)),
                Err(_) => {
                    refuse("what this is: a pipe, socket, file, queue, terminal or eventfd can be used")
                }
            },
        }
    }

    fn of_socket(fd: OwnedFd, opening: &Opening, origin: &Origin) -> Result<Self> {
        let fail = |errno| Error::kernel(origin.mechanism, "look at", origin.object.clone(), errno);
        let domain = sockopt::socket_domain(&fd).map_err(fail)?;
        let kind = sockopt::socket_type(&fd).map_err(fail)?;
        let listens = sockopt::socket_acceptconn(&fd).map_err(fail)?;
        let is_inet = [AddressFamily::INET, AddressFamily::INET6].contains(&domain);
        Ok(match (domain, kind) {
            (AddressFamily::UNIX, SocketType::STREAM) if listens => {
                Self::Listener(unix_streams::listening(unix::StreamListener::try_from(fd)?, opening))
            }
            (AddressFamily::UNIX, SocketType::SEQPACKET) if listens => {
                Self::Listener(seqpacket::accept(unix::SeqpacketListener::try_from(fd)?, None, opening))
            }
            (_, SocketType::STREAM) if is_inet && listens => {
                Self::Listener(tcp_streams::listening(tcp::Listener::try_from(fd)?, opening)?)
            }
            (AddressFamily::UNIX, SocketType::SEQPACKET) => Self::Seqpacket(unix::Seqpacket::try_from(fd)?),
            (AddressFamily::UNIX, SocketType::DGRAM) => Self::Datagram(unix::Datagram::try_from(fd)?),
            (AddressFamily::UNIX, SocketType::STREAM) => Self::Stream(fd),
            (_, SocketType::STREAM) if is_inet => Self::Stream(fd),
            (_, SocketType::DGRAM) if is_inet => {
                // A failed attempt would close it.
                match rustix::net::getpeername(&fd) {
                    Ok(Some(_)) => Self::Udp(udp::Connected::try_from(fd)?),
                    _ => Self::UdpReceiver(udp::Socket::try_from(fd)?),
                }
            }
            _ => {
                let why = "messages can be neither sent to nor received from a socket of that family or type";
                return Err(opening.refused("open", ErrorKind::Unsupported, why));
            }
        })
    }

    fn halves(self, opening: &Opening) -> Result<Halves> {
        let origin = Origin::of(opening);
        match self {
            Self::Stream(fd) => {
                if readable(&fd, &origin).and(writable(&fd, &origin)).is_err() {
                    let why = "a pipe has one direction; open it to send or to receive";
                    return Err(opening.refused("open", ErrorKind::Unsupported, why));
                }
                both(fd, opening, Framing::Frame, &origin)
            }
            Self::Terminal(fd) => both(fd, opening, Framing::Lines, &origin),
            Self::Counter(counter) => Ok(eventfd::halves_of(counter, origin)),
            Self::Seqpacket(socket) => Ok(seqpacket::halves_of(socket, origin.object)),
            Self::Datagram(socket) => unix_dgram::halves_of(socket),
            Self::Udp(socket) => udp_sockets::halves_of(socket),
            Self::Listener(accept) => accept.accept(opening.opening_wait()),
            Self::File(_) | Self::Queue(_) | Self::UdpReceiver(_) => {
                let why = "what is sent to it comes back from it; open it to send or to receive";
                Err(opening.refused("open", ErrorKind::Unsupported, why))
            }
        }
    }
}

/// Takes over the descriptor. The standard streams stay where they are, and a copy is taken.
fn descriptor(opening: &Opening, origin: &Origin) -> Result<OwnedFd> {
    let Endpoint::Fd(number) = opening.endpoint() else {
        return Err(opening.refused("open", ErrorKind::InvalidInput, "it names no descriptor"));
    };
    let copied = match number.get() {
        0 => std::io::stdin().as_fd().try_clone_to_owned(),
        1 => std::io::stdout().as_fd().try_clone_to_owned(),
        2 => std::io::stderr().as_fd().try_clone_to_owned(),
        number => {
            return inherit::inherited(number).map_err(|error| {
                let errno = error.errno().unwrap_or(Errno::BADF);
                Error::kernel(origin.mechanism, "take over", origin.object.clone(), errno)
                    .with_advice("no such descriptor was inherited, or it was taken before")
            });
        }
    };
    copied.map_err(|error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::BADF);
        Error::kernel(origin.mechanism, "take over", origin.object.clone(), errno)
    })
}

/// Both directions of one descriptor.
fn both(fd: OwnedFd, opening: &Opening, usual: Framing, origin: &Origin) -> Result<Halves> {
    let framing = opening.framing_or(usual);
    let copy = fd.try_clone().map_err(|error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::MFILE);
        Error::kernel(origin.mechanism, "copy", origin.object.clone(), errno)
    })?;
    Ok((stream::sender_over(copy, framing, origin)?, stream::receiver_over(fd, framing, origin)?))
}

fn writable(fd: impl AsFd, origin: &Origin) -> Result<()> {
    let why = "the descriptor is open for reading only";
    allows(fd, origin, "send to", OFlags::RDONLY, why)
}

fn readable(fd: impl AsFd, origin: &Origin) -> Result<()> {
    let why = "the descriptor is open for writing only";
    allows(fd, origin, "receive from", OFlags::WRONLY, why)
}

fn allows(
    fd: impl AsFd,
    origin: &Origin,
    operation: &'static str,
    unless: OFlags,
    why: &'static str,
) -> Result<()> {
    match fcntl_getfl(fd) {
        Ok(flags) if flags & OFlags::RWMODE == unless => {
            Err(origin.refused(operation, ErrorKind::InvalidInput, why))
        }
        Ok(_) => Ok(()),
        Err(errno) => Err(Error::kernel(origin.mechanism, operation, origin.object.clone(), errno)),
    }
}

fn unconnected(opening: &Opening) -> Error {
    let why = "the socket is not connected, so it does not say where to send to";
    opening.refused("send to", ErrorKind::NoPeer, why)
}
