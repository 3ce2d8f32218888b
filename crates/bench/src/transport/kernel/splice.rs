//! `vmsplice(2)`: the sender puts references to its pages into a pipe, and the receiver reads them out.
//!
//! What that saves is the sender's copy, and no more: the receiver has to read the bytes, and no call of the kernel gives
//! it the pages themselves, so its `read(2)` copies as ever. Only where bytes are passed on unread, from one pipe to
//! another or to a file or socket, does `splice(2)` save the other copy too; a benchmark whose receiver reads every byte
//! cannot show that.

use core::sync::atomic::AtomicU64;

use twixt_os::pipe::{Reader, Writer};
use twixt_os::{ErrorKind, Limit, Wait};

use super::credit::{Credit, Receipts, Turns};
use super::{In, Out, Parties};
use crate::{Ends, Failure, Incoming, Outgoing, Receive, Result, Send, Setup, Transport};

/// A page; a pipe refers to whole ones.
const PAGE: usize = 4096;

/// A party that moves pages into a pipe.
pub(crate) struct Splice(Parties);

impl Transport for Splice {
    type Sender = Sender;
    type Receiver = Receiver;

    fn supports(setup: &Setup) -> Result<()> {
        Parties::supports(setup)
    }

    fn prepare(setup: &Setup) -> Result<Self> {
        Parties::prepare(setup).map(Self)
    }

    fn connect(self) -> Result<Ends<Sender, Receiver>> {
        // As many pages as it may: they are the sender's anyway.
        let capacity = self.0.setup.capacity.or(Limit::sysctl("fs.pipe-max-size", 0).current);
        let capacity = capacity.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        let (out, own) = self.0.connect(capacity)?;
        let size = self.0.setup.workload.size;
        let turns = Turns::of(size);
        Ok(Ends {
            sender: out.map(|Out { sent, receipts }| Sender {
                pipe: sent,
                credit: Credit::new(receipts, turns),
                places: (0..turns.places).map(|_| pages(size)).collect(),
                size,
                gone: 0,
            }),
            receiver: own.map(|In { received, receipts }| Receiver {
                pipe: received,
                receipts: Receipts::new(receipts, turns),
                buffer: vec![0; size],
                come: 0,
            }),
        })
    }
}

/// Room for a message that begins with a page. It stays for good: pages that are in a pipe belong to whoever reads it.
fn pages(size: usize) -> &'static [AtomicU64] {
    let words = size.div_ceil(PAGE) * PAGE / 8;
    let mut room = Vec::with_capacity(words + PAGE / 8);
    room.resize_with(words + PAGE / 8, AtomicU64::default);
    let room: &'static [AtomicU64] = room.leak();
    let start = room.as_ptr().align_offset(PAGE).min(PAGE / 8);
    &room[start..start + words]
}

/// Puts pages into a pipe.
pub(crate) struct Sender {
    pipe: Writer,
    credit: Credit,
    places: Vec<&'static [AtomicU64]>,
    size: usize,
    /// How many bytes of the message have gone.
    gone: usize,
}

impl Sender {
    fn go(&mut self, message: &mut Outgoing, wait: Wait) -> Result<bool> {
        let Some(place) = self.credit.place(wait)? else { return Ok(false) };
        let place = self.places[place];
        if !message.is_filled() {
            message.fill_words(place);
        }
        while self.gone < self.size {
            match self.pipe.vmsplice_words_wait(place, self.gone, self.size - self.gone, wait) {
                Ok(gone) => self.gone += gone,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        self.gone = 0;
        self.credit.went();
        Ok(true)
    }
}

impl Send for Sender {
    fn try_send(&mut self, message: &mut Outgoing) -> Result<bool> {
        self.go(message, Wait::never())
    }

    fn send(&mut self, message: &mut Outgoing) -> Result<()> {
        self.go(message, Wait::forever()).map(drop)
    }
}

/// Reads what the pages hold.
pub(crate) struct Receiver {
    pipe: Reader,
    receipts: Receipts,
    buffer: Vec<u8>,
    /// How many bytes of a message have come.
    come: usize,
}

impl Receiver {
    fn go(&mut self, incoming: &mut Incoming, wait: Wait) -> Result<bool> {
        while self.come < self.buffer.len() {
            match self.pipe.read_wait(&mut self.buffer[self.come..], wait) {
                Ok(0) => return Err(Failure::failed("the sender has gone")),
                Ok(len) => self.come += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        self.come = 0;
        self.receipts.take()?;
        incoming.check(&self.buffer);
        Ok(true)
    }
}

impl Receive for Receiver {
    fn try_receive(&mut self, incoming: &mut Incoming) -> Result<bool> {
        self.go(incoming, Wait::never())
    }

    fn receive(&mut self, incoming: &mut Incoming) -> Result<()> {
        self.go(incoming, Wait::forever()).map(drop)
    }
}
