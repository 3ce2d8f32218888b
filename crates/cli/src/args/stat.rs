//! The arguments of `twixt stat`.

use clap::{Args, ValueEnum};
use twixt::address::Address;

use super::address;

const NOTES: &str = "\
Columns:
  address   the name on the bus
  role      publisher, subscriber (topics); producer, consumer (queues);
            writer, reader (latest values); listener, client, server
            (connections)
  place     its place there, which another may have once it has gone; of
            the two ends of a connection the number of that
  pid       its process; none if its number is of another namespace
  state     joining; here; left, its messages stay; died, without a word
  messages  sent or received, by all who had the place where it is kept;
            of the ends of a connection, sent
  bytes     of these messages
  lag       bytes of rings that wait for it, headers included
  missed    messages that a subscriber was too slow for
  parks     how often it slept
  slow      what becomes of it if it is too slow

Whoever looks takes no part, and needs nobody's help: the counters stand in
the memory that the others share. Exit status 3 if some cannot be read.";

const EXAMPLES: &str = "\
Examples:
  twixt stat
  twixt stat topic:prices -o pid,lag,missed
  twixt stat queue:jobs --json";

/// Show who takes part in names on the bus, and what their counters say
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, after_long_help = help())]
pub struct Stat {
    /// Which names: topic:NAME, queue:NAME, latest:NAME, rpc:NAME; all there are without one
    #[arg(value_name = "ADDRESS", value_parser = address())]
    pub addresses: Vec<Address>,
    /// Print these columns, in this order, with commas between them
    #[arg(
        short = 'o',
        long = "columns",
        value_name = "COLUMNS",
        value_delimiter = ',',
        value_enum,
        conflicts_with = "json",
        hide_possible_values = true
    )]
    pub columns: Vec<Column>,
    /// Print each name as a JSON object on a line of its own: schema, address, capacity, budget, mode, type, unreadable, and
    /// participants with the columns
    #[arg(long)]
    pub json: bool,
    /// Leave out the headings of the table
    #[arg(long, conflicts_with = "json")]
    pub noheadings: bool,
}

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Column {
    Address,
    Role,
    Place,
    Pid,
    State,
    Messages,
    Bytes,
    Lag,
    Missed,
    Parks,
    Slow,
}

fn help() -> String {
    format!("{NOTES}\n\n{EXAMPLES}")
}
