//! Who takes part in a name on the bus, and what their counters say, read without taking part and without anyone's help.
//!
//! ```
//! use twixt_bus::{Kind, Options, Publisher, Role, Subscriber, stat};
//! # let scratch = twixt_testkit::scratch();
//! # let place = twixt_bus::Place::at(scratch.path())?;
//! let name = twixt_address::BusName::new("prices")?;
//! let options = Options::new().create(true);
//! # let options = options.place(place.clone());
//! let subscriber = Subscriber::open(&name, &options)?;
//! let publisher = Publisher::open(&name, &options)?;
//! publisher.publish(b"17.25")?;
//!
//! # let stat = |kind, name, _: Option<&twixt_bus::Place>| twixt_bus::stat(kind, name, Some(&place));
//! let found = stat(Kind::Topic, &name, None)?;
//! let [publishes, subscribes] = &found.participants[..] else { panic!("two take part") };
//! assert_eq!((publishes.role, publishes.messages), (Role::Publisher, 1));
//! assert_eq!((subscribes.role, subscribes.lag), (Role::Subscriber, Some(64)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use twixt_address::BusName;
use twixt_os::{Errno, ErrorKind, Mode, Object, Result};

use crate::error::{kernel, malformed, refused};
use crate::holder::Process;
use crate::latest::{self, MOST_READERS};
use crate::place::{Kind, Place};
use crate::queue::{self, MOST_CONSUMERS, MOST_PRODUCERS};
use crate::ring::consumer::Consumer;
use crate::ring::{CONTROL, Checkpoint, LINE_BYTES, Life, control, distance};
use crate::rpc;
use crate::segment::{Peer, What, header};
use crate::site::{Capacity, Charter, SITE, read_charter};
use crate::topic::{MOST_PUBLISHERS, MOST_SUBSCRIBERS, Slow, page, segment};
use crate::words::Foreign;

/// What a name on the bus is, and who takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stat {
    /// How much may wait.
    pub capacity: Capacity,
    /// Who may take part.
    pub mode: Mode,
    /// What messages consist of; empty for bytes without a type.
    pub type_name: String,
    /// Of a queue: how often a message is handed out before it is put aside; 0 for any number of times.
    pub retries: u32,
    /// Of a queue: for how long a message may be worked on before somebody else may have it; `None` for any time.
    pub visibility: Option<Duration>,
    /// Senders first, then receivers, each in the order of their places.
    pub participants: Vec<Participant>,
    /// How many could not be read: for lack of permission, or since what they say of themselves makes no sense.
    pub unreadable: usize,
}

/// Who takes part. Counts are of all who had a place, where it is handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Participant {
    /// As what.
    pub role: Role,
    /// Its place; of the ends of a connection, the number of that.
    pub index: usize,
    /// Its process; `None` if that is one of another namespace of process ids.
    pub pid: Option<u32>,
    /// Whether it is still there.
    pub state: State,
    /// Messages that it has sent, or received; of the ends of a connection, sent.
    pub messages: u64,
    /// Their bytes; `None` where they are not counted.
    pub bytes: Option<u64>,
    /// How many bytes of rings wait for it, headers included, as far as it has said where it is.
    pub lag: Option<u64>,
    /// How many messages it has missed.
    pub missed: Option<u64>,
    /// How often it slept; `None` where that is not counted.
    pub parks: Option<u64>,
    /// What becomes of it if it is too slow.
    pub slow: Option<Slow>,
}

/// As what somebody takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Sends to a topic.
    Publisher,
    /// Receives from a topic.
    Subscriber,
    /// Sends to a queue.
    Producer,
    /// Receives from a queue.
    Consumer,
    /// Writes the latest value.
    Writer,
    /// Reads the latest value.
    Reader,
    /// Accepts connections.
    Listener,
    /// Has connected.
    Client,
    /// Was connected to: the other end of a client's connection.
    Server,
}

