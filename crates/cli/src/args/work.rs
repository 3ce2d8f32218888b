//! The arguments of `twixt work`.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;
use twixt::address::Address;

use super::address;

const NOTES: &str = "\
What becomes of a job:
  COMMAND ends with status 0   it is done, and nobody gets it again
  COMMAND fails                it is handed out again, here or elsewhere;
                               after --retries times it goes to the queue
                               NAME.dead, where recv and work take it
  this program is killed       so is COMMAND, and the job is handed out
                               to another worker within some 100 ms
  COMMAND takes longer than    another worker has it as well
  the queue's visibility

So each job is done at least once; one may be done twice, when its worker died
just before it could say so. COMMAND has the job on its standard input and in
the place of each {} in its arguments, and in its environment TWIXT_DELIVERIES
(how often the job was handed out, this time included), TWIXT_LENGTH,
TWIXT_PUBLISHER (the sender's place) and TWIXT_SEQUENCE (its number there).

The first Ctrl-C (or SIGTERM, SIGHUP) lets finish what runs, and takes nothing
more; the second kills it, and the jobs are handed out again.

Exit status: 0 after --count jobs; 1 if one was put aside; 4 when no job came
within --timeout; 126 and 127 if COMMAND cannot be run or was not found, and
then the job is handed out again.";

const EXAMPLES: &str = "\
Examples:
  twixt work --create queue:images -j 4 -- convert {} -resize 200 {}.png
  find . -name '*.jpg' | twixt send --create queue:images
  twixt work 'queue:mail?create&retries=5&visibility=10m' -- ./send-mail
  twixt work queue:mail.dead -- tee -a failed";

/// Work off a queue on the bus: a command for each job, and no job lost whatever dies
///
/// Any number of workers may do so at a time. Which jobs there are, and who works, shows `twixt stat queue:NAME`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, after_long_help = help())]
pub struct Work {
    /// The queue: queue:NAME
    #[arg(value_name = "ADDRESS", value_parser = address())]
    pub address: Address,
    /// How many commands to run at a time
    #[arg(short = 'j', long = "jobs", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub jobs: u16,
    /// End after so many jobs
    #[arg(short = 'n', long = "count", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Hand a job out so many times at most before it goes to NAME.dead; 0 for any number of times [default: what the queue
    /// was made with, or 5]
    #[arg(long, value_name = "N")]
    pub retries: Option<u32>,
    /// With --create: for how long a job may be worked on before another worker may have it, as ?visibility= in the address; a
    /// whole number and ns, us, ms, s or m (30s, 10m)
    #[arg(long, value_name = "TIME", requires = "create", value_parser = twixt::address::parse_duration)]
    pub visibility: Option<Duration>,
    /// End when no job has come within this time, a whole number and ns, us, ms, s or m (2s, 500ms); exit status 4
    #[arg(long, value_name = "TIME", value_parser = twixt::address::parse_duration)]
    pub timeout: Option<Duration>,
    /// Make the queue if it is not there, as ?create in the address does
    #[arg(long)]
    pub create: bool,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

fn help() -> String {
    format!("{NOTES}\n\n{EXAMPLES}")
}
