//! Remote procedure calls: the same service over a socket, over rings in shared memory, and on the bus.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use twixt_address::Address;
use twixt_bus::Kind;
use twixt_channel::Listener;
use twixt_channel::rpc::{self, Context, Items};
use twixt_os::posix::shm;

use crate::demonstration::{Demonstration, TwoTerminals};
use crate::failure::{Failure, expect};
use crate::names::Names;
use crate::party::Party;

pub(super) const SOCKET: Demonstration = Demonstration {
    name: "rpc",
    shows: "typed calls, an error, a stream of results, over a socket",
    parties: &[("server", |party| serve(party, &socket(party.names()))), ("client", client)],
    conduct: |run| run.server_and_client(),
    remove: |names| {
        let _ = fs::remove_file(names.path(NAME));
        let _ = fs::remove_file(names.path(&format!("{NAME}.lock")));
    },
    two_terminals: Some(TwoTerminals { address: socket }),
};

pub(super) const MEMORY: Demonstration = Demonstration {
    name: "rpc-shm",
    shows: "the same calls over a ring there and a ring back",
    parties: &[("server", |party| serve(party, &memory(party.names()))), ("client", client)],
    conduct: |run| run.server_and_client(),
    remove: |names| drop(shm::unlink(&names.posix(NAME))),
    two_terminals: Some(TwoTerminals { address: memory }),
};

pub(super) const BUS: Demonstration = Demonstration {
    name: "rpc-bus",
    shows: "the same calls over a connection of the bus",
    parties: &[("server", |party| serve(party, &on_bus(party.names()))), ("client", client)],
    conduct: |run| run.server_and_client(),
    remove: |names| super::bus::remove_name(names, Kind::Rpc, NAME),
    two_terminals: Some(TwoTerminals { address: on_bus }),
};

const NAME: &str = "calls";

fn socket(names: &Names) -> String {
    format!("unix:{}", names.path(NAME).display())
}

fn memory(names: &Names) -> String {
    format!("posix-shm:{}?create", names.posix(NAME))
}

fn on_bus(names: &Names) -> String {
    format!("rpc:{}", names.abstract_name(NAME))
}

twixt_channel::service! {
    /// What can be called.
    pub(crate) trait Counter {
        /// The number after this one; none after the last.
        fn next(number: u64) -> Result<u64, String>;
        /// All numbers below this one.
        fn below(number: u64) -> stream u64;
    }
    /// Calls a [`Counter`].
    pub(crate) struct CounterClient;
}

struct Counting<'a> {
    party: &'a Party,
    calls: &'a AtomicU64,
}

impl Counter for Counting<'_> {
    fn next(&self, _: &Context<'_>, number: u64) -> Result<u64, String> {
        let next = number.checked_add(1).ok_or_else(|| LAST.to_owned())?;
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.party.say(&format!("Server: {number} is followed by {next}"));
        Ok(next)
    }

    fn below(&self, _: &Context<'_>, number: u64, items: &mut Items<'_, u64>) -> rpc::Result<()> {
        self.party.say(&format!("Server: sends the numbers below {number}"));
        (0..number).try_for_each(|number| items.send(&number))
    }
}

const LAST: &str = "none follows the last number";
const STREAMED: u64 = 100;

fn serve(party: &Party, address: &str) -> Result<(), Failure> {
    let listener = Listener::open(&parse(address)?)?;
    party.reached("ready", address.trim_end_matches("?create"));
    let mut connection = listener.accept_deadline(party.deadline())?;
    let calls = AtomicU64::new(0);
    Counting { party, calls: &calls }.into_server().serve(&mut connection).map_err(failure)?;
    party.say("Server: the client has said goodbye");
    party.counted("pings", calls.into_inner());
    Ok(())
}

fn client(party: &Party) -> Result<(), Failure> {
    let counter = CounterClient::connect(&parse(party.argument(0)?)?).map_err(failure)?;
    let mut samples = party.samples();
    for round in 0..party.rounds() {
        let start = Instant::now();
        let next = counter.next(round).call_deadline(party.deadline()).map_err(failure)?;
        samples.push(start.elapsed());
        expect("the answer", next, Ok(round + 1))?;
        party.say(&format!("Client: {} follows {round}", round + 1));
    }
    let answer = counter.next(u64::MAX).call_deadline(party.deadline()).map_err(failure)?;
    expect("the service's own error", answer, Err(LAST.to_owned()))?;
    let mut numbers = counter.below(STREAMED).window(8).start_deadline(party.deadline()).map_err(failure)?;
    let mut expected = 0;
    while let Some(number) = numbers.receive().map_err(failure)? {
        expect("the next of the stream", number, expected)?;
        expected += 1;
    }
    expect("the numbers of the stream", expected, STREAMED)?;
    party.measured(samples);
    Ok(())
}

fn parse(address: &str) -> Result<Address, Failure> {
    address.parse().map_err(|error| Failure::wrong(format_args!("{error}")))
}

fn failure(error: rpc::Error) -> Failure {
    match error {
        rpc::Error::Transport(error) => error.into(),
        rpc::Error::Closed => Failure::Gone(error.to_string()),
        _ => Failure::wrong(error),
    }
}
