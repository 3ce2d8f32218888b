//! The addresses of links: one party decides and makes, the others find it, the conductor removes it.
//!
//! What has a name that stays (a queue, a ring, memory) is noted in the run's directory *before* it is made, and removed by
//! the conductor when all parties have gone: also if they were killed. What was there before the run is left alone.
//!
//! One thing can be left: the semaphores of a ring in System V memory, if the party that makes it is killed in the few
//! system calls between making them and writing into the memory which they are.

use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;

use twixt_address::{
    AbstractName, Address, Endpoint, FilePath, HostPort, OptionName, Options, Pid, PosixName, SignalTarget,
    SocketPath, SysvKey, UnixName,
};
use twixt_channel::companions;
use twixt_object::find;
use twixt_os::sysv::Key;

use super::{Kind, capacity};
use crate::{Failure, Result, Setup};

/// The way back of a round trip, where it is a link of its own.
pub(super) const BACK: usize = 1;

/// A link that a party makes, or has found.
#[derive(Clone, Debug)]
pub(super) struct Link {
    address: Address,
    is_free: bool,
}

impl Link {
    /// What the link of that index will be. What is to be removed afterwards is noted.
    pub(super) fn decide(setup: &Setup, kind: &Kind, index: usize) -> Result<Self> {
        let (endpoint, options) = kind.address.clone().into_parts();
        let (endpoint, is_free) = match endpoint {
            Endpoint::SysvMsg(SysvKey::Private) if !kind.is_given => (Endpoint::SysvMsg(draw()?), true),
            Endpoint::SysvShm(SysvKey::Private) if !kind.is_given => (Endpoint::SysvShm(draw()?), true),
            Endpoint::Udp(peer) if peer.port == 0 => {
                let port = UdpSocket::bind((peer.host.as_str(), 0))?.local_addr()?.port();
                (Endpoint::Udp(HostPort { port, ..peer }), true)
            }
            Endpoint::Tcp(peer) if peer.port == 0 => (Endpoint::Tcp(peer), true),
            Endpoint::Signal { signal, target: SignalTarget::OwnGroup } => {
                let pid = Pid::new(std::process::id().cast_signed()).map_err(Failure::failed)?;
                (Endpoint::Signal { target: SignalTarget::Process(pid), signal }, true)
            }
            endpoint => (sibling(endpoint, index)?, false),
        };
        let options = capacity::apply(setup, kind, &endpoint, options)?;
        // The user's own address may say that something is there; what stands beside it is ours to make.
        let options = if index > 0 && takes(&endpoint, OptionName::Create) && is_made_by_name(&endpoint) {
            options.with_create()
        } else {
            options
        };
        if let Err(error) = find(&endpoint.clone().into())
            && error.kind() == twixt_os::ErrorKind::NotFound
        {
            fs::write(setup.directory.join(format!("made-{index}")), endpoint.to_string())?;
        }
        Ok(Self { address: Address::new(endpoint, options).map_err(Failure::failed)?, is_free })
    }

    /// Whether another attempt would lead elsewhere.
    pub(super) fn is_chosen_freely(&self) -> bool {
        self.is_free
    }

    /// Lets the others know of a link that is open, where the kernel may have chosen a part of its address.
    pub(super) fn publish(self, setup: &Setup, index: usize, endpoint: Option<Endpoint>) -> Result<()> {
        let (own, options) = self.address.into_parts();
        let endpoint = endpoint.unwrap_or(own);
        let address = Address::new(endpoint, options).map_err(Failure::failed)?;
        Ok(fs::write(place(setup, index), address.to_string())?)
    }

    /// The link of that index, which a party has made.
    pub(super) fn find(setup: &Setup, index: usize) -> Result<Self> {
        let text = fs::read_to_string(place(setup, index))?;
        Ok(Self { address: text.parse().map_err(Failure::failed)?, is_free: false })
    }

    /// For the side that listens for connections and makes it.
    pub(super) fn to_listen(&self) -> &Address {
        &self.address
    }

