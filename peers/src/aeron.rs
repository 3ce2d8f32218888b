//! Aeron: its C client and C media driver, over `aeron:ipc`.
//!
//! Both come from the sources that `rusteron-media-driver` carries; its library has the client too. As Aeron's
//! documentation advises:
//!
//! - Messages that fit a fragment are written in place (`try_claim`) and read in place (`poll` of the image); longer ones
//!   are offered, cut into fragments, and put together again by a fragment assembler. Fragments are as long as is allowed.
//! - Publications are exclusive: none has to be shared by threads.
//! - Term buffers are allocated and touched beforehand, and as long as Aeron makes them.
//! - Who sleeps does so by Aeron's backoff idle strategy: there is nothing that wakes a subscriber.
//!
//! The driver is a process of its own, as it is in production, which the first publisher starts. What goes from client to
//! client it does not see, but it moves the limit up to which a publisher may write. It runs in one thread and backs off
//! when it has nothing to do, so that where CPUs are few it does not take one from those who talk. Its processor time is
//! in nobody's account.

use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rusteron_media_driver::{
    AERON_IPC_STREAM, Aeron, AeronContext, AeronDriver, AeronDriverContext, AeronExclusivePublication,
    AeronFragmentClosureAssembler, AeronHeader, AeronImage, AeronOfferError, AeronSubscription,
    BackoffIdleStrategy, Handlers, IdleStrategy, bindings,
};
use twixt::bench::{
    Ends, Entry, Failure, Family, Incoming, Need, Outgoing, Pattern, Receive, Result, Role, Send, Setup,
    Transport,
};

pub(crate) const fn entry() -> Entry {
    Entry::new::<AeronIpc>("aeron", Family::Peer)
        .described("Aeron, aeron:ipc with a driver beside it")
        .capable_of(&[
            Need::Boundaries,
            Need::Bytes,
            Need::Reliable,
            Need::EmptyMessages,
            Need::ManySenders,
            Need::FanOut,
            Need::CrashSafe,
            Need::SeesEnd,
            Need::Network,
        ])
}

/// The first argument of this program when it is to be the driver.
const DRIVE: &str = "aeron-driver";

// What goes to subscribers, and what comes back in a round trip.
const THERE: i32 = 1001;
const BACK: i32 = 1002;

/// How long the driver and the others may take to appear.
const PATIENCE: Duration = Duration::from_secs(15);

/// The longest fragment, header included, that a driver allows.
const MTU: usize = 65504;

/// The longest message that Aeron has: it is this even where a term would have room for a longer one.
const LONGEST: usize = 16 << 20;

/// Fragments that one poll takes at most. Aeron's samples say 10; the position is written once for each poll.
const FRAGMENTS: usize = 256;

struct AeronIpc {
    setup: Setup,
    driver: Option<Driver>,
}

impl Transport for AeronIpc {
    type Sender = Sender;
    type Receiver = Receiver;

    fn supports(setup: &Setup) -> Result<()> {
        let workload = &setup.workload;
        if workload.pattern == Pattern::Work && workload.subscribers > 1 {
            return Err(Failure::Unsupported("every subscriber has every message".into()));
        }
        if workload.size > LONGEST {
            return Err(Failure::Unsupported(format!("its messages have at most {LONGEST} bytes")));
        }
        Ok(())
    }

    fn capacities(setup: &Setup) -> Vec<Option<u64>> {
        crate::capacity::choices(setup, &[16 << 20, 4 << 20])
    }

    fn prepare(setup: &Setup) -> Result<Self> {
        let driver = (setup.role == Role::Publisher(0)).then(|| Driver::start(setup)).transpose()?;
        Ok(Self { setup: setup.clone(), driver })
    }

