//! How long it takes whoever waits to learn that a peer was killed (`SIGKILL`), which it does by an error or event, or by having what
//! the dead kept from it.
//!
//! `cargo bench -p twixt-bus --bench death [-- KILLS [DIES]]`, where `DIES` is one of those that die: `publisher`, `subscriber`,
//! `consumer`, `writer`, `server`, `listener`
//!
//! | who waits | for whom | and has then |
//! |---|---|---|
//! | subscriber of a topic | its publisher | `Event::Left` |
//! | publisher to a topic, for room | the only subscriber | room |
//! | consumer of a queue | another, which has the only message | that message |
//! | reader of a latest value | its writer | `PeerGone` |
//! | client of an rpc | the server | `PeerGone` |
//! | client that connects | the listener, before it accepts | `NoPeer` |

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use twixt_address::BusName;
use twixt_bus::queue::{Consumer, Producer};
use twixt_bus::{
    Event, LatestReader, LatestWriter, Left, Link, Listener, Options, Place, Publisher, Subscriber,
};
use twixt_os::{ErrorKind, Wait};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;
/// Who waits, who dies, and how long it took.
type Part = (&'static str, &'static str, fn(Stage) -> Outcome<Duration>);

/// The first argument of a process that is going to be killed; its part and its directory follow.
const VICTIM: &str = "--victim";

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    if let [first, part, directory] = &arguments[..]
        && first == VICTIM
    {
        return victim(part, &options(Path::new(directory))?);
    }
    let kills = arguments.first().map_or(Ok(100), |it| it.parse())?;
    let parts: [Part; 6] = [
        ("subscriber", "publisher", subscriber),
        ("publisher", "subscriber", publisher),
        ("queue consumer", "consumer", consumer),
        ("latest reader", "writer", reader),
        ("rpc client", "server", client),
        ("rpc client, connecting", "listener", connecting),
    ];
    println!("told of {kills} deaths each, in ms:");
    println!("{:<24}{:>8}{:>8}{:>8}", "who waits", "mean", "median", "most");
    let mut dice = 1;
    for (who, role, part) in parts {
        if arguments.get(1).is_some_and(|it| it != role) {
            continue;
        }
        let mut times = Vec::new();
        for _ in 0..kills {
            // At another time each, within how long anybody sleeps without looking.
            dice = u64::wrapping_mul(dice, 6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let pause = Duration::from_micros(5_000 + (dice >> 33) % 50_000);
            times.push(part(Stage { scratch: tempfile::tempdir_in("/dev/shm")?, role, pause })?);
        }
        times.sort();
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let all: Duration = times.iter().sum();
        let (mean, middle, most) =
            (ms(all) / f64::from(kills), times[times.len() / 2], times[times.len() - 1]);
        println!("{who:<24}{mean:>8.1}{:>8.1}{:>8.1}", ms(middle), ms(most));
    }
    Ok(())
}

fn name() -> Outcome<BusName> {
    Ok(BusName::new("death")?)
}

fn options(directory: &Path) -> Outcome<Options> {
    Ok(Options::new().create(true).place(Place::at(directory)?))
}

/// Does its part, says so, and waits for its death.
fn victim(part: &str, options: &Options) -> Outcome {
    let name = name()?;
    let ready = |_: &dyn std::any::Any| {
        println!("ready");
        loop {
            std::thread::park();
        }
    };
    match part {
        "publisher" => ready(&Publisher::open(&name, options)?),
        "subscriber" => ready(&Subscriber::open(&name, options)?),
        "consumer" => {
            let consumer = Consumer::open(&name, options)?;
            let job = consumer.receive()?;
            println!("ready");
            std::thread::sleep(Duration::MAX);
            drop(job);
            Ok(())
        }
        "writer" => {
            let mut writer = LatestWriter::open(&name, options)?;
            writer.write(b"last words")?;
            ready(&writer)
        }
        "server" => {
            let mut listener = Listener::open(&name, options)?;
            println!("ready");
            let link = listener.accept()?;
            ready(&link)
        }
        _ => ready(&Listener::open(&name, options)?),
    }
}

/// What a part plays on.
struct Stage {
    scratch: tempfile::TempDir,
    role: &'static str,
    /// After it began to wait, the other dies.
    pause: Duration,
}

impl Stage {
    fn options(&self) -> Outcome<Options> {
        options(self.scratch.path())
    }

    fn spawn(&self) -> Outcome<Child> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(VICTIM).arg(self.role).arg(self.scratch.path());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.as_mut().ok_or("it has no output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        assert_eq!(line, "ready\n");
        Ok(child)
    }

    /// From the kill until `wait` is over.
    fn time(&self, mut child: Child, wait: impl FnOnce() -> Outcome) -> Outcome<Duration> {
        let pause = self.pause;
        let killer = std::thread::spawn(move || {
            std::thread::sleep(pause);
            let death = Instant::now();
            let killed = child.kill().and_then(|()| child.wait());
            killed.map(|_| death)
        });
        wait()?;
        let told = Instant::now();
        let death = killer.join().map_err(|_| "the killer has panicked")??;
        Ok(told.checked_duration_since(death).ok_or("it was told before")?)
    }
}

fn subscriber(stage: Stage) -> Outcome<Duration> {
    let mut subscriber = Subscriber::open(&name()?, &stage.options()?)?;
    stage.time(stage.spawn()?, || {
        let event = subscriber.next(Wait::forever())?;
        assert!(matches!(event, Event::Left { how: Left::Died, .. }), "{event:?}");
        Ok(())
    })
}

fn publisher(stage: Stage) -> Outcome<Duration> {
    let publisher = Publisher::open(&name()?, &stage.options()?)?;
    let child = stage.spawn()?;
    while publisher.try_publish(&[0; 10_000]).is_ok() {}
    stage.time(child, || Ok(publisher.publish(&[0; 10_000])?))
}

fn consumer(stage: Stage) -> Outcome<Duration> {
    let options = stage.options()?;
    Producer::open(&name()?, &options)?.send(b"the only one")?;
    let child = stage.spawn()?;
    let consumer = Consumer::open(&name()?, &options)?;
    stage.time(child, || {
        let job = consumer.receive()?;
        assert_eq!(job.deliveries(), 2);
        Ok(job.acknowledge()?)
    })
}

fn reader(stage: Stage) -> Outcome<Duration> {
    let child = stage.spawn()?;
    let mut reader = LatestReader::open(&name()?, &stage.options()?)?;
    let version = reader.version()?;
    stage.time(child, || {
        let told = reader.wait_for_newer(version, Wait::forever()).map(drop);
        is(ErrorKind::PeerGone, told)
    })
}

fn client(stage: Stage) -> Outcome<Duration> {
    let child = stage.spawn()?;
    let mut link = Link::connect(&name()?, &stage.options()?)?;
    stage.time(child, || is(ErrorKind::PeerGone, link.receive().map(drop)))
}

fn connecting(stage: Stage) -> Outcome<Duration> {
    let (child, options) = (stage.spawn()?, stage.options()?);
    stage.time(child, || is(ErrorKind::NoPeer, Link::connect(&name()?, &options).map(drop)))
}

fn is(kind: ErrorKind, told: twixt_os::Result<()>) -> Outcome {
    match told {
        Err(error) if error.kind() == kind => Ok(()),
        Err(error) => Err(error.into()),
        Ok(()) => Err("it was told of nothing".into()),
    }
}
