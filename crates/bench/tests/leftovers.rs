//! What killed measurements leave behind is removed by the next one, and nothing else is.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use twixt_bench::{
    Observer, Pattern, Plan, Program, Registry, Role, Setup, Touch, Waiting, Workload, measure,
};
use twixt_os::lock::{Kind, LockFile};
use twixt_testkit::{defer, test, unique_name};

struct Silent;

impl Observer for Silent {}

/// Nothing to do but to tidy up first.
fn tidy() {
    let plan = Plan {
        transports: Vec::new(),
        patterns: Vec::new(),
        sizes: Vec::new(),
        waits: Vec::new(),
        touch: Touch::All,
        publishers: 1,
        subscribers: 1,
        repeats: 1,
        pins: false,
        time: Duration::from_millis(1),
        capacity: None,
        count: None,
        counts_calls: false,
        patience: Duration::from_secs(20),
    };
    let report = measure(&plan, &Registry::own(), &Program::this().unwrap(), &Silent).unwrap();
    assert!(report.records.is_empty());
}

/// Another test that tidies up at the same time may be at it.
fn goes(path: &Path) {
    let end = Instant::now() + Duration::from_secs(60);
    while path.exists() {
        assert!(Instant::now() < end, "{path:?} is still there");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A directory as a conductor makes it, and its claim with or without something in it.
fn directory(is_claimed: bool) -> PathBuf {
    let shm = Path::new("/dev/shm");
    let place = if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() };
    let name = format!("twixt-bench-{}", unique_name().trim_start_matches('/'));
    let path = place.join(&name);
    fs::DirBuilder::new().mode(0o700).create(&path).unwrap();
    fs::write(path.join("socket"), "something").unwrap();
    fs::write(path.join("claim"), if is_claimed { claim() } else { Vec::new() }).unwrap();
    path
}

/// What stands in a claim.
fn claim() -> Vec<u8> {
    let workload = Workload {
        pattern: Pattern::Rtt,
        size: 64,
        waiting: Waiting::Block,
        touch: Touch::All,
        publishers: 1,
        subscribers: 1,
    };
    let setup = Setup {
        transport: "unix".into(),
        workload,
        role: Role::Publisher(0),
        // Neither of these is what is removed.
        name: "another".into(),
        directory: PathBuf::from("/nonexistent"),
        capacity: None,
        cpu: None,
        is_crowded: false,
    };
    serde_json::to_vec(&setup).unwrap()
}

#[test]
fn what_nobody_holds_goes() {
    let _test = test!();
    let path = directory(true);
    tidy();
    goes(&path);
}

#[test]
fn what_is_held_stays_until_it_is_not() {
    let _test = test!();
    let path = directory(false);
    let remove = path.clone();
    let _clean = defer(move || drop(fs::remove_dir_all(remove)));
    let held = LockFile::acquire(path.join("claim"), Kind::Exclusive).unwrap();
    fs::write(path.join("claim"), claim()).unwrap();
    tidy();
    assert!(path.join("socket").exists(), "what is in use was removed");
    drop(held);
    tidy();
    goes(&path);
}

#[test]
fn what_is_being_made_and_what_is_no_claim_stay() {
    let _test = test!();
    let (empty, foreign) = (directory(false), directory(false));
    let remove = [empty.clone(), foreign.clone()];
    let _clean = defer(move || remove.iter().for_each(|path| drop(fs::remove_dir_all(path))));
    fs::write(foreign.join("claim"), "no JSON").unwrap();
    tidy();
    assert!(empty.join("socket").exists() && foreign.join("socket").exists());
}
