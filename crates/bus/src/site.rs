//! What all participants of a name share: the file that says what it is, and the roster of who takes part.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, chmod, mkdir, renameat_with};
use twixt_address::BusName;
use twixt_os::{Errno, Error, ErrorKind, Mode, Object, Result};

use crate::doorbell::{self, Doorbell};
use crate::error::{kernel, malformed, refused};
use crate::hints::{Hints, PAGE};
use crate::holder::Process;
use crate::place::{Kind, Place};
use crate::ring::Geometry;
use crate::segment::{HEADER, Making, Own, Peer, What, draw, header};
use crate::sync::Ordering;
use crate::words::{WORD, copy_in};

/// The file's name in the directory of a site.
pub(crate) const SITE: &str = "site";
/// The longest description of a type, in bytes.
pub(crate) const LONGEST_TYPE: usize = 1024;

/// Where things stand in the header of a site.
mod place_of {
    pub(super) const KIND: usize = 16;
    pub(super) const DISCIPLINE: usize = 17;
    pub(super) const MODE: usize = 18;
    pub(super) const TYPE_HASH: usize = 19;
    pub(super) const TYPE_LEN: usize = 20;
    pub(super) const RETRIES: usize = 21;
    pub(super) const VISIBILITY: usize = 22;
    pub(super) const MESSAGE: usize = 28;
    pub(super) const TYPE: usize = 32;
}

/// How much may wait between a sender and its receivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Capacity {
    /// Nothing: a send is over when the message has been received, and one that fails has sent nothing. To a topic it is sent
    /// when all its subscribers wait for a message at the same time, of which there must be one; who only tries to receive, and
    /// polls no doorbell, does not wait.
    Zero,
    /// A ring of so many bytes for each sender, rounded up to a power of two; headers count, too.
    Bounded(u64),
    /// Nobody waits: memory comes when it is needed and goes when it is not, up to so many bytes for each sender, rounded up
    /// to a power of two. What exceeds that is refused.
    ///
    /// A queue keeps an eighth of that besides for each sender, messages or not, as long as it is there: it says whose each message
    /// is. A budget of 1 GiB costs 128 MiB, and a producer that opens such a queue takes a tenth of a second.
    Unbounded(u64),
}

impl Capacity {
    /// 1 MiB for each sender: what a second-level cache has room for.
    pub const DEFAULT: Self = Self::Bounded(1 << 20);
    /// 256 KiB for each direction of a connection, of which there may be many.
    const OF_CALLS: Self = Self::Bounded(1 << 18);
    /// The ring of a rendezvous, which limits how long a message can be.
    const MEETING: u64 = 1 << 20;
}

impl Capacity {
    fn default_of(kind: Kind) -> Self {
        match kind {
            Kind::Topic | Kind::Queue | Kind::Latest => Self::DEFAULT,
            Kind::Rpc => Self::OF_CALLS,
        }
    }
}

impl Default for Capacity {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What messages consist of, where senders and receivers have agreed on a type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TypeName {
    /// Of everything that decides what the bytes mean; 0 for none.
    pub hash: u64,
    /// For people.
    pub description: String,
}

impl TypeName {
    /// Bytes without a type.
    pub fn bytes() -> Self {
        Self::default()
    }

    fn shown(&self) -> String {
        if self.hash == 0 { "bytes without a type".to_owned() } else { self.description.clone() }
    }
}

/// How a name on the bus is opened, and made if it is not there.
///
/// ```
/// use twixt_bus::{Capacity, Options};
/// let options = Options::new().create(true).capacity(Capacity::Bounded(1 << 16));
/// # let _ = options;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Options {
    pub(crate) place: Option<Place>,
    pub(crate) create: bool,
    pub(crate) mode: Mode,
    pub(crate) capacity: Option<Capacity>,
    pub(crate) type_name: Option<TypeName>,
    pub(crate) retries: Option<u32>,
    pub(crate) visibility: Option<std::time::Duration>,
    pub(crate) message_size: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// What is there, as it is.
    pub fn new() -> Self {
        Self {
            place: None,
            create: false,
            mode: Mode::OWNER,
            capacity: None,
            type_name: None,
            retries: None,
            visibility: None,
            message_size: None,
        }
    }

