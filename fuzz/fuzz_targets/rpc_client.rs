//! Whatever a server says, each call of a client ends with a result or an error.

#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use twixt_channel::rpc::{Error, Options};
use twixt_channel::{local, service};
use twixt_os::Wait;

service! {
    /// A bit of everything.
    pub trait Lab {
        fn text(number: u8) -> Option<String>;
        fn nest() -> Nest;
        fn count(to: u8) -> stream Vec<u16>;
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

#[derive(Arbitrary, Debug)]
enum Said {
    Welcome { fits: bool, longest: u32, text: String },
    Refuse { why: u8, fits: bool, name: String, signature: String },
    Reply { call: u8, payload: Vec<u8> },
    Failure { call: u8, why: u8, numbers: [u64; 2], text: Vec<u8> },
    Item { call: u8, payload: Vec<u8> },
    End { call: u8 },
    Goodbye,
    Bytes(Vec<u8>),
}

fn greeting(kind: u8, code: u8, nonce: [u8; 8], longest: u32, name: &str, rest: &str) -> Vec<u8> {
    let mut bytes = vec![kind, 0, code, 0, 0, 0, 0, 0];
    bytes.extend(b"twxrpc\n\0");
    bytes.extend(nonce);
    bytes.extend(LabClient::service().hash().to_le_bytes());
    bytes.extend(longest.to_le_bytes());
    bytes.extend((name.len() as u16).to_le_bytes());
    bytes.extend([0; 2]);
    bytes.extend(name.as_bytes());
    bytes.extend(rest.as_bytes());
    bytes
}

fn packet(said: &Said, nonce: [u8; 8]) -> Vec<u8> {
    let header = |kind: u8, code: u8, call: u8| vec![kind, 0, code, 0, call, 0, 0, 0];
    let nonce = |fits| if fits { nonce } else { [1; 8] };
    match said {
        Said::Welcome { fits, longest, text } => greeting(2, 0, nonce(*fits), *longest, text, ""),
        Said::Refuse { why, fits, name, signature } => greeting(3, *why, nonce(*fits), 9, name, signature),
        Said::Reply { call, payload } => [header(5, 0, *call), payload.clone()].concat(),
        Said::Failure { call, why, numbers: [len, limit], text } => {
            let numbers = [len.to_le_bytes(), limit.to_le_bytes()].concat();
            [header(6, *why, *call), numbers, text.clone()].concat()
        }
        Said::Item { call, payload } => [header(7, 0, *call), payload.clone()].concat(),
        Said::End { call } => header(8, 0, *call),
        Said::Goodbye => header(11, 0, 0),
        Said::Bytes(bytes) => bytes.clone(),
    }
}

fuzz_target!(|input: (bool, Vec<Said>)| {
    let (greets, said) = input;
    let (client, mut server) = local::duplex();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let Ok(open) = server.receive() else { return };
            let mut nonce = [0; 8];
            nonce.copy_from_slice(&open.bytes()[16..24]);
            if greets {
                let _ = server.sender().try_send(&greeting(2, 0, nonce, 1 << 20, "Lab", ""));
                // Three calls are made then.
                for _ in 0..3 {
                    if server.receive().is_err() {
                        return;
                    }
                }
            }
            for said in &said {
                let _ = server.sender().try_send(&packet(said, nonce));
            }
        });
        let options = Options::new().window(2).max_message(1 << 12);
        let Ok(lab) = LabClient::open_wait(client, options, Wait::forever()) else { return };
        let (text, nest, numbers) = (lab.text(1).start(), lab.nest().start(), lab.count(3).start());
        if let Ok(numbers) = numbers {
            for item in numbers {
                let _ = item;
            }
        }
        if let Ok(mut text) = text {
            let _ = text.try_wait();
            let _ = text.wait_wait(Wait::forever());
        }
        if let Ok(nest) = nest {
            match nest.wait() {
                Ok(_) | Err(Error::Undecodable { .. }) => {}
                Err(error) => assert!(!error.to_string().contains(char::is_control), "{error:?}"),
            }
        }
    });
});
