//! Where connections come in, each for a command of its own.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::bail;
use rustix::net::{AddressFamily, SocketType, sockopt};
use twixt::address::{Address, Endpoint, OptionName, UnixKind, UnixName};
use twixt::os::net::tcp;
use twixt::os::unix::{
    self, BindOptions, Credentials, Seqpacket, SeqpacketListener, Stream, StreamListener, UnlinkGuard,
};
use twixt::os::{Deadline, Mode, Wait};

/// A listening socket.
#[derive(Debug)]
pub struct Door {
    // Before the socket, so that nobody finds the path of one that listens no more.
    _path: Option<UnlinkGuard>,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Stream(StreamListener),
    Seqpacket(SeqpacketListener),
    Tcp(tcp::Listener),
}

/// A connection, and what is known of the other side.
#[derive(Debug)]
pub struct Guest {
    pub connection: OwnedFd,
    pub source: Option<String>,
    pub credentials: Option<Credentials>,
}

/// How long another process may hold the lock under which a stale path is replaced.
pub const TAKE_OVER: std::time::Duration = std::time::Duration::from_secs(5);

impl Door {
    /// Listens at an address; `None` if nothing connects to what it leads to.
    pub fn open(address: &Address) -> anyhow::Result<Option<Self>> {
        let endpoint = address.endpoint();
        let (path, socket) = match endpoint {
            Endpoint::Unix { kind: kind @ (UnixKind::Stream | UnixKind::Seqpacket), name } => {
                plain(address)?;
                let name = match name {
                    UnixName::Path(path) => unix::Address::path(path.as_path())?,
                    UnixName::Abstract(name) => unix::Address::abstract_name(name.as_bytes())?,
                };
                let mode = address.options().mode().and_then(Mode::new).unwrap_or_default();
                let options =
                    BindOptions::new().mode(mode).take_over_stale(Wait::until(Deadline::after(TAKE_OVER)));
                if *kind == UnixKind::Stream {
                    let listener = options.listen::<Stream>(&name)?;
                    let path = name.as_path().map(|_| listener.unlink_on_drop()).transpose()?;
                    (path, Socket::Stream(listener))
                } else {
                    let listener = options.listen::<Seqpacket>(&name)?;
                    let path = name.as_path().map(|_| listener.unlink_on_drop()).transpose()?;
                    (path, Socket::Seqpacket(listener))
                }
            }
            Endpoint::Tcp(peer) => {
                plain(address)?;
                (None, Socket::Tcp(tcp::ListenOptions::new().listen((peer.host.as_str(), peer.port))?))
            }
            _ => return Ok(None),
        };
        Ok(Some(Self { _path: path, socket }))
    }

    /// Takes over a socket that listens.
    pub fn inherited(descriptor: OwnedFd) -> anyhow::Result<Self> {
        let domain = sockopt::socket_domain(&descriptor)?;
        let socket = match (domain, sockopt::socket_type(&descriptor)?) {
            (AddressFamily::UNIX, SocketType::STREAM) => {
                Socket::Stream(StreamListener::try_from(descriptor)?)
            }
            (AddressFamily::UNIX, SocketType::SEQPACKET) => {
                Socket::Seqpacket(SeqpacketListener::try_from(descriptor)?)
            }
            (AddressFamily::INET | AddressFamily::INET6, SocketType::STREAM) => {
                Socket::Tcp(tcp::Listener::try_from(descriptor)?)
            }
            (domain, kind) => bail!("cannot serve a socket of the family {domain:?} and type {kind:?}"),
        };
        // Its path is whoever made it's to remove.
        Ok(Self { _path: None, socket })
    }

    /// The next connection.
    pub fn accept(&self, wait: Wait) -> twixt::os::Result<Guest> {
        Ok(match &self.socket {
            Socket::Stream(listener) => {
                let connection = listener.accept_wait(wait)?;
                Guest {
                    credentials: connection.peer_credentials().ok(),
                    source: None,
                    connection: connection.into(),
                }
            }
            Socket::Seqpacket(listener) => {
                let connection = listener.accept_wait(wait)?;
                Guest {
                    credentials: connection.peer_credentials().ok(),
                    source: None,
                    connection: connection.into(),
                }
            }
            Socket::Tcp(listener) => {
                let connection = listener.accept_wait(wait)?;
                let source = connection.peer_address().ok().map(|address| address.to_string());
                Guest { credentials: None, source, connection: connection.into() }
            }
        })
    }

    /// The address, with the port that the kernel chose; `None` for one that has none.
    pub fn address(&self) -> Option<String> {
        let of_unix = |scheme: &str, address: unix::Address| match address.is_unnamed() {
            true => None,
            false => Some(format!("{scheme}:{address}")),
        };
        match &self.socket {
            Socket::Stream(listener) => of_unix("unix", listener.local_address().ok()?),
            Socket::Seqpacket(listener) => of_unix("unix-seqpacket", listener.local_address().ok()?),
            Socket::Tcp(listener) => Some(format!("tcp:{}", listener.local_address().ok()?)),
        }
    }
}

/// Readable when there is a connection.
impl AsFd for Door {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Stream(listener) => listener.as_fd(),
            Socket::Seqpacket(listener) => listener.as_fd(),
            Socket::Tcp(listener) => listener.as_fd(),
        }
    }
}

/// A command has the connection as it is: no option that would change it means anything.
fn plain(address: &Address) -> anyhow::Result<()> {
    let others =
        address.options().given().find(|name| !matches!(name, OptionName::Mode | OptionName::Create));
    if let Some(name) = others {
        bail!(
            "cannot serve {address}: option {name} means nothing to connections that a command has as they are; \
             --per-message cuts them into messages"
        );
    }
    Ok(())
}