    /// For the side that receives and makes it.
    pub(super) fn to_receive(&self) -> Result<Address> {
        // The senders' buffers hold what is under way, as both say who are asked.
        let unwanted: &[OptionName] = match self.address.endpoint() {
            Endpoint::Unix { .. } if self.address.options().capacity() != Some(0) => &[OptionName::Capacity],
            Endpoint::PosixMq(_) => &[OptionName::Prio],
            _ => &[],
        };
        self.without(unwanted)
    }

    /// For another that receives from what is there.
    pub(super) fn to_receive_too(&self) -> Result<Address> {
        let mut unwanted = self.for_making();
        unwanted.push(OptionName::Prio);
        self.without(&unwanted)
    }

    /// For the side that sends to what is there.
    pub(super) fn to_send(&self) -> Result<Address> {
        self.without(&self.for_making())
    }

    /// The options that say how something is made that has a name.
    fn for_making(&self) -> Vec<OptionName> {
        use OptionName::{Budget, Capacity, Create, MessageSize, Mode, Size};
        match self.address.endpoint() {
            // A budget is kept by whoever appends; a pipe's and a socket's room is set by either.
            Endpoint::File(_) => vec![Create, Mode],
            Endpoint::Fifo(_) | Endpoint::Unix { .. } | Endpoint::Tcp(_) | Endpoint::Udp(_) => {
                vec![Create, Mode]
            }
            _ => vec![Create, Mode, Capacity, Budget, Size, MessageSize],
        }
    }

    fn without(&self, unwanted: &[OptionName]) -> Result<Address> {
        let options = self.address.options();
        let kept = options.given().filter(|name| !unwanted.contains(name));
        let mut chosen = Options::new();
        for name in kept {
            chosen = with(chosen, options, name).map_err(Failure::failed)?;
        }
        self.address.clone().with_options(chosen).map_err(Failure::failed)
    }
}

/// Takes over an option.
fn with(
    to: Options,
    from: &Options,
    name: OptionName,
) -> core::result::Result<Options, twixt_address::ValueError> {
    Ok(match name {
        OptionName::Create => to.with_create(),
        OptionName::Mode => from.mode().map_or(Ok(to.clone()), |it| to.with_mode(it))?,
        OptionName::Capacity => from.capacity().map_or(Ok(to.clone()), |it| to.with_capacity(it))?,
        OptionName::Budget => from.budget().map_or(Ok(to.clone()), |it| to.with_budget(it))?,
        OptionName::Size => from.size().map_or(Ok(to.clone()), |it| to.with_size(it))?,
        OptionName::MessageSize => {
            from.message_size().map_or(Ok(to.clone()), |it| to.with_message_size(it))?
        }
        OptionName::Count => from.count().map_or(Ok(to.clone()), |it| to.with_count(it))?,
        OptionName::Value => from.value().map_or(to.clone(), |it| to.with_value(it)),
        OptionName::Type => from.message_type().map_or(Ok(to.clone()), |it| to.with_message_type(it))?,
        OptionName::Prio => from.priority().map_or(Ok(to.clone()), |it| to.with_priority(it))?,
        OptionName::History => from.history().map_or(to.clone(), |it| to.with_history(it)),
        OptionName::Slow => from.slow().map_or(to.clone(), |it| to.with_slow(it)),
        OptionName::Retries => from.retries().map_or(to.clone(), |it| to.with_retries(it)),
        OptionName::Visibility => from.visibility().map_or(Ok(to.clone()), |it| to.with_visibility(it))?,
        OptionName::Framing => from.framing().map_or(to.clone(), |it| to.with_framing(it)),
        OptionName::Timeout => from.timeout().map_or(to.clone(), |it| to.with_timeout(it)),
    })
}

/// Removes what the parties of a run have made, and did not remove.
pub(super) fn remove_made(setup: &Setup) {
    let Ok(entries) = fs::read_dir(&setup.directory) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().as_encoded_bytes().starts_with(b"made-") {
            continue;
        }
        let Ok(text) = fs::read_to_string(entry.path()) else { continue };
        let Ok(address) = text.parse::<Address>() else { continue };
        // Once the ring has gone, nothing leads to the semaphores beside it.
        let beside = companions(&address).unwrap_or_default();
        for address in beside.iter().chain([&address]) {
            if let Ok(found) = find(address) {
                let _ = found.remove();
            }
        }
    }
}