    /// Whether to make it if it is not there.
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// The directory of the bus, where it is not the user's own.
    pub fn place(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// Who may take part, where the directory of the bus lets them in: those who may write. 0600 by default.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// How much may wait; what is there must have the same. [`Capacity::DEFAULT`] if it is made and nothing is said.
    pub fn capacity(mut self, capacity: Capacity) -> Self {
        self.capacity = Some(capacity);
        self
    }

    /// What messages consist of; what is there must say the same.
    pub fn type_name(mut self, type_name: TypeName) -> Self {
        self.type_name = Some(type_name);
        self
    }

    /// Of a queue: how often a message is handed out before it counts as one that cannot be worked on, and is put aside; 0 for
    /// any number of times. What is there keeps what it was made with.
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = Some(retries);
        self
    }

    /// Of a queue: for how long a message may be worked on before somebody else may have it. Without end if nothing is said.
    pub fn visibility(mut self, visibility: std::time::Duration) -> Self {
        self.visibility = Some(visibility);
        self
    }

    /// Of a state of which only the latest value counts: the most bytes of a value; what is there must have the same. 64 KiB
    /// if it is made and nothing is said, 1 GiB at the most. Memory is had for what is written, eight times.
    pub fn message_size(mut self, bytes: u64) -> Self {
        self.message_size = Some(bytes);
        self
    }
}

/// The most bytes of a latest value, where nothing is said.
const MESSAGE_SIZE: u64 = 64 << 10;
/// And where something is.
const LARGEST_MESSAGE: u64 = 1 << 30;

/// What a site says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Charter {
    pub(crate) kind: Kind,
    pub(crate) capacity: Capacity,
    pub(crate) geometry: Geometry,
    pub(crate) mode: Mode,
    pub(crate) type_name: TypeName,
    pub(crate) retries: u32,
    pub(crate) visibility: Option<std::time::Duration>,
    /// The most bytes of a latest value.
    pub(crate) message_size: usize,
}

/// A name that is open.
pub(crate) struct Site {
    pub(crate) directory: PathBuf,
    /// Drawn when it was made, so that another of the same name is another.
    pub(crate) number: u64,
    pub(crate) charter: Charter,
    pub(crate) hints: Hints,
    pub(crate) object: Object,
    peer: Peer,
}

impl Site {
    /// Opens a name, and makes it if that is wanted.
    pub(crate) fn open(kind: Kind, name: &BusName, options: &Options) -> Result<Self> {
        let object = Object::name(format!("{}:{name}", kind.scheme()));
        let place = match &options.place {
            Some(place) => place.clone(),
            None => Place::of_user()?,
        };
        let directory = place.directory(kind, name);
        // It may come and go between two looks, but hardly this often without ill will.
        for _ in 0..16 {
            if let Some(peer) = Peer::open_shared(&directory.join(SITE), What::Site, None)? {
                return Self::of(kind, directory, object, peer, options);
            }
            if !options.create {
                let why = "it does not exist";
                return Err(refused("open", &object, ErrorKind::NotFound, why)
                    .with_advice("add ?create to make it, or make it with `twixt mk`"));
            }
            Self::make(&place, &directory, kind, &object, options)?;
        }
        let why = "others make and remove it all the time";
        Err(refused("open", &object, ErrorKind::Busy, why))
    }

    fn of(kind: Kind, directory: PathBuf, object: Object, peer: Peer, options: &Options) -> Result<Self> {
        let charter = read_charter(&peer, &object)?;
        if charter.kind != kind {
            return Err(malformed("open", &object, "its file says that it is something else"));
        }
        if let Some(wanted) = options.capacity
            && geometry_of(wanted).map(|geometry| with_lines(wanted, geometry)) != Some(charter.capacity)
        {
            let why = format!("it is there with {}", shown(charter.capacity));
            return Err(refused("open", &object, ErrorKind::InvalidInput, why)
                .with_advice("leave the capacity out, or remove it first"));
        }
        if let Some(wanted) = options.message_size
            && wanted != charter.message_size as u64
        {
            let why = format!("it is there for values of up to {} bytes", charter.message_size);
            return Err(refused("open", &object, ErrorKind::InvalidInput, why)
                .with_advice("leave the message size out, or remove it first"));
        }
        if let Some(wanted) = &options.type_name
            && wanted.hash != charter.type_name.hash
        {
            let why = format!(
                "its messages are {}, and this program's are {}",
                charter.type_name.shown(),
                wanted.shown()
            );
            return Err(refused("open", &object, ErrorKind::Malformed, why));
        }
        let hints = Hints::new(peer.mapping(), HEADER * WORD)
            .map_err(|why| crate::error::fault("open", &object, why))?;
        Ok(Self { directory, number: peer.header(header::SITE), charter, hints, object, peer })
    }