    fn connect(self) -> Result<Ends<Sender, Receiver>> {
        let (setup, workload) = (&self.setup, &self.setup.workload);
        let context = AeronContext::new().map_err(Failure::failed)?;
        context.set_dir(&c_path(&directory(setup))?).map_err(Failure::failed)?;
        context.set_pre_touch_mapped_memory(true).map_err(Failure::failed)?;
        // Waits for the driver.
        let aeron = Aeron::new(&context).map_err(Failure::failed)?;
        aeron.start().map_err(Failure::failed)?;
        let is_round_trip = workload.pattern == Pattern::Rtt;
        let (sends, receives, publishers) = match setup.role {
            Role::Publisher(_) => (Some(THERE), is_round_trip.then_some(BACK), 1),
            Role::Subscriber(_) => (is_round_trip.then_some(BACK), Some(THERE), workload.publishers),
        };
        let subscription = receives
            .map(|stream| {
                aeron.add_subscription(AERON_IPC_STREAM, stream, Handlers::NONE, Handlers::NONE, PATIENCE)
            })
            .transpose()
            .map_err(Failure::failed)?;
        let publication = sends
            .map(|stream| aeron.add_exclusive_publication(AERON_IPC_STREAM, stream, PATIENCE))
            .transpose()
            .map_err(Failure::failed)?;
        if let Some(publication) = &publication {
            until(|| publication.is_connected())?;
        }
        let receiver = subscription
            .map(|subscription| -> Result<Receiver> {
                until(|| subscription.image_count().is_ok_and(|images| images as usize == publishers))?;
                Receiver::new(subscription, publishers, workload.size)
            })
            .transpose()?;
        let sender =
            publication.map(|publication| Sender::new(publication, self.driver, setup)).transpose()?;
        Ok(Ends { sender, receiver })
    }
}

