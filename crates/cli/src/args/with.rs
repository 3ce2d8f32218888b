//! The arguments of `twixt with`.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;
use twixt::address::Address;

use super::address;

const GIVING_BACK: &str = "\
How the permits come back, whatever ends COMMAND or twixt (SIGKILL included):
  sysv-sem   twixt takes the permits with SEM_UNDO and then becomes
             COMMAND: there is one process, and the kernel gives them
             back when it ends. All permits are taken at once or none.
  posix-sem  The kernel knows no owner. A guard (a second twixt in a
             session of its own, deaf to signals) takes them and gives
             them back when COMMAND has ended, also if twixt was killed
             meanwhile. If the guard is killed, twixt starts another.
             They are lost only if both are killed, or the guard in the
             very instant in which it takes them or gives them back.
             Several permits are taken one by one; if not all are there,
             those taken are put back before it waits.
  lock       flock(2). COMMAND has a copy of the locked descriptor
             (number 100), so that the kernel keeps the lock while
             COMMAND runs, also if twixt is killed. When COMMAND ends,
             twixt releases the lock even if processes that COMMAND left
             behind have copies too; if twixt was killed, it stays until
             they have ended.

What COMMAND leaves running in the background holds no permits once COMMAND
itself has ended. A semaphore with the value 1 serves as a lock. SETVAL on a
System V semaphore makes the kernel forget what is to be given back.

Signals: COMMAND belongs to the same process group, so Ctrl-C, Ctrl-\\ and
Ctrl-Z reach it as they would without twixt. What is sent to twixt alone (HUP,
INT, QUIT, TERM, USR1, USR2, CONT, real-time signals) is passed on.

Exit status: that of COMMAND, and if a signal killed it, twixt dies of the
same. Before COMMAND was started:
  1    there is no such semaphore or lock file (--create makes it)
  2    the command line is wrong, or what it asks for was refused
  4    the time was up
  126  COMMAND cannot be executed
  127  COMMAND was not found

Examples:
  twixt with --create lock:/tmp/backup.lock -- ./backup
  twixt with sysv-sem:0x7477/0 --permits 2 --timeout 10s -- make -j2
  twixt with --create 'posix-sem:/gpu?value=3' -- ./train";

/// Run a command holding a semaphore or a lock
///
/// Waits until the permits can be had, runs the command, and gives them back when it ends.
#[derive(Args, Debug)]
#[command(after_help = GIVING_BACK)]
pub struct With {
    /// What to hold: sysv-sem:KEY[/N], posix-sem:/name or lock:/path
    #[arg(value_name = "ADDRESS", value_parser = address())]
    pub address: Address,
    /// How many permits of a semaphore to hold, 1 to 32767 [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=32767))]
    pub permits: Option<u16>,
    /// Share the lock with others who share it, rather than having it alone
    #[arg(long)]
    pub shared: bool,
    /// Give up after this time, a whole number and ns, us, ms, s or m (2s, 500ms); exit status 4. 0s
    /// takes what is free. Goes before the address's ?timeout=
    #[arg(long, value_name = "TIME", value_parser = twixt::address::parse_duration)]
    pub timeout: Option<Duration>,
    /// Make the semaphore or the lock file if there is none: a semaphore with ?value=N permits [default: 1]
    #[arg(long)]
    pub create: bool,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}