    /// Makes the directory with the site in it, which has its name when it is whole.
    /// `false` if there is one by then.
    fn make(place: &Place, directory: &Path, kind: Kind, object: &Object, options: &Options) -> Result<bool> {
        let capacity = options.capacity.unwrap_or(Capacity::default_of(kind));
        let Some(geometry) = geometry_of(capacity) else {
            let why = format!("{} is more than a ring can have", shown(capacity));
            return Err(refused("create", object, ErrorKind::OutOfRange, why));
        };
        let message_size = options.message_size.unwrap_or(MESSAGE_SIZE);
        if !(1..=LARGEST_MESSAGE).contains(&message_size) {
            let why = format!("values of up to {message_size} bytes are not between 1 and {LARGEST_MESSAGE}");
            return Err(refused("create", object, ErrorKind::OutOfRange, why));
        }
        let type_name = options.type_name.clone().unwrap_or_default();
        if type_name.description.len() > LONGEST_TYPE {
            let why = format!("the type's description has more than {LONGEST_TYPE} bytes");
            return Err(refused("create", object, ErrorKind::TooLong, why));
        }
        clear(place);
        let temporary = unfinished(place)?;
        let remove = Remove(&temporary);
        make_directory(&temporary, options.mode)?;
        let making = Making {
            what: What::Site,
            site: draw()?,
            len: HEADER * WORD + PAGE,
            mode: options.mode,
            reserved: HEADER * WORD + PAGE,
        };
        let visibility =
            options.visibility.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        Own::create(&temporary.join(SITE), making, |words| {
            let discipline = match capacity {
                Capacity::Zero => 1,
                Capacity::Bounded(_) => 2,
                Capacity::Unbounded(_) => 3,
            };
            for (at, word) in [
                (header::LINES, geometry.lines()),
                (place_of::KIND, kind.number()),
                (place_of::DISCIPLINE, discipline),
                (place_of::MODE, options.mode.bits().into()),
                (place_of::TYPE_HASH, type_name.hash),
                (place_of::TYPE_LEN, type_name.description.len() as u64),
                (place_of::RETRIES, options.retries.unwrap_or(0).into()),
                (place_of::VISIBILITY, visibility),
                (place_of::MESSAGE, message_size),
            ] {
                words[at].store(word, Ordering::Relaxed);
            }
            copy_in(&words[place_of::TYPE..], type_name.description.as_bytes());
        })?;
        match renameat_with(CWD, &temporary, CWD, directory, RenameFlags::NOREPLACE) {
            Ok(()) => {
                core::mem::forget(remove);
                Ok(true)
            }
            // Somebody was faster.
            Err(Errno::EXIST) => Ok(false),
            Err(errno) => Err(kernel("create", directory, errno)),
        }
    }

    /// The path of a participant's file.
    pub(crate) fn path(&self, prefix: char, index: usize) -> PathBuf {
        self.directory.join(format!("{prefix}{index}"))
    }

    /// The participants' files of that prefix, by their index.
    pub(crate) fn list(&self, prefix: char, most: usize) -> Result<Vec<usize>> {
        let failed = |error: std::io::Error| {
            kernel("look into", &self.directory, Errno::from_io_error(&error).unwrap_or(Errno::IO))
        };
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(self.removed("look into"));
            }
            entries => entries.map_err(failed)?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            let index = name.to_str().and_then(|name| name.strip_prefix(prefix)?.parse::<usize>().ok());
            found.extend(index.filter(|&index| index < most));
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Whether it is as it should be: it has its name still, and all of its memory.
    pub(crate) fn check(&self, operation: &'static str) -> Result<()> {
        if !self.has_name() {
            return Err(self.removed(operation));
        }
        self.peer.mapping().check().map_err(|why| crate::error::fault(operation, &self.object, why))
    }

    /// Makes the doorbell of that path, or takes it over. Whoever may take part may ring it.
    pub(crate) fn doorbell(&self, path: PathBuf) -> Result<Doorbell> {
        let mode = 0o600 | self.charter.mode.bits() & 0o022;
        Doorbell::make(path, rustix::fs::Mode::from_raw_mode(mode))
    }