fn place(setup: &Setup, index: usize) -> PathBuf {
    setup.directory.join(format!("link-{index}"))
}

fn takes(endpoint: &Endpoint, name: OptionName) -> bool {
    endpoint.options().any(|option| option == name)
}

/// Whether opening it with `create` makes it; sockets are made by whoever listens, without being told.
fn is_made_by_name(endpoint: &Endpoint) -> bool {
    !matches!(endpoint, Endpoint::Unix { .. })
}

/// A key that neither a queue nor a memory nor a set has.
fn draw() -> Result<SysvKey> {
    loop {
        let key = SysvKey::Key(
            core::num::NonZeroI32::new(Key::random()?.as_raw())
                .ok_or_else(|| Failure::failed("a key of zero"))?,
        );
        let is_free = |endpoint: Endpoint| find(&endpoint.into()).is_err();
        if is_free(Endpoint::SysvMsg(key.clone()))
            && is_free(Endpoint::SysvShm(key.clone()))
            && is_free(Endpoint::SysvSem { key: key.clone(), index: None })
        {
            return Ok(key);
        }
    }
}

/// What stands beside an endpoint: the same name with a number behind it, the next port, the next key.
pub(super) fn sibling(endpoint: Endpoint, index: usize) -> Result<Endpoint> {
    if index == 0 {
        return Ok(endpoint);
    }
    let name = |name: &std::ffi::OsStr| {
        let mut name = name.to_owned();
        name.push(format!("-{index}"));
        name
    };
    let wrong = |error: twixt_address::ValueError| Failure::failed(error);
    let none = |why: &str| {
        Err(Failure::Unsupported(format!(
            "this takes more links than one, and {endpoint} has none beside it: {why}"
        )))
    };
    let path = |path: &FilePath| FilePath::new(name(path.as_os_str())).map_err(wrong);
    Ok(match &endpoint {
        Endpoint::Fifo(own) => Endpoint::Fifo(path(own)?),
        Endpoint::File(own) => Endpoint::File(path(own)?),
        Endpoint::Mmap(own) => Endpoint::Mmap(path(own)?),
        Endpoint::Unix { kind, name: UnixName::Path(own) } => {
            let own = SocketPath::new(name(own.as_os_str())).map_err(wrong)?;
            Endpoint::Unix { kind: *kind, name: UnixName::Path(own) }
        }
        Endpoint::Unix { kind, name: UnixName::Abstract(own) } => {
            let bytes = [own.as_bytes(), format!("-{index}").as_bytes()].concat();
            let own = AbstractName::new(bytes).map_err(wrong)?;
            Endpoint::Unix { kind: *kind, name: UnixName::Abstract(own) }
        }
        Endpoint::Tcp(own) | Endpoint::Udp(own) => {
            let port = u16::try_from(index).ok().and_then(|index| own.port.checked_add(index));
            let Some(port) = port else { return none("there are no ports above it") };
            let own = HostPort { port, ..own.clone() };
            if matches!(endpoint, Endpoint::Tcp(_)) { Endpoint::Tcp(own) } else { Endpoint::Udp(own) }
        }
        Endpoint::SysvMsg(key) | Endpoint::SysvShm(key) => {
            let key = match key {
                SysvKey::Key(key) => {
                    let next = key.get().wrapping_add(i32::try_from(index).unwrap_or(i32::MAX));
                    match core::num::NonZeroI32::new(next) {
                        Some(next) => SysvKey::Key(next),
                        None => return none("the next key is that of private objects"),
                    }
                }
                _ => return none("only a key has a next one; give a number"),
            };
            if matches!(endpoint, Endpoint::SysvMsg(_)) {
                Endpoint::SysvMsg(key)
            } else {
                Endpoint::SysvShm(key)
            }
        }
        Endpoint::PosixMq(own) => Endpoint::PosixMq(PosixName::new(name(own.as_os_str())).map_err(wrong)?),
        Endpoint::PosixShm(own) => Endpoint::PosixShm(PosixName::new(name(own.as_os_str())).map_err(wrong)?),
        _ => return none("it is the only one of its name"),
    })
}
