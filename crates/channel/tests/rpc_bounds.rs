//! What the other side cannot do: keep a thread, keep somebody beyond a deadline, or have types read of which nothing is
//! known. And how a server is stopped.

#[path = "support/rpc.rs"]
mod support;

use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use support::*;
use twixt_channel::framing::encode;
use twixt_channel::rpc::{self, Context, Ended, Error};
use twixt_channel::{Capacity, Duplex, Framing, Listener, Opening, Sender, local, service};
use twixt_os::{Deadline, ErrorKind, Wait};
use twixt_testkit::test;

fn greeting(kind: u8, nonce: &[u8], service: &rpc::Service) -> Vec<u8> {
    let hash = service.hash().to_le_bytes();
    let (code, name) = (u8::from(kind == 1), service.name().as_bytes());
    let len = [name.len() as u8, 0, 0, 0];
    [&[kind, 0, code, 0, 0, 0, 0, 0], b"twxrpc\n\0".as_slice(), nonce, &hash, &[0, 0, 0, 4], &len, name]
        .concat()
}

fn request(call: u32, method: &str, timeout: Option<Duration>, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![4, 0, 0, 0];
    bytes.extend(call.to_le_bytes());
    bytes.extend(rpc::method_id(method).to_le_bytes());
    bytes.extend(0_u32.to_le_bytes());
    bytes.extend(timeout.map_or(u64::MAX, |timeout| timeout.as_nanos() as u64).to_le_bytes());
    bytes.extend(payload);
    bytes
}

fn cancel(call: u32) -> Vec<u8> {
    [[10, 0, 0, 0], call.to_le_bytes()].concat()
}

/// 600 000, and 10 000 000, as arguments of `zeros`.
const MANY: &[u8] = &[0xc0, 0xcf, 0x24];
const MORE: &[u8] = &[0x80, 0xad, 0xe2, 0x04];

/// A client that is greeted.
fn greeted(client: &mut Duplex) {
    client.send(&greeting(1, b"12345678", LabClient::service())).unwrap();
    assert_eq!(client.receive().unwrap().bytes()[0], 2);
}

#[test]
fn a_client_that_reads_nothing_is_shown_out() {
    let _test = test!();
    type Make = fn() -> Pair;
    let connections: [(&str, Make); 5] = [
        ("unix", || socket("unix")),
        ("unix-seqpacket", || socket("unix-seqpacket")),
        ("tcp", || socket("tcp")),
        ("pipes", pipes),
        ("posix-shm", || rings(Place::posix_shm())),
    ];
    for (name, pair) in connections {
        for workers in [0, 2] {
            let Pair { mut client, mut server, cleanup } = pair();
            let stall = Duration::from_millis(100);
            let serving = Notes::default().into_server().workers(workers).stall(stall);
            let thread = thread::spawn(move || serving.serve(&mut server));
            greeted(&mut client);
            for call in 1..=40 {
                let (method, payload): (_, &[u8]) =
                    if name == "unix-seqpacket" { ("zeros", &[0xa0, 0x9c, 0x01]) } else { ("zeros", MANY) };
                client.send(&request(call, method, None, payload)).unwrap();
            }
            let error = thread.join().unwrap().unwrap_err();
            assert!(matches!(error, Error::Stalled { waited } if waited >= stall), "{name}: {error}");
            assert!(error.to_string().contains("has read nothing for"), "{error}");
            drop((client, cleanup));
        }
    }
}

#[test]
fn a_client_that_reads_slowly_is_waited_for() {
    let _test = test!();
    let name = twixt_testkit::unique_name();
    let listener = Listener::open(&address(&format!("unix:@{name}"))).unwrap();
    let mut client = UnixStream::connect_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap();
    let mut server = listener.accept().unwrap();
    let serving = Notes::default().into_server().stall(Duration::from_secs(2));
    let thread = thread::spawn(move || serving.serve(&mut server));
    let mut said = Vec::new();
    let open = greeting(1, b"12345678", LabClient::service());
    for message in [open, request(1, "zeros", None, MORE)] {
        encode(Framing::Frame, &message, &mut said).unwrap();
    }
    client.write_all(&said).unwrap();
    // For longer than that in all.
    let (mut room, mut read) = (vec![0; 32 << 10], 0);
    while read < 10_000_000 {
        let more = client.read(&mut room).unwrap();
        assert!(more > 0, "hung up on after {read} bytes");
        read += more;
        thread::sleep(Duration::from_millis(10));
    }
    drop(client);
    assert_eq!(thread.join().unwrap(), Ok(Ended::PeerGone));
}