    /// Makes the doorbells of all participants of that prefix readable: it is not known whose are waited for.
    #[cold]
    pub(crate) fn ring_doorbells(&self, prefix: char) {
        doorbell::ring_all(&self.directory, |name| name.starts_with(prefix));
    }

    /// Whether it still has its name.
    pub(crate) fn has_name(&self) -> bool {
        self.peer.has_name()
    }

    /// The error of all operations once somebody has removed it.
    pub(crate) fn removed(&self, operation: &'static str) -> Error {
        refused(operation, &self.object, ErrorKind::Removed, "somebody has removed it")
    }

    /// How a participant's file is to be made.
    pub(crate) fn making(&self, what: What, len: usize) -> Making {
        // Others may read what one writes, as far as they may take part.
        let mode = Mode::new(self.charter.mode.bits() & !0o022).unwrap_or(Mode::OWNER);
        Making { what, site: self.number, len, mode, reserved: len }
    }

    /// The same for a file with a ring, which begins so many bytes into it: without a bound, its memory comes when it is written.
    /// But for that of its first page: whoever takes the place stores the first tag at once.
    pub(crate) fn making_ring(&self, what: What, len: usize, ring: usize) -> Making {
        let making = self.making(what, len);
        match self.charter.capacity {
            Capacity::Unbounded(_) => Making { reserved: (ring + PAGE).min(len), ..making },
            Capacity::Zero | Capacity::Bounded(_) => making,
        }
    }
}

/// What the file of a site says.
pub(crate) fn read_charter(peer: &Peer, object: &Object) -> Result<Charter> {
    let wrong = |why: &'static str| malformed("open", object, why);
    let word = |at: usize| peer.header(at);
    let kind = Kind::ALL.into_iter().find(|kind| kind.number() == word(place_of::KIND));
    let geometry =
        Geometry::new(word(header::LINES)).ok_or_else(|| wrong("its ring has an impossible length"))?;
    let bytes = geometry.bytes() as u64;
    let capacity = match word(place_of::DISCIPLINE) {
        1 => Capacity::Zero,
        2 => Capacity::Bounded(bytes),
        3 => Capacity::Unbounded(bytes),
        _ => return Err(wrong("its capacity is of an unknown kind")),
    };
    let len = usize::try_from(word(place_of::TYPE_LEN)).unwrap_or(usize::MAX);
    if len > LONGEST_TYPE {
        return Err(wrong("its type has an impossible description"));
    }
    let mut description = vec![0; len];
    let words = len.div_ceil(WORD);
    peer.foreign(place_of::TYPE, words)?.view(0, words).copy_to(0, &mut description);
    let nanoseconds = word(place_of::VISIBILITY);
    let message_size = match word(place_of::MESSAGE) {
        bytes @ 1..=LARGEST_MESSAGE => bytes as usize,
        // It is of no account there.
        0 if kind != Some(Kind::Latest) => MESSAGE_SIZE as usize,
        _ => return Err(wrong("its values have an impossible length")),
    };
    Ok(Charter {
        kind: kind.ok_or_else(|| wrong("it is of an unknown kind"))?,
        capacity,
        geometry,
        mode: u32::try_from(word(place_of::MODE)).ok().and_then(Mode::new).unwrap_or(Mode::OWNER),
        type_name: TypeName {
            hash: word(place_of::TYPE_HASH),
            description: String::from_utf8_lossy(&description).into_owned(),
        },
        retries: u32::try_from(word(place_of::RETRIES)).unwrap_or(0),
        visibility: (nanoseconds > 0).then(|| std::time::Duration::from_nanos(nanoseconds)),
        message_size,
    })
}

fn geometry_of(capacity: Capacity) -> Option<Geometry> {
    Geometry::of_bytes(match capacity {
        Capacity::Zero => Capacity::MEETING,
        Capacity::Bounded(bytes) | Capacity::Unbounded(bytes) => bytes,
    })
}

fn with_lines(capacity: Capacity, geometry: Geometry) -> Capacity {
    match capacity {
        Capacity::Zero => Capacity::Zero,
        Capacity::Bounded(_) => Capacity::Bounded(geometry.bytes() as u64),
        Capacity::Unbounded(_) => Capacity::Unbounded(geometry.bytes() as u64),
    }
}