impl Role {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Publisher => "publisher",
            Self::Subscriber => "subscriber",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
            Self::Writer => "writer",
            Self::Reader => "reader",
            Self::Listener => "listener",
            Self::Client => "client",
            Self::Server => "server",
        }
    }

    /// Whether it sends.
    pub const fn sends(self) -> bool {
        matches!(self, Self::Publisher | Self::Producer | Self::Writer | Self::Client | Self::Server)
    }

    /// Whether it receives: the ends of a connection do both, and who only accepts connections neither.
    pub const fn receives(self) -> bool {
        matches!(self, Self::Subscriber | Self::Consumer | Self::Reader | Self::Client | Self::Server)
    }
}

/// Whether a participant is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It is about to take part, and may not get what is sent now.
    Joining,
    /// It lives.
    Here,
    /// It has said good-bye, and what it sent is still there.
    Left,
    /// Its process has gone without a word.
    Died,
}

impl State {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Here => "here",
            Self::Left => "left",
            Self::Died => "died",
        }
    }

    /// Whether there is a process that takes part, or is about to.
    pub const fn lives(self) -> bool {
        matches!(self, Self::Joining | Self::Here)
    }
}

/// Looks at a name, for reading only. `place` is the directory of the bus, where it is not the user's own.
///
/// It is a series of looks at a moving thing: counters go on meanwhile.
///
/// # Errors
/// [`NotFound`](twixt_os::ErrorKind::NotFound); [`Malformed`](twixt_os::ErrorKind::Malformed) if it makes no sense; what the
/// kernel says of its files. Participants that cannot be read are counted.
pub fn stat(kind: Kind, name: &BusName, place: Option<&Place>) -> Result<Stat> {
    let site = Glance::at(kind, name, place)?;
    let charter = &site.charter;
    let mut stat = Stat {
        capacity: charter.capacity,
        mode: charter.mode,
        type_name: charter.type_name.description.clone(),
        retries: charter.retries,
        visibility: charter.visibility,
        participants: Vec::new(),
        unreadable: 0,
    };
    match kind {
        Kind::Topic => stat.topic(&site)?,
        Kind::Queue => stat.queue(&site)?,
        Kind::Latest => stat.latest(&site)?,
        Kind::Rpc => stat.rpc(&site)?,
    }
    Ok(stat)
}

/// A name as it is seen by who does not take part.
struct Glance {
    directory: PathBuf,
    number: u64,
    charter: Charter,
}

impl Glance {
    fn at(kind: Kind, name: &BusName, place: Option<&Place>) -> Result<Self> {
        let object = Object::name(format!("{}:{name}", kind.scheme()));
        let directory = match place {
            Some(place) => place.directory(kind, name),
            None => Place::of_user()?.directory(kind, name),
        };
        let Some(peer) = Peer::open(&directory.join(SITE), What::Site, None)? else {
            return Err(refused("look at", &object, ErrorKind::NotFound, "it does not exist"));
        };
        let charter = read_charter(&peer, &object)?;
        Ok(Self { directory, number: peer.header(header::SITE), charter })
    }

    /// The places that are taken, by their files.
    fn list(&self, prefix: char, most: usize) -> Result<Vec<usize>> {
        let failed = |error: io::Error| {
            kernel("look into", &self.directory, Errno::from_io_error(&error).unwrap_or(Errno::IO))
        };
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let index = name.to_str().and_then(|name| name.strip_prefix(prefix)?.parse::<usize>().ok());
            found.extend(index.filter(|&index| index < most));
        }
        found.sort_unstable();
        Ok(found)
    }
}

/// How far the producer of a ring has come. As far as that can be told: what makes no sense has not begun.
fn newest(site: &Glance, peer: &Peer, ring: usize, words: &Foreign) -> Result<Checkpoint> {
    let geometry = site.charter.geometry;
    let ring = peer.foreign(ring, geometry.words())?;
    Ok(Consumer::new(geometry, ring, words.clone(), 0).map(|consumer| consumer.newest()).unwrap_or_default())
}