fn until(condition: impl Fn() -> bool) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        if Instant::now() > end {
            return Err(Failure::failed("the other side has not appeared"));
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn directory(setup: &Setup) -> PathBuf {
    setup.directory.join("aeron")
}

fn c_path(path: &Path) -> Result<std::ffi::CString> {
    std::ffi::CString::new(path.as_os_str().as_bytes()).map_err(Failure::failed)
}

/// The bytes of a term buffer, a power of two: what was asked for, or else Aeron's own default, but so many that a message
/// fits, which has an eighth of a term at most. A publisher may be half a term ahead, and only the driver moves that limit:
/// with shorter terms it would have to look more often than it does while it backs off.
fn term(setup: &Setup) -> u64 {
    const BEST: u64 = 64 << 20;
    let wanted = setup.capacity.unwrap_or(BEST).max(setup.workload.size as u64 * 8);
    wanted.next_power_of_two().clamp(64 << 10, 1 << 30)
}

struct Sender {
    publication: AeronExclusivePublication,
    /// Where messages too long for a fragment are written.
    buffer: Vec<u8>,
    /// Goes last.
    _driver: Option<Driver>,
}

impl Sender {
    fn new(publication: AeronExclusivePublication, driver: Option<Driver>, setup: &Setup) -> Result<Self> {
        let fits = publication.max_payload_length().map_err(Failure::failed)?;
        let size = setup.workload.size;
        Ok(Self { publication, buffer: vec![0; if size > fits { size } else { 0 }], _driver: driver })
    }
}

impl Send for Sender {
    #[inline]
    fn try_send(&mut self, message: &mut Outgoing) -> Result<bool> {
        let sent = if self.buffer.is_empty() {
            match self.publication.try_claim_owned(message.len()) {
                Ok(mut claim) => {
                    message.fill(claim.data());
                    return claim.commit().map(|_| true).map_err(Failure::failed);
                }
                Err(error) => Err(error),
            }
        } else {
            if !message.is_filled() {
                message.fill(&mut self.buffer);
            }
            self.publication.offer(&self.buffer)
        };
        match sent {
            Ok(_) => Ok(true),
            Err(AeronOfferError::BackPressured | AeronOfferError::AdminAction) => Ok(false),
            // Somebody has gone.
            Err(error) => Err(Failure::failed(error)),
        }
    }

    fn send(&mut self, message: &mut Outgoing) -> Result<()> {
        let mut idle = BackoffIdleStrategy::new();
        while !self.try_send(message)? {
            idle.idle(0);
        }
        Ok(())
    }

    fn stop(&mut self, mut message: Outgoing, _: usize) -> Result<()> {
        match self.send(&mut message) {
            // It was said before, and they have gone.
            Err(_) if !self.publication.is_connected() => Ok(()),
            sent => sent,
        }
    }
}

/// Images are polled in their place; several, or messages in pieces, by their subscription.
enum Source {
    Image(AeronImage),
    Images,
    Pieces(AeronFragmentClosureAssembler),
}

struct Receiver {
    source: Source,
    subscription: AeronSubscription,
}

impl Receiver {
    fn new(subscription: AeronSubscription, publishers: usize, size: usize) -> Result<Self> {
        // Less than a fragment's room by its header.
        let source = if size > MTU - 32 {
            Source::Pieces(AeronFragmentClosureAssembler::new().map_err(Failure::failed)?)
        } else if publishers == 1 {
            let none = || Failure::failed("the publisher has gone");
            Source::Image(subscription.image_at_index(0).ok_or_else(none)?)
        } else {
            Source::Images
        };
        Ok(Self { source, subscription })
    }
}

impl Receive for Receiver {
    #[inline]
    fn try_receive(&mut self, incoming: &mut Incoming) -> Result<bool> {
        let mut state = (incoming, 0);
        let polled = match &mut self.source {
            Source::Image(image) => image.poll_fn(|bytes, _| check(&mut state, bytes), FRAGMENTS),
            Source::Images => self.subscription.poll_fn(|bytes, _| check(&mut state, bytes), FRAGMENTS),
            Source::Pieces(assembler) => {
                let whole =
                    |state: &mut (&mut Incoming, usize), bytes: &[u8], _: AeronHeader| check(state, bytes);
                assembler.poll(&self.subscription, &mut state, whole, FRAGMENTS)
            }
        };
        polled.map_err(Failure::failed)?;
        // Pieces are no messages.
        Ok(state.1 > 0)
    }

    fn receive(&mut self, incoming: &mut Incoming) -> Result<()> {
        let mut idle = BackoffIdleStrategy::new();
        while !self.try_receive(incoming)? {
            idle.idle(0);
        }
        Ok(())
    }
}

#[inline]
fn check(state: &mut (&mut Incoming, usize), bytes: &[u8]) {
    state.0.check(bytes);
    state.1 += 1;
}

/// The driver's process. It goes with this, and with whoever has this: its standard input ends.
struct Driver(Child);

impl Driver {
    fn start(setup: &Setup) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(DRIVE).arg(directory(setup)).arg(term(setup).to_string());
        Ok(Self(command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Is the driver, if that is what this program was started for, until the standard input ends.
pub(crate) fn drive() -> Option<anyhow::Result<ExitCode>> {
    let mut words = std::env::args_os().skip(1);
    if words.next()? != DRIVE {
        return None;
    }
    let (directory, term) = (words.next()?, words.next()?.to_str()?.parse().ok()?);
    Some(run_driver(Path::new(&directory), term))
}

fn run_driver(directory: &Path, term: usize) -> anyhow::Result<ExitCode> {
    // Where whoever started this keeps to a CPU, the driver does not.
    let mut cpus = rustix::thread::CpuSet::new();
    (0..rustix::thread::CpuSet::MAX_CPU).for_each(|cpu| cpus.set(cpu));
    rustix::thread::sched_setaffinity(None, &cpus)?;
    let is_over = Arc::new(AtomicBool::new(false));
    let ends = is_over.clone();
    thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        ends.store(true, Ordering::Relaxed);
    });
    let context = AeronDriverContext::new()?;
    context.set_dir(&c_path(directory).map_err(|error| anyhow::anyhow!("{error}"))?)?;
    context.set_dir_delete_on_shutdown(true)?;
    context.set_threading_mode(bindings::aeron_threading_mode_t::AERON_THREADING_MODE_SHARED)?;
    context.set_shared_idle_strategy(c"backoff")?;
    context.set_ipc_term_buffer_length(term)?;
    context.set_ipc_mtu_length(MTU)?;
    context.set_term_buffer_sparse_file(false)?;
    let driver = AeronDriver::new(&context)?;
    driver.start(true)?;
    while !is_over.load(Ordering::Relaxed) {
        driver.main_idle_strategy(driver.main_do_work()?);
    }
    Ok(ExitCode::SUCCESS)
}
