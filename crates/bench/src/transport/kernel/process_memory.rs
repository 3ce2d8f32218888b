//! `process_vm_readv(2)`: the receiver copies a message straight out of the sender's memory. A pipe carries where it is.
//!
//! One copy rather than two, for one system call more. Both must be the same user's; where Yama is at work
//! (`kernel.yama.ptrace_scope`), the sender lets others read it, which up to scope 1 it may.

use rustix::process::{PTracer, Pid, getpid, set_ptracer};
use twixt_os::pipe::{Reader, Writer};
use twixt_os::{Errno, ErrorKind, Wait};
use twixt_sys::process_memory::read_memory;

use super::credit::{Credit, Receipts, Turns};
use super::{In, Out, Parties};
use crate::{Ends, Failure, Incoming, Outgoing, Receive, Result, Send, Setup, Transport};

/// The bytes of a notice: the sender's process number and an address in its memory, eight bytes each.
const NOTICE: usize = 16;

/// A party that reads the other's memory.
pub(crate) struct ProcessMemory(Parties);

impl Transport for ProcessMemory {
    type Sender = Sender;
    type Receiver = Receiver;

    fn supports(setup: &Setup) -> Result<()> {
        if setup.capacity.is_some() {
            return Err(Failure::Unsupported("it has no capacity that could be chosen".into()));
        }
        Parties::supports(setup)
    }

    fn prepare(setup: &Setup) -> Result<Self> {
        // Without Yama there is nobody to ask.
        let _ = set_ptracer(PTracer::Any);
        Parties::prepare(setup).map(Self)
    }

    fn connect(self) -> Result<Ends<Sender, Receiver>> {
        let (out, own) = self.0.connect(None)?;
        let size = self.0.setup.workload.size;
        let turns = Turns::of(size);
        Ok(Ends {
            sender: out.map(|Out { sent, receipts }| Sender {
                notices: sent,
                credit: Credit::new(receipts, turns),
                places: vec![vec![0; size]; turns.places],
            }),
            receiver: own.map(|In { received, receipts }| Receiver {
                notices: received,
                receipts: Receipts::new(receipts, turns),
                buffer: vec![0; size],
            }),
        })
    }
}

/// Leaves messages in this process's memory, and says where.
pub(crate) struct Sender {
    notices: Writer,
    credit: Credit,
    places: Vec<Vec<u8>>,
}

impl Sender {
    fn go(&mut self, message: &mut Outgoing, wait: Wait) -> Result<bool> {
        let Some(place) = self.credit.place(wait)? else { return Ok(false) };
        let place = &mut self.places[place];
        if !message.is_filled() {
            message.fill(place);
        }
        // Whoever has the address may read what stands there, which the compiler has to reckon with from here on.
        let address = place.as_ptr().expose_provenance() as u64;
        let mut notice = [0; NOTICE];
        notice[..8]
            .copy_from_slice(&u64::from(getpid().as_raw_nonzero().get().cast_unsigned()).to_ne_bytes());
        notice[8..].copy_from_slice(&address.to_ne_bytes());
        match self.notices.write_atomic_wait(&notice, wait) {
            Ok(()) => {
                self.credit.went();
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        }
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

/// Copies messages out of the other's memory.
pub(crate) struct Receiver {
    notices: Reader,
    receipts: Receipts,
    buffer: Vec<u8>,
}

impl Receiver {
    fn go(&mut self, incoming: &mut Incoming, wait: Wait) -> Result<bool> {
        let mut notice = [0; NOTICE];
        match self.notices.read_wait(&mut notice, wait) {
            // Each was written in one piece.
            Ok(NOTICE) => {}
            Ok(_) => return Err(Failure::failed("the sender has gone")),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let ([pid, address], _) = notice.as_chunks::<8>() else {
            return Err(Failure::failed("a notice has another length"));
        };
        let pid = i32::try_from(u64::from_ne_bytes(*pid)).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| Failure::failed("a notice names no process"))?;
        self.copy(pid, u64::from_ne_bytes(*address))?;
        self.receipts.take()?;
        incoming.check(&self.buffer);
        Ok(true)
    }

    fn copy(&mut self, pid: Pid, address: u64) -> Result<()> {
        match read_memory(pid, address, &mut self.buffer) {
            Ok(len) if len == self.buffer.len() => Ok(()),
            Ok(len) => Err(Failure::Wrong(format!("{len} bytes of a message could be read"))),
            Err(Errno::PERM) => Err(Failure::Unsupported(
                "reading another process's memory is forbidden here (ptrace(2), kernel.yama.ptrace_scope)"
                    .into(),
            )),
            Err(Errno::NOSYS) => {
                Err(Failure::Unsupported("the kernel, or a sandbox, has no process_vm_readv(2)".into()))
            }
            Err(errno) => Err(Failure::failed(format!("cannot read the sender's memory: {errno}"))),
        }
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