impl Stat {
    fn topic(&mut self, site: &Glance) -> Result<()> {
        let mut heads = Vec::new();
        self.each(site, 'p', MOST_PUBLISHERS, What::Publisher, |index, peer| {
            let words = peer.foreign(segment::CONTROL_AT, CONTROL)?;
            let newest = newest(site, peer, segment::RING, &words)?;
            heads.push((index, words.load(control::ORIGIN), newest.head));
            // Acquire: pairs with the Release in `Producer::close`.
            let has_left = Life::of(words.acquire(control::STATE)) == Life::Closed;
            Ok(Participant {
                messages: newest.messages,
                bytes: Some(newest.bytes),
                ..Participant::new(Role::Publisher, index, peer, has_left)
            })
        })?;
        self.each(site, 's', MOST_SUBSCRIBERS, What::Subscriber, |index, peer| {
            let counters = peer.foreign(page::COUNTERS, page::COUNTED)?;
            let cursors = peer.foreign(page::CURSORS, page::STEP * MOST_PUBLISHERS)?;
            let lag = heads.iter().map(|&(publisher, origin, head)| {
                // One that has not looked yet since somebody had the publisher's place begins where the first of them began.
                // Acquire: pairs with the Release of the cursor.
                let word = cursors.acquire(page::STEP * publisher);
                if word == page::IGNORED {
                    return 0;
                }
                let position = page::position(word, head).unwrap_or(origin);
                let lines = distance(position, head).clamp(0, site.charter.geometry.lines().cast_signed());
                lines.cast_unsigned() * LINE_BYTES as u64
            });
            // Acquire, of both: pairs with the Release of a subscriber that joins or leaves.
            let mut participant =
                Participant::new(Role::Subscriber, index, peer, counters.acquire(page::LEAVING) != 0);
            if participant.state == State::Here && counters.acquire(page::JOINED) == 0 {
                participant.state = State::Joining;
            }
            Ok(Participant {
                messages: counters.load(page::RECEIVED),
                bytes: Some(counters.load(page::BYTES)),
                lag: Some(lag.sum()),
                missed: Some(counters.load(page::MISSED)),
                parks: Some(counters.load(page::PARKS)),
                slow: Slow::of(peer.header(header::POLICY)),
                ..participant
            })
        })
    }

    fn queue(&mut self, site: &Glance) -> Result<()> {
        self.each(site, 'p', MOST_PRODUCERS, What::Publisher, |index, peer| {
            let words = peer.foreign(queue::segment::CONTROL_AT, CONTROL)?;
            let own = peer.foreign(queue::segment::TAIL_AT, queue::segment::TAIL_WORDS)?;
            // Acquire: pairs with the Release in `Producer::close`.
            let has_left = Life::of(words.acquire(control::STATE)) == Life::Closed;
            let newest = newest(site, peer, queue::segment::RING, &words)?;
            Ok(Participant {
                messages: newest.messages,
                bytes: Some(newest.bytes),
                parks: Some(own.load(queue::segment::PARKS)),
                ..Participant::new(Role::Producer, index, peer, has_left)
            })
        })?;
        self.each(site, 'c', MOST_CONSUMERS, What::Consumer, |index, peer| {
            let counters = peer.foreign(queue::page::COUNTERS, queue::page::COUNTED)?;
            Ok(Participant {
                messages: counters.load(queue::page::RECEIVED),
                parks: Some(counters.load(queue::page::PARKS)),
                // Its page stays for the next, and does not say how it went.
                ..Participant::new(Role::Consumer, index, peer, !peer.is_alive())
            })
        })
    }

