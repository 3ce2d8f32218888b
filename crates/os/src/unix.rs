//! Unix sockets: streams, datagrams and sequenced packets between the processes of one machine, `unix(7)`.
//!
//! | type | connection | boundaries | end seen | use |
//! |---|---|---|---|---|
//! | [`Stream`] | yes | none | yes | anything that reads and writes |
//! | [`Seqpacket`] | yes | kept | yes | messages, with a peer that can be seen to die |
//! | [`Datagram`] | optional | kept | no | messages from many senders to one address |
//!
//! They carry more than bytes: open descriptors and the sender's credentials ([`Attachments`], [`Received`]).
//!
//! ```
//! use twixt_os::unix::{Address, Seqpacket, SeqpacketListener};
//!
//! let address: Address = format!("@example-{}", std::process::id()).parse()?;
//! let listener = SeqpacketListener::bind(&address)?;
//! let client = Seqpacket::connect(&address)?;
//! let server = listener.accept()?;
//! assert_eq!(server.peer_credentials()?.uid, client.peer_credentials()?.uid);
//!
//! client.send(b"question")?;
//! let mut buffer = [0; 64];
//! assert_eq!(server.receive(&mut buffer)?, Some(8));
//! # Ok::<(), twixt_os::Error>(())
//! ```
//!
//! # Limits
//!
//! What is under way counts against the sender's buffer (`SO_SNDBUF`: `net.core.wmem_default`, 212992 bytes; can be set up
//! to `net.core.wmem_max`), and no message can be longer than that. A datagram socket that is not
//! connected to its sender queues `net.unix.max_dgram_qlen` messages (10). A listening socket's backlog is at most
//! `net.core.somaxconn` (4096). A message carries at most 253 descriptors.

mod address;
mod attach;
mod bind;
mod connect;
mod credentials;
mod datagram;
mod listener;
mod message;
mod seqpacket;
mod socket;
mod stream;
mod takeover;
mod vectored;

pub use crate::file::UnlinkGuard;
pub use address::Address;
pub use bind::BindOptions;
pub use credentials::Credentials;
pub use datagram::Datagram;
pub(crate) use listener::accept_error;
pub use listener::{Connection, Listener, SeqpacketListener, StreamListener};
pub use message::{Attachments, Received};
pub use seqpacket::Seqpacket;
pub(crate) use socket::cut_error;
pub use stream::Stream;
pub use twixt_sys::socket::Receiving;
pub use vectored::Appended;
