//! Messages on standard output, and which of them are there yet.

use std::io;

use rustix::event::{PollFd, PollFlags, poll};
use serde::Serialize;
use twixt::channel::framing::Fault;
use twixt::channel::{Framing, Message};
use twixt::os::Errno;

use crate::base64::Base64;
use crate::exit::Exit;
use crate::framing;
use crate::interrupt::Interrupt;
use crate::undelivered::{Form, Undelivered};

/// How a message is printed.
#[derive(Clone, Copy, Debug)]
pub enum Format {
    /// Its bytes, told apart in this way.
    Framed(Framing),
    /// An object that has what came with it, too.
    Json,
}

/// Prints messages, many at a time, and knows which were printed.
#[derive(Debug)]
pub struct Printer {
    format: Format,
    /// Messages as they are printed.
    buffer: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
    /// The number of the first.
    first: u64,
}

/// What is written at once, at the least, where there is so much.
const FULL: usize = 64 << 10;

impl Printer {
    pub fn new(format: Format) -> Self {
        Self { format, buffer: Vec::with_capacity(2 * FULL), ends: Vec::new(), first: 0 }
    }

    /// Whether everything is written.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Takes a message, and writes if it has many.
    pub fn put(
        &mut self,
        number: u64,
        message: &Message,
        interrupt: &Interrupt,
    ) -> Result<(), Box<Undelivered>> {
        if self.ends.is_empty() {
            self.first = number;
        }
        match self.format {
            Format::Framed(framing) => {
                if let Err(fault) = framing::put(framing, message.bytes(), &mut self.buffer) {
                    // What precedes it comes first, and if that cannot be delivered either, they are saved together.
                    self.flush(interrupt).map_err(|mut undelivered| {
                        undelivered.count += 1;
                        undelivered.bytes.extend_from_slice(message.bytes());
                        undelivered
                    })?;
                    return Err(Box::new(unprintable(number, message, &fault)));
                }
            }
            Format::Json => {
                // Into memory, and of nothing that has no form in JSON: it cannot fail.
                let _ = serde_json::to_writer(&mut self.buffer, &Line::of(number, message));
                self.buffer.push(b'\n');
            }
        }
        self.ends.push(self.buffer.len());
        if self.buffer.len() < FULL { Ok(()) } else { self.flush(interrupt) }
    }

    /// Writes everything.
    pub fn flush(&mut self, interrupt: &Interrupt) -> Result<(), Box<Undelivered>> {
        let mut written = 0;
        while written < self.buffer.len() {
            match write(&self.buffer[written..], interrupt) {
                Ok(count) => written += count,
                Err(errno) => return Err(Box::new(self.undelivered(written, errno))),
            }
        }
        self.buffer.clear();
        self.ends.clear();
        Ok(())
    }

    /// The messages that have not been written whole.
    fn undelivered(&mut self, written: usize, errno: Errno) -> Undelivered {
        let whole = self.ends.partition_point(|&end| end <= written);
        let begin = whole.checked_sub(1).map_or(0, |last| self.ends[last]);
        let error = match errno {
            Errno::INTR => "standard output took nothing more until this program was stopped".to_owned(),
            _ => format!("cannot write to standard output: {}", io::Error::from(errno)),
        };
        Undelivered {
            error,
            first: self.first + whole as u64,
            count: (self.ends.len() - whole) as u64,
            written: written - begin,
            form: Form::Printed,
            bytes: self.buffer.split_off(begin),
            exit: Exit::Refused,
        }
    }
}

fn unprintable(number: u64, message: &Message, fault: &Fault) -> Undelivered {
    Undelivered {
        error: format!("cannot write to standard output: {fault}"),
        first: number,
        count: 1,
        written: 0,
        form: Form::Bare,
        bytes: message.bytes().to_vec(),
        exit: Exit::Refused,
    }
}

/// Writes some of it. `EINTR` if there is a reason not to wait.
fn write(bytes: &[u8], interrupt: &Interrupt) -> Result<usize, Errno> {
    let stdout = io::stdout();
    loop {
        match interrupt.retry(|| rustix::io::write(&stdout, bytes)) {
            // Somebody who shares it does not want it to block.
            Err(Errno::AGAIN) => {
                let mut polled = [PollFd::new(&stdout, PollFlags::OUT)];
                interrupt.retry(|| poll(&mut polled, None))?;
            }
            Ok(0) => return Err(Errno::IO),
            outcome => return outcome,
        }
    }
}

/// A message; the fields are stable.
#[derive(Serialize)]
struct Line<'a> {
    schema: u32,
    /// From 1.
    number: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    /// Instead of the text, where it is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<Base64<'a>>,
    #[serde(rename = "type")]
    message_type: Option<i64>,
    priority: Option<u32>,
    /// Of the sender.
    pid: Option<i32>,
    uid: Option<u32>,
    gid: Option<u32>,
    source: Option<&'a str>,
    /// Of the sender: its place on the bus.
    publisher: Option<u64>,
    /// That it gave the message.
    sequence: Option<u64>,
    /// How many before it were missed.
    missed: Option<u64>,
    /// How often it was handed out.
    deliveries: Option<u32>,
    /// What the descriptors lead to that came along.
    descriptors: Vec<String>,
}

impl<'a> Line<'a> {
    fn of(number: u64, message: &'a Message) -> Self {
        let text = str::from_utf8(message.bytes()).ok();
        let sender = message.credentials();
        Self {
            schema: 1,
            number,
            text,
            base64: text.is_none().then_some(Base64(message.bytes())),
            message_type: message.message_type(),
            priority: message.priority(),
            pid: sender.and_then(|sender| sender.pid).map(|pid| pid.as_raw_nonzero().get()),
            uid: sender.map(|sender| sender.uid),
            gid: sender.map(|sender| sender.gid),
            source: message.source(),
            publisher: message.publisher(),
            sequence: message.sequence(),
            missed: message.publisher().map(|_| message.missed()),
            deliveries: message.deliveries(),
            descriptors: message.descriptors().iter().map(target).collect(),
        }
    }
}

/// What a descriptor leads to, as `/proc` shows it: a path, `pipe:[4711]`, …
fn target(descriptor: &impl std::os::fd::AsRawFd) -> String {
    let link = std::fs::read_link(format!("/proc/self/fd/{}", descriptor.as_raw_fd()));
    link.map(|target| target.to_string_lossy().into_owned()).unwrap_or_default()
}