#[test]
fn a_result_is_not_waited_with_beyond_its_deadline() {
    let _test = test!();
    for workers in [0, 1] {
        let Pair { mut client, mut server, .. } = socket("unix");
        let notes = Notes::default();
        let serving = notes.clone().into_server().workers(workers).stall(Duration::from_secs(3600));
        let thread = thread::spawn(move || serving.serve(&mut server));
        greeted(&mut client);
        // Time enough to make the result, which there is no room for.
        let soon = Some(Duration::from_secs(2));
        client.send(&request(1, "zeros", soon, MANY)).unwrap();
        client.send(&request(2, "linger", None, &[1])).unwrap();
        // It comes to the next one, though nobody reads.
        until(|| notes.begun() == 1);
        drop(client);
        assert_eq!(thread.join().unwrap(), Ok(Ended::PeerGone));
    }
}

#[test]
fn a_server_can_be_stopped() {
    let _test = test!();
    type Make = fn() -> Pair;
    let connections: [(&str, Make); 4] = [
        ("unix", || socket("unix")),
        ("pipes", pipes),
        ("posix-shm", || rings(Place::posix_shm())),
        ("mailboxes in memory", posix_shm),
    ];
    for (name, pair) in connections {
        for workers in [0, 2] {
            for is_working in [false, true] {
                let Pair { client, mut server, cleanup } = pair();
                let notes = Notes::default();
                let mut serving = notes.clone().into_server().workers(workers);
                let handle = serving.stop_handle().unwrap();
                let thread = thread::spawn(move || (serving.serve(&mut server), serving, server));
                let lab = LabClient::open(client).unwrap();
                assert_eq!(lab.add(1, 2).call(), Ok(3));
                let lingering = is_working.then(|| lab.linger(7).start().unwrap());
                if is_working {
                    until(|| notes.begun() == 1);
                }
                assert!(!handle.is_stopped());
                handle.stop();
                let (ended, serving, mut server) = thread.join().unwrap();
                assert_eq!(ended, Ok(Ended::Stopped), "{name}");
                assert_eq!(notes.noted(), if is_working { 7 } else { 0 }, "{name}: its call was cancelled");
                if let Some(lingering) = lingering {
                    assert_eq!(lingering.wait(), Err(Error::Closed), "{name}");
                }
                assert_eq!(lab.add(1, 2).call(), Err(Error::Closed), "{name}");
                assert_eq!(serving.serve(&mut server), Ok(Ended::Stopped), "and it stays so");
                drop(cleanup);
            }
        }
    }
}

#[test]
fn a_listening_server_can_be_stopped() {
    let _test = test!();
    let ring = Place::posix_shm();
    for (at, most) in [
        (format!("unix:@{}", twixt_testkit::unique_name()), 1),
        (format!("unix:@{}", twixt_testkit::unique_name()), 3),
        (format!("unix-seqpacket:@{}", twixt_testkit::unique_name()), 3),
        (ring.text("?create"), 3),
    ] {
        for has_client in [false, true] {
            let listener = Listener::open(&address(&at)).unwrap();
            let mut server = Notes::default().into_server();
            let handle = server.stop_handle().unwrap();
            let thread = thread::spawn(move || server.serve_listener(&listener, most));
            let at = address(at.trim_end_matches("?create"));
            let lab = has_client.then(|| LabClient::connect(&at).unwrap());
            if let Some(lab) = &lab {
                assert_eq!(lab.add(1, 2).call(), Ok(3));
            }
            handle.stop();
            assert_eq!(thread.join().unwrap(), Ok(()), "{at}");
            if let Some(lab) = &lab {
                assert_eq!(lab.add(1, 2).call(), Err(Error::Closed), "{at}");
            }
        }
    }
}

