//! From text to an address.
//!
//! A text is cut into [`Part`]s, which know where they stand, so that every error can point at its part. What a part
//! may be is decided by the checked constructors alone.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use crate::error::{Fault, shown};
use crate::number::integer;
use crate::{
    Address, BusName, Command, Descriptor, Endpoint, FilePath, Options, PosixName, Scheme, SemName, UnixKind,
    ValueError, percent,
};

mod net;
mod options;
mod part;
mod scheme;
mod sysv;
mod unix;

use part::Part;

pub(crate) fn address(text: &str) -> Result<Address, Fault> {
    let whole = Part::whole(text);
    let (head, query) = match whole.split_once('?') {
        Some((head, query)) => (head, Some(query)),
        None => (whole, None),
    };
    let endpoint = endpoint(head)?;
    let options = match query {
        Some(query) => options::options(query, &endpoint)?,
        None => Options::new(),
    };
    Ok(Address::from_checked(endpoint, options))
}

fn endpoint(head: Part<'_>) -> Result<Endpoint, Fault> {
    let (scheme, rest) = scheme::split(head)?;
    let rest = At { part: rest, scheme };
    Ok(match scheme.name {
        "-" => Endpoint::Stdio,
        "pipe" => rest.nothing(Endpoint::Pipe)?,
        "eventfd" => rest.nothing(Endpoint::Eventfd)?,
        "memfd" => rest.nothing(Endpoint::Memfd)?,
        "exec" => Endpoint::Exec(rest.decoded(Command::new)?),
        "fd" => Endpoint::Fd(rest.read(descriptor)?),
        "fifo" => Endpoint::Fifo(rest.decoded(FilePath::new)?),
        "file" => Endpoint::File(rest.decoded(FilePath::new)?),
        "mmap" => Endpoint::Mmap(rest.decoded(FilePath::new)?),
        "lock" => Endpoint::Lock(rest.decoded(FilePath::new)?),
        "unix" => Endpoint::Unix { kind: UnixKind::Stream, name: unix::name(rest)? },
        "unix-dgram" => Endpoint::Unix { kind: UnixKind::Datagram, name: unix::name(rest)? },
        "unix-seqpacket" => Endpoint::Unix { kind: UnixKind::Seqpacket, name: unix::name(rest)? },
        "tcp" => Endpoint::Tcp(net::host_port(rest)?),
        "udp" => Endpoint::Udp(net::host_port(rest)?),
        "raw" => net::raw(rest)?,
        "sysv-msg" => Endpoint::SysvMsg(sysv::key(rest)?),
        "sysv-sem" => sysv::semaphore(rest)?,
        "sysv-shm" => Endpoint::SysvShm(sysv::key(rest)?),
        "posix-mq" => Endpoint::PosixMq(posix(rest, PosixName::new)?),
        "posix-sem" => Endpoint::PosixSem(posix(rest, SemName::new)?),
        "posix-shm" => Endpoint::PosixShm(posix(rest, PosixName::new)?),
        "signal" => signal(rest)?,
        "topic" => Endpoint::Topic(rest.read(|text| BusName::new(text))?),
        "queue" => Endpoint::Queue(rest.read(|text| BusName::new(text))?),
        "latest" => Endpoint::Latest(rest.read(|text| BusName::new(text))?),
        "rpc" => Endpoint::Rpc(rest.read(|text| BusName::new(text))?),
        // Only if the table had a row that this list lacks; a test walks the table.
        _ => return Err(scheme::unknown(head, head)),
    })
}

/// A part and the scheme it belongs to, which gives errors their example.
#[derive(Clone, Copy)]
struct At<'a> {
    part: Part<'a>,
    scheme: &'static Scheme,
}

impl<'a> At<'a> {
    fn text(self) -> &'a str {
        self.part.text
    }

    /// Another part under the same scheme.
    fn on(self, part: Part<'a>) -> Self {
        Self { part, ..self }
    }

    fn fault(self, error: ValueError) -> Fault {
        error.at(self.part.span(), self.scheme.example)
    }

    /// With an example made of the user's own text.
    fn fault_like(self, error: ValueError, address: String) -> Fault {
        self.fault(error).like(address)
    }

    fn read<T>(self, read: impl FnOnce(&str) -> Result<T, ValueError>) -> Result<T, Fault> {
        read(self.text()).map_err(|error| self.fault(error))
    }

    fn nothing(self, endpoint: Endpoint) -> Result<Endpoint, Fault> {
        if self.text().is_empty() {
            return Ok(endpoint);
        }
        let scheme = self.scheme.shown();
        let why = format!("{scheme} takes no name, but {} follows it", shown(self.text()));
        Err(self.fault(ValueError::new(why, format!("the address is {scheme} and options"))))
    }

    fn bytes(self) -> Result<Vec<u8>, Fault> {
        percent::decode(self.text()).map_err(|range| {
            let escape = self.part.slice(range);
            let why = format!("{} is no byte in hexadecimal", shown(escape.text));
            let right = "% begins two hexadecimal digits, and a percent sign is %25";
            let fault = self.on(escape).fault(ValueError::new(why, right));
            fault.like(format!("{}:{}", self.scheme.name, percent::mended(self.text())))
        })
    }

    fn decoded<T>(self, new: impl FnOnce(OsString) -> Result<T, ValueError>) -> Result<T, Fault> {
        new(OsString::from_vec(self.bytes()?)).map_err(|error| self.fault(error))
    }

    /// Where only characters can stand: what is no UTF-8 becomes one that is refused.
    fn decoded_text<T>(self, new: impl FnOnce(String) -> Result<T, ValueError>) -> Result<T, Fault> {
        new(String::from_utf8_lossy(&self.bytes()?).into_owned()).map_err(|error| self.fault(error))
    }
}

fn descriptor(text: &str) -> Result<Descriptor, ValueError> {
    Descriptor::new(integer("descriptor", text, 0, i32::MAX)?)
}

fn posix<T>(rest: At<'_>, new: fn(OsString) -> Result<T, ValueError>) -> Result<T, Fault> {
    let name = rest.text().trim_start_matches('/').replace('/', "-");
    rest.decoded(new).map_err(|fault| match fault.like {
        None => fault.like(format!("{}:/{name}", rest.scheme.name)),
        Some(_) => fault,
    })
}

fn signal(rest: At<'_>) -> Result<Endpoint, Fault> {
    let (target, signal) = match rest.part.split_once('/') {
        Some((target, signal)) => (rest.on(target), Some(rest.on(signal))),
        None => (rest, None),
    };
    Ok(Endpoint::Signal {
        target: target.read(str::parse)?,
        signal: signal.map(|signal| signal.read(str::parse)).transpose()?,
    })
}