    fn latest(&mut self, site: &Glance) -> Result<()> {
        self.each(site, 'w', 1, What::State, |index, peer| {
            let words = peer.foreign(latest::segment::CONTROL, latest::control::WORDS)?;
            let has_left = words.acquire(latest::control::STATE) != 1;
            Ok(Participant {
                messages: latest::number_of(words.load(latest::control::CURRENT)),
                bytes: Some(words.load(latest::control::BYTES)),
                ..Participant::new(Role::Writer, index, peer, has_left)
            })
        })?;
        self.each(site, 'r', MOST_READERS, What::Reader, |index, peer| {
            let counters = peer.foreign(latest::page::COUNTERS, latest::page::COUNTED)?;
            Ok(Participant {
                messages: counters.load(latest::page::READS),
                parks: Some(counters.load(latest::page::PARKS)),
                ..Participant::new(Role::Reader, index, peer, false)
            })
        })
    }

    fn rpc(&mut self, site: &Glance) -> Result<()> {
        self.each(site, 'l', 1, What::Listener, |index, peer| {
            Ok(Participant::new(Role::Listener, index, peer, false))
        })?;
        for number in site.list('c', usize::MAX)? {
            match Self::ends(&site.directory.join(format!("c{number}"))) {
                Ok([up, down]) => {
                    self.unreadable += up.unreadable + down.unreadable;
                    self.participants.extend(end(Role::Client, number, &up, &down));
                    self.participants.extend(end(Role::Server, number, &down, &up));
                }
                // It has gone meanwhile, or is just being made.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(_) => self.unreadable += 1,
            }
        }
        Ok(())
    }

    /// What goes on in either direction of a connection.
    fn ends(directory: &Path) -> Result<[Self; 2]> {
        let place = Place::at(directory)?;
        let look = |direction| {
            let name = BusName::new(direction)
                .map_err(|_| malformed("look at", &Object::path(directory), "it has no name"))?;
            stat(Kind::Topic, &name, Some(&place))
        };
        let [up, down] = rpc::DIRECTIONS;
        Ok([look(up)?, look(down)?])
    }

    /// Looks at each participant of a kind.
    fn each(
        &mut self,
        site: &Glance,
        prefix: char,
        most: usize,
        what: What,
        mut look: impl FnMut(usize, &Peer) -> Result<Participant>,
    ) -> Result<()> {
        for index in site.list(prefix, most)? {
            let path = site.directory.join(format!("{prefix}{index}"));
            match Peer::open(&path, what, Some(site.number)) {
                Ok(Some(peer)) => match look(index, &peer) {
                    Ok(participant) => self.participants.push(participant),
                    Err(_) => self.unreadable += 1,
                },
                // It has gone meanwhile.
                Ok(None) => {}
                Err(_) => self.unreadable += 1,
            }
        }
        Ok(())
    }
}

/// An end of a connection: who publishes to one direction, and subscribes to the other.
fn end(role: Role, number: usize, out: &Stat, back: &Stat) -> Option<Participant> {
    let of = |stat: &Stat, role| stat.participants.iter().find(|it| it.role == role).copied();
    let publishes = of(out, Role::Publisher)?;
    let subscribes = of(back, Role::Subscriber);
    Some(Participant {
        role,
        index: number,
        lag: subscribes.and_then(|it| it.lag),
        parks: subscribes.and_then(|it| it.parks),
        ..publishes
    })
}

impl Participant {
    fn new(role: Role, index: usize, peer: &Peer, has_left: bool) -> Self {
        let process = peer.process();
        let is_ours = process.namespace == 0 || process.namespace == Process::this().namespace;
        Self {
            role,
            index,
            pid: u32::try_from(process.pid).ok().filter(|&pid| is_ours && pid > 0),
            state: match (peer.is_alive(), has_left) {
                (true, false) => State::Here,
                (_, true) => State::Left,
                (false, false) => State::Died,
            },
            messages: 0,
            bytes: None,
            lag: None,
            missed: None,
            parks: None,
            slow: None,
        }
    }
}