#[test]
fn a_channel_without_boundaries_is_refused_when_it_is_opened() {
    let _test = test!();
    let at = address(&format!("unix:@{}?framing=raw", twixt_testkit::unique_name()));
    let listener = Listener::open(&at).unwrap();
    let error = LabClient::connect(&at).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("framing=raw keeps no boundaries"), "{error}");
    let error = Notes::default().into_server().serve(&mut listener.accept().unwrap()).unwrap_err();
    assert!(error.to_string().contains("framing=raw keeps no boundaries"), "{error}");
    let numbers = || Opening::new(&address("eventfd:")).pair().unwrap();
    let ((sender, _keep), (_other, receiver)) = (numbers(), numbers());
    let error = LabClient::open(Duplex::from((sender, receiver))).unwrap_err();
    assert!(error.to_string().contains("its messages are numbers"), "{error}");
}

mod unfit {
    use twixt_channel::service;

    service! {
        pub trait Weightless {
            fn fine(number: u8);
            fn count(units: Vec<()>) -> u32;
        }
        pub struct WeightlessClient;
    }
}

impl unfit::Weightless for Notes {
    fn fine(&self, _: &Context<'_>, _: u8) {}
    fn count(&self, _: &Context<'_>, units: Vec<()>) -> u32 {
        units.len() as u32
    }
}

#[test]
fn a_service_of_types_that_cannot_be_described_is_refused_when_it_is_opened() {
    let _test = test!();
    let Pair { mut client, mut server, .. } = socket("unix");
    let error = unfit::Weightless::into_server(Notes::default()).serve(&mut server).unwrap_err();
    assert!(matches!(error, Error::Undescribable { method: "count", .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("elements that take no bytes"), "{error}");
    assert_eq!(client.receiver().try_receive().unwrap_err().kind(), ErrorKind::WouldBlock);
    let error = unfit::WeightlessClient::open(client).unwrap_err();
    assert!(matches!(error, Error::Undescribable { method: "count", .. }), "{error}");
    assert_eq!(server.receiver().receive().unwrap_err().kind(), ErrorKind::PeerGone, "nothing was said");
}

mod names {
    use twixt_channel::service;

    service! {
        /// Names that the standard library and the client have too, and that are free all the same.
        pub trait Names {
            fn as_ref(context: u8, items: u8) -> u8;
            fn prepare() -> u8;
            fn clone(handler: u8) -> stream u8;
            fn drop() -> u8;
            fn deref() -> u8;
            fn method(incoming: u8) -> u8;
        }
        pub struct NamesClient;
    }
}

struct Named;

impl names::Names for Named {
    fn as_ref(&self, _: &Context<'_>, context: u8, items: u8) -> u8 {
        context - items
    }
    fn prepare(&self, _: &Context<'_>) -> u8 {
        3
    }
    fn clone(&self, _: &Context<'_>, handler: u8, items: &mut rpc::Items<'_, u8>) -> rpc::Result<()> {
        items.send(&handler)
    }
    fn drop(&self, _: &Context<'_>) -> u8 {
        5
    }
    fn deref(&self, _: &Context<'_>) -> u8 {
        6
    }
    fn method(&self, _: &Context<'_>, incoming: u8) -> u8 {
        incoming
    }
}

#[test]
fn methods_may_be_called_what_others_are_called() {
    let _test = test!();
    let Pair { client, mut server, .. } = socket("unix");
    let thread = thread::spawn(move || names::Names::into_server(Named).serve(&mut server));
    let client = names::NamesClient::open(client).unwrap();
    assert_eq!(client.as_ref(3, 2).call(), Ok(1));
    assert_eq!(client.prepare().call(), Ok(3));
    assert_eq!(client.clone(4).start().unwrap().collect::<Result<Vec<_>, _>>(), Ok(vec![4]));
    assert_eq!(client.drop().call(), Ok(5));
    assert_eq!(client.deref().call(), Ok(6));
    assert_eq!(client.method(7).call(), Ok(7));
    drop(client);
    assert_eq!(thread.join().unwrap(), Ok(Ended::Closed));
}

service! {
    /// One question.
    pub trait Once {
        /// Asks once whether it is cancelled.
        fn once() -> bool;
    }
    /// Asks it.
    pub struct OnceClient;
}

/// Notes how much has not been heard after it has asked.
struct Asking {
    calls: Mutex<Sender>,
    left: Arc<Mutex<Option<u64>>>,
}

impl Once for Asking {
    fn once(&self, context: &Context<'_>) -> bool {
        let is_cancelled = context.is_cancelled();
        *self.left.lock().unwrap() = self.calls.lock().unwrap().len().unwrap();
        is_cancelled
    }
}

/// A channel that anything goes into.
fn endless() -> local::Channel {
    local::Channel::new(Capacity::Unbounded { budget: 1 << 30 })
}

#[test]
fn a_client_that_says_much_does_not_keep_a_handler() {
    let _test = test!();
    let (calls, answers) = (endless(), endless());
    let (mut sender, _answers) = (calls.sender(), answers.receiver());
    sender.send(&greeting(1, b"12345678", OnceClient::service())).unwrap();
    sender.send(&request(1, "once", None, &[])).unwrap();
    for _ in 0..1000 {
        sender.send(&cancel(999)).unwrap();
    }
    let left = Arc::default();
    let handler = Asking { calls: Mutex::new(calls.sender()), left: Arc::clone(&left) };
    let mut server = Duplex::from((answers.sender(), calls.receiver()));
    sender.send(&[11, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    assert_eq!(handler.into_server().serve(&mut server), Ok(Ended::Closed));
    assert!(left.lock().unwrap().unwrap() > 0, "it was not heard out first");
}

#[test]
fn a_client_that_says_much_does_not_keep_a_server_beyond_its_time() {
    let _test = test!();
    for workers in [0, 1] {
        let (calls, answers) = (endless(), endless());
        let (mut sender, _answers) = (calls.sender(), answers.receiver());
        sender.send(&greeting(1, b"12345678", LabClient::service())).unwrap();
        for _ in 0..1000 {
            sender.send(&cancel(999)).unwrap();
        }
        let mut server = Duplex::from((answers.sender(), calls.receiver()));
        let serving = Notes::default().into_server().workers(workers);
        let error = serving.serve_wait(&mut server, Wait::until(Deadline::now())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        assert!(sender.len().unwrap() > Some(0), "it was not heard out first");
    }
}

#[test]
fn a_server_that_says_much_does_not_keep_a_call_beyond_its_time() {
    let _test = test!();
    let (calls, answers) = (endless(), endless());
    let (full, is_full) = mpsc::channel();
    let (mut heard, mut says) = (calls.receiver(), answers.sender());
    let thread = thread::spawn(move || {
        let open = heard.receive().unwrap();
        says.send(&greeting(2, &open.bytes()[16..24], LabClient::service())).unwrap();
        heard.receive().unwrap();
        for _ in 0..10_000 {
            says.send(&[5, 0, 0, 0, 0xe7, 3, 0, 0]).unwrap();
        }
        full.send(()).unwrap();
        while heard.receive().is_ok() {}
        says
    });
    let lab = LabClient::open(Duplex::from((calls.sender(), answers.receiver()))).unwrap();
    let waiting = answers.sender();
    drop(calls);
    let mut call = lab.add(1, 2).start().unwrap();
    is_full.recv().unwrap();
    assert_eq!(call.try_wait(), Ok(None));
    assert!(waiting.len().unwrap() > Some(0), "it was not heard out first");
    let error = call.wait_deadline(Deadline::now()).unwrap_err();
    assert_eq!(error, Error::TimedOut { method: "add" });
    assert!(waiting.len().unwrap() > Some(0), "it was not heard out first");
    drop(call);
    drop(lab);
    thread.join().unwrap();
}