fn shown(capacity: Capacity) -> String {
    match capacity {
        Capacity::Zero => "a capacity of zero".to_owned(),
        Capacity::Bounded(bytes) => format!("a capacity of {bytes} bytes"),
        Capacity::Unbounded(bytes) => format!("a budget of {bytes} bytes"),
    }
}

/// Makes a directory for files of that mode.
pub(crate) fn make_directory(path: &Path, mode: Mode) -> Result<()> {
    mkdir(path, rustix::fs::Mode::RWXU)
        .and_then(|()| let_in(path, mode))
        .map_err(|errno| kernel("create", path, errno))
}

/// Whoever may read or write the files may enter the directory; whoever may write them may put others there. As it was asked
/// for, whatever the umask is; and with the group of the directory around it where that hands its group down.
fn let_in(directory: &Path, mode: Mode) -> std::result::Result<(), Errno> {
    let bits = mode.bits();
    let handed_down = rustix::fs::stat(directory)?.st_mode & 0o2000;
    chmod(directory, rustix::fs::Mode::from_raw_mode(bits | (bits & 0o444) >> 2 | handed_down))
}

/// What stands before the name of a directory that is not yet, or no longer, a site.
const UNFINISHED: &str = ".unfinished-";

/// A name for such a directory, which says whose work it is.
fn unfinished(place: &Place) -> Result<PathBuf> {
    let this = Process::this();
    let name = format!("{UNFINISHED}{}-{}-{}-{:016x}", this.pid, this.started, this.namespace, draw()?);
    Ok(place.path().join(name))
}

/// Removes what processes left that were killed while they made a site, or removed one.
fn clear(place: &Place) {
    let Ok(entries) = fs::read_dir(place.path()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(UNFINISHED)) else { continue };
        let mut numbers = rest.split('-').map_while(|word| word.parse().ok());
        let (Some(pid), Some(started), Some(namespace)) = (numbers.next(), numbers.next(), numbers.next())
        else {
            continue;
        };
        if (Process { pid, started, namespace }).is_gone() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Removes what was not finished.
struct Remove<'a>(&'a Path);

impl Drop for Remove<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.0);
    }
}

/// Makes a name that is not there, for others to open. It stays until it is [removed](remove).
///
/// # Errors
/// [`AlreadyExists`](ErrorKind::AlreadyExists); [`OutOfRange`](ErrorKind::OutOfRange) for a capacity that no ring can have;
/// [`NoSpace`](ErrorKind::NoSpace), and what the kernel says.
pub fn make(kind: Kind, name: &BusName, options: &Options) -> Result<()> {
    let object = Object::name(format!("{}:{name}", kind.scheme()));
    let place = match &options.place {
        Some(place) => place.clone(),
        None => Place::of_user()?,
    };
    if Site::make(&place, &place.directory(kind, name), kind, &object, options)? {
        return Ok(());
    }
    Err(refused("create", &object, ErrorKind::AlreadyExists, "it is there already"))
}

/// Removes a name with all that belongs to it. Who has it open is told so.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound), and what the kernel says.
pub fn remove(kind: Kind, name: &BusName, place: Option<&Place>) -> Result<()> {
    let object = Object::name(format!("{}:{name}", kind.scheme()));
    let place = match place {
        Some(place) => place.clone(),
        None => Place::of_user()?,
    };
    let directory = place.directory(kind, name);
    clear(&place);
    let gone = unfinished(&place)?;
    // First out of the way, all at once.
    match renameat_with(CWD, &directory, CWD, &gone, RenameFlags::NOREPLACE) {
        Err(Errno::NOENT) => {
            return Err(refused("remove", &object, ErrorKind::NotFound, "it does not exist"));
        }
        moved => moved.map_err(|errno| kernel("remove", &directory, errno))?,
    }
    if let Ok(Some(peer)) = Peer::open_shared(&gone.join(SITE), What::Site, None)
        && let Ok(hints) = Hints::new(peer.mapping(), HEADER * WORD)
    {
        hints.change_roster();
        hints.filled.ring();
        hints.room.ring();
        doorbell::ring_all(&gone, |_| true);
    }
    fs::remove_dir_all(&gone)
        .map_err(|error| kernel("remove", &gone, Errno::from_io_error(&error).unwrap_or(Errno::IO)))
}
