//! Direct naming: a process sends to a process and receives from a process, each by its id.
//!
//! ```no_run
//! use twixt_channel::direct;
//! # fn p(q: i32) -> twixt_os::Result<()> {
//! // In process P: Send(Q, message).
//! direct::send_to(q)?.send(b"hello")?;
//! # Ok(())
//! # }
//! # fn q(p: i32) -> twixt_os::Result<()> {
//! // In process Q: Receive(P, message), from P alone ...
//! let message = direct::receive_from(p)?.receive()?;
//! // ... or from whoever names us, and then it is said who it was.
//! let message = direct::inbox()?.receive()?;
//! let sender = message.credentials().and_then(|who| who.pid);
//! # Ok(())
//! # }
//! ```
//!
//! | the textbook's property | here |
//! |---|---|
//! | links are established by themselves | whoever comes first makes it |
//! | a link belongs to exactly one pair of processes | its name holds both, with the times they were started, so that a process that gets a used number later is another one |
//! | one link for each pair | one for each direction; both make the pair's |
//! | symmetric naming: both name each other | [`send_to`], [`receive_from`] |
//! | asymmetric naming: the receiver takes from anyone | [`send_to`], [`inbox`] |
//!
//! # Buffering
//!
//! A link holds what a FIFO holds: 64 KiB by default, the frames around the messages included. A send works before the other process
//! receives, or knows of it, and waits once the link is full. A sender that is closed or dropped leaves what it sent for the
//! receiver to come; one that is killed before the receiver has come takes it along.
//!
//! # Ends
//!
//! As with a FIFO, a receiver is told [`PeerGone`](ErrorKind::PeerGone) when the sender has closed and everything has been
//! received, once; after that it waits for the same process to send again. When the other process has ended, both ends are told,
//! at once if they wait, and within 20 ms if not; what it sent before can still be received. An [`inbox`] has no end.
//!
//! # Who may
//!
//! Processes of the same user, and root. Links stand in a directory that is the user's alone (mode 0700), and the kernel
//! keeps all others out of it. Which of the user's processes writes into a link is not checked: they are free to do as they
//! like with each other. Root's links with a user's processes stand in the user's directory.
//!
//! The directory is `twixt/direct` in `$XDG_RUNTIME_DIR`, if that is set and the user's own; or else in `/run/user/UID`, if
//! there is one; or else `/dev/shm/twixt-UID/direct`. Two processes meet if they see the same one, and processes of one pid
//! namespace only.
//!
//! # What is left behind
//!
//! Nothing: the last of the two removes the link. If both were killed, the next process of the user that uses this module
//! removes it, on the evidence that neither of the two is there any more.

use twixt_os::{Error, ErrorKind, Mechanism, Object, Result};

use crate::origin::Origin;
use crate::{Receiver, Sender};

mod halves;
mod inbox;
mod link;
mod party;
mod place;

use halves::{LinkReceiver, LinkSender};
use inbox::Inbox;
use link::{Link, Role};

/// Finds or makes the link to a process, to send to it. It need not be receiving yet.
///
/// A process has one sender to each other process: share it, or drop it before another is opened.
///
/// # Errors
/// - [`NotFound`](ErrorKind::NotFound): there is no such process, or it has ended;
/// - [`PermissionDenied`](ErrorKind::PermissionDenied): it is another user's, and neither of the two is root; or what should be the
///   user's own directory is not;
/// - [`Busy`](ErrorKind::Busy): this process has a sender to it already;
/// - [`InvalidInput`](ErrorKind::InvalidInput): not a process id;
/// - [`LimitReached`](ErrorKind::LimitReached): no descriptor is left (`RLIMIT_NOFILE`).
pub fn send_to(process: i32) -> Result<Sender> {
    let link = Link::open(Role::Send, process)?;
    let origin = link.origin().clone();
    Ok(Sender::new(Box::new(LinkSender::new(link)?), origin))
}

/// Finds or makes the link from a process, to receive from it alone. It need not be sending yet; and it may have ended, if it
/// has left something for this one.
///
/// A process has one receiver from each other process, and an [`inbox`] that has heard of a sender before is that one.
///
/// # Errors
/// As [`send_to`].
pub fn receive_from(process: i32) -> Result<Receiver> {
    let link = Link::open(Role::Receive, process)?;
    let origin = link.origin().clone();
    Ok(Receiver::new(Box::new(LinkReceiver::new(link)?), origin))
}

/// Receives from every process that sends to this one, and has no [`receive_from`] of its own here. Who sent a message, its
/// [credentials](crate::Message::credentials) say.
///
/// Root hears root's processes; a user's inbox hears the user's and root's.
///
/// # Errors
/// As [`send_to`], except that no process is named.
pub fn inbox() -> Result<Receiver> {
    let origin = origin(Object::name("of this process"));
    Ok(Receiver::new(Box::new(Inbox::open(origin.clone())?), origin))
}

fn from(process: i32) -> Object {
    Object::name(format!("from process {process}"))
}

fn origin(object: Object) -> Origin {
    Origin { mechanism: Mechanism::Direct, object, endpoint: None, timeout: None }
}

fn refused(object: Object, kind: ErrorKind, why: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::refused(Mechanism::Direct, OPEN, object, kind, why)
}

const OPEN: &str = "open";
