//! A test function and the roles that its child processes play.

use std::io::{BufRead, Write};
use std::sync::Once;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::{env, io, process, thread};

use twixt_sys::signal::{ActionFlags, Kind, Reaction, current, install, with_signals_blocked};

use crate::HANG;
use crate::child::Spawn;

pub(crate) const ROLE: &str = "TWIXT_TEST_ROLE";
pub(crate) const ARGUMENT: &str = "TWIXT_TEST_ARGUMENT_";
/// Stands before each line that a peer says, to tell it from the test harness's own output.
pub(crate) const SAID: &str = "@ ";

/// The test function that contains the call. See the crate's documentation.
#[macro_export]
macro_rules! test {
    () => {{
        fn here() {}
        $crate::Test::new(::core::any::type_name_of_val(&here))
    }};
}

/// A running test, in the process of the test or in one of its children. Keep it to the end of the test: that is when
/// the watchdog lies down.
#[derive(Clone, Debug)]
pub struct Test {
    name: String,
    _watched: Sender<()>,
}

impl Test {
    /// Use [`test!`](crate::test!).
    #[doc(hidden)]
    pub fn new(here: &str) -> Self {
        // `crate::module::test_function::here`, from which libtest leaves out the crate.
        let path = here.strip_suffix("::here").unwrap_or(here);
        Self::named(path.split_once("::").map_or(path, |(_crate, rest)| rest))
    }

    /// A test that is no function, under a harness of its own (`harness = false`), by the name that it has there. Such a
    /// harness calls [`role`](Self::role) before it runs anything.
    pub fn named(name: &str) -> Self {
        let name = name.to_owned();
        if env::var_os(ROLE).is_none() {
            MINDED.call_once(mind_signals);
        }
        let _watched = watch(name.clone());
        Self { name, _watched }
    }

    /// The same, which may take as long as it likes: for what is only run when asked for.
    #[must_use]
    pub fn unwatched(mut self) -> Self {
        self._watched = mpsc::channel().0;
        self
    }

    /// The name under which the test harness knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// In a child that was spawned with this role: plays it and exits. Otherwise does nothing.
    pub fn role(&self, role: &str, play: impl FnOnce(&Peer)) {
        if env::var(ROLE).as_deref() == Ok(role) {
            play(&Peer { _only_made_here: () });
            process::exit(0);
        }
    }

    /// Plays a role in a child process that has IPC and mount namespaces of its own, if that can be had.
    pub fn in_namespaces(&self, play: impl FnOnce(&Peer)) {
        self.role("confined", play);
        match crate::namespaces() {
            Ok(command) => self.child("confined").under(&command).spawn().succeed(),
            Err(missing) => self.skip(&missing),
        }
    }

    /// A child process that will play `role`.
    pub fn child(&self, role: &str) -> Spawn {
        assert!(env::var_os(ROLE).is_none(), "no role {:?} in test {}", env::var(ROLE), self.name);
        Spawn::new(&self.name, role)
    }

    /// Says, past the harness's capture, that the test did not run and what it would have needed.
    pub fn skip(&self, missing: &crate::Missing) {
        // print! and eprint! are captured; a handle is not.
        let _ = writeln!(io::stderr(), "SKIP {}: {missing}", self.name);
    }
}

static MINDED: Once = Once::new();

/// What a script's `&` or `nohup` ignores, the programs under test would ignore, too: whoever starts the tests makes no
/// difference to them.
fn mind_signals() {
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
        if current(signal).is_ok_and(|found| found.kind == Kind::Ignore) {
            let installed = install(signal, Reaction::Default, ActionFlags::empty(), 0);
            installed.expect("the default can be had again").keep();
        }
    }
}

/// Ends the process if it is still in this test after [`HANG`]: a hang must fail, not stall the run. Dropping what this
/// returns ends the watch.
fn watch(name: String) -> Sender<()> {
    let (watched, end) = mpsc::channel();
    let watch = move || {
        if end.recv_timeout(HANG) == Err(RecvTimeoutError::Timeout) {
            let _ = writeln!(io::stderr(), "test {name} hung; the process ends here");
            process::abort();
        }
    };
    // Signals to the process are for the test, which may block them.
    with_signals_blocked(|| thread::spawn(watch));
    watched
}

/// The child's end of the conversation with the test that spawned it.
#[derive(Debug)]
pub struct Peer {
    _only_made_here: (),
}

impl Peer {
    /// The argument number `index` that the child was spawned with.
    pub fn arg(&self, index: usize) -> String {
        env::var(format!("{ARGUMENT}{index}"))
            .unwrap_or_else(|_| panic!("the child was spawned without argument {index}"))
    }

    /// Says one line to the test.
    pub fn say(&self, line: &str) {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "\n{SAID}{line}").and_then(|()| stdout.flush()).expect("the test listens");
    }

    /// The next line that the test tells.
    pub fn hear(&self) -> String {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).expect("the test talks");
        line.trim_end_matches('\n').to_owned()
    }

    /// Waits until the test tells exactly this line.
    pub fn wait_for(&self, line: &str) {
        assert_eq!(self.hear(), line);
    }
}
