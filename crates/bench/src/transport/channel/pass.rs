//! What has no name: descriptors that one party makes and passes to the others, over a Unix socket in the run's directory.

use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::io::{FdFlags, fcntl_setfd};
use twixt_address::{Address, Endpoint};
use twixt_channel::{Receiver, Sender};
use twixt_os::eventfd::{EventFd, Flags};
use twixt_os::pipe;
use twixt_os::unix::{self, Attachments, Seqpacket, SeqpacketListener};

use super::{Kind, refused};
use crate::{Failure, Pattern, Result, Setup};

/// Where the others come for descriptors.
pub(crate) struct Passing {
    listener: SeqpacketListener,
}

impl Passing {
    /// Lets the others come to the subscriber of that index.
    pub(crate) fn listen(setup: &Setup, index: usize) -> Result<Self> {
        Ok(Self { listener: SeqpacketListener::bind(&place(setup, index)?)? })
    }

    /// Passes the same descriptors to each of the publishers.
    pub(crate) fn pass(&self, setup: &Setup, descriptors: &[BorrowedFd<'_>]) -> Result<()> {
        for _ in 0..setup.workload.publishers {
            self.listener.accept()?.send_with(&[0], &Attachments::descriptors(descriptors))?;
        }
        Ok(())
    }

    /// Makes a link and passes its other end; gives this party's, and one for the way back.
    pub(super) fn give(&self, setup: &Setup, kind: &Kind) -> Result<(Receiver, Option<Sender>)> {
        let (reader, writer) = make(setup, kind)?;
        if setup.workload.pattern != Pattern::Rtt {
            self.pass(setup, &[writer.as_fd()])?;
            return Ok((receiver(kind, reader)?, None));
        }
        let (back_reader, back_writer) = make(setup, kind)?;
        self.pass(setup, &[writer.as_fd(), back_reader.as_fd()])?;
        Ok((receiver(kind, reader)?, Some(sender(kind, back_writer)?)))
    }
}

/// Fetches what the subscriber of that index passes.
pub(crate) fn fetch(setup: &Setup, index: usize) -> Result<Vec<OwnedFd>> {
    let received = Seqpacket::connect(&place(setup, index)?)?.receive_with(&mut [0])?;
    Ok(received.map(|received| received.descriptors).unwrap_or_default())
}

/// The sending end of a link that a subscriber has made, and the receiving end of the way back.
pub(super) fn take(setup: &Setup, kind: &Kind, index: usize) -> Result<(Sender, Option<Receiver>)> {
    let mut descriptors = fetch(setup, index)?.into_iter();
    let none = || Failure::failed("a subscriber has passed no descriptor");
    let sender = sender(kind, descriptors.next().ok_or_else(none)?)?;
    Ok((sender, descriptors.next().map(|back| receiver(kind, back)).transpose()?))
}

/// Both ends of a new one.
fn make(setup: &Setup, kind: &Kind) -> Result<(OwnedFd, OwnedFd)> {
    let options = kind.address.options();
    if *kind.address.endpoint() == Endpoint::Eventfd {
        let initial = u32::try_from(options.value().unwrap_or(0)).map_err(Failure::failed)?;
        if initial > 0 {
            return Err(Failure::Unsupported(
                "a counter that begins with a value has a message nobody sent".into(),
            ));
        }
        // Only so does no addition ever wait longer than it is told to.
        let counter: OwnedFd = EventFd::with_flags(initial, Flags::NONBLOCK)?.into();
        let other = counter.try_clone()?;
        return Ok((counter, other));
    }
    let (reader, writer) = pipe::create()?;
    if let Some(bytes) = setup.capacity.or(options.capacity()).filter(|&bytes| bytes > 0) {
        writer.set_capacity(usize::try_from(bytes).unwrap_or(usize::MAX)).map_err(refused)?;
    }
    Ok((reader.into(), writer.into()))
}

fn sender(kind: &Kind, descriptor: OwnedFd) -> Result<Sender> {
    Sender::open(&address(kind, descriptor)?).map_err(refused)
}

fn receiver(kind: &Kind, descriptor: OwnedFd) -> Result<Receiver> {
    Receiver::open(&address(kind, descriptor)?).map_err(refused)
}

/// The address of a descriptor, which then belongs to whoever opens it.
fn address(kind: &Kind, descriptor: OwnedFd) -> Result<Address> {
    // So look inherited ones, and nothing else is opened by number. This party executes nothing.
    fcntl_setfd(&descriptor, FdFlags::empty()).map_err(std::io::Error::from)?;
    let framing = kind.address.options().framing().map(|it| format!("?framing={it}")).unwrap_or_default();
    format!("fd:{}{framing}", descriptor.into_raw_fd()).parse().map_err(Failure::failed)
}

fn place(setup: &Setup, index: usize) -> Result<unix::Address> {
    let path: PathBuf = setup.directory.join(format!("pass-{index}"));
    Ok(unix::Address::path(&path)?)
}
