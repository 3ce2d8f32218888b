//! Whatever a client says, a server answers in the format, ends the conversation by name, and holds no more than it may.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use twixt_channel::rpc::{self, Context, Error, Items};
use twixt_channel::{Duplex, local, service};

service! {
    /// A bit of everything.
    pub trait Lab {
        fn echo(bytes: Vec<u8>, text: Option<String>) -> Vec<u8>;
        fn nest(nest: Nest) -> u32;
        fn nothing();
        fn count(to: u8) -> stream u8;
        fn ask(times: u8) -> bool;
    }
    /// Uses it.
    pub struct LabClient;
}

/// A type that contains itself.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub enum Nest {
    Empty,
    In(Box<Nest>),
    Many(Vec<Nest>),
}

struct Plain;

impl Lab for Plain {
    fn echo(&self, _: &Context<'_>, bytes: Vec<u8>, _: Option<String>) -> Vec<u8> {
        bytes
    }
    fn nest(&self, _: &Context<'_>, nest: Nest) -> u32 {
        u32::from(matches!(nest, Nest::Empty))
    }
    fn nothing(&self, _: &Context<'_>) {}
    fn count(&self, _: &Context<'_>, to: u8, items: &mut Items<'_, u8>) -> rpc::Result<()> {
        (0..to).try_for_each(|number| items.send(&number))
    }
    fn ask(&self, context: &Context<'_>, times: u8) -> bool {
        (0..times).any(|_| context.is_cancelled())
    }
}

#[derive(Arbitrary, Debug)]
enum Said {
    Open { nonce: u64, fits: bool, longest: u32, name: String },
    Request { call: u8, method: u8, credit: u32, timeout: Option<u64>, payload: Vec<u8> },
    Cancel { call: u8 },
    Credit { call: u8, items: u32 },
    Goodbye,
    Bytes(Vec<u8>),
}

const METHODS: [&str; 6] = ["echo", "nest", "nothing", "count", "ask", "none"];

fn packet(said: Said) -> Vec<u8> {
    let header = |kind: u8, code: u8, call: u8| vec![kind, 0, code, 0, call, 0, 0, 0];
    match said {
        Said::Open { nonce, fits, longest, name } => {
            let (name, hash) = if fits { ("Lab", LabClient::service().hash()) } else { (&*name, nonce) };
            let mut bytes = header(1, 1, 0);
            bytes.extend(b"twxrpc\n\0");
            bytes.extend(nonce.to_le_bytes());
            bytes.extend(hash.to_le_bytes());
            bytes.extend(longest.to_le_bytes());
            bytes.extend((name.len() as u16).to_le_bytes());
            bytes.extend([0; 2]);
            bytes.extend(name.as_bytes());
            bytes
        }
        Said::Request { call, method, credit, timeout, payload } => {
            let mut bytes = header(4, 0, call);
            bytes.extend(rpc::method_id(METHODS[usize::from(method) % METHODS.len()]).to_le_bytes());
            bytes.extend(credit.to_le_bytes());
            bytes.extend(timeout.unwrap_or(u64::MAX).to_le_bytes());
            bytes.extend(payload);
            bytes
        }
        Said::Cancel { call } => header(10, 0, call),
        Said::Credit { call, items } => {
            let mut bytes = header(9, 0, call);
            bytes.extend(items.to_le_bytes());
            bytes
        }
        Said::Goodbye => header(11, 0, 0),
        Said::Bytes(bytes) => bytes,
    }
}

fuzz_target!(|input: (u8, bool, Vec<Said>)| {
    let (how, greets, said) = input;
    let (client, server) = local::duplex();
    let (mut sender, mut answers) = client.split();
    let open = Said::Open { nonce: 7, fits: true, longest: 1 << 20, name: String::new() };
    for said in greets.then_some(open).into_iter().chain(said) {
        // What finds no room is not said.
        let _ = sender.try_send(&packet(said));
    }
    drop(sender);
    let workers = if how % 16 == 0 { 2 } else { 0 };
    let serving = Plain.into_server().workers(workers).queue(usize::from(how % 4)).max_message(1 << 12);
    // Nobody reads the answers before it is over.
    match serving.stall(Duration::ZERO).serve(&mut Duplex::from(server.split())) {
        Ok(_) | Err(Error::Malformed { .. } | Error::Mismatch { .. } | Error::Stalled { .. }) => {}
        Err(error) => panic!("{error}"),
    }
    while let Ok(answer) = answers.try_receive() {
        let [kind, 0, _, _, _, _, _, _, ..] = answer.bytes() else { panic!("{answer:?}") };
        assert!([2, 3, 5, 6, 7, 8, 11].contains(kind), "{kind}");
    }
});
