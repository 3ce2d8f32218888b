//! The bytes of `docs/rpc-format.md`, said and heard by a peer that knows nothing but them.

use std::thread;
use std::time::Duration;

use twixt_channel::rpc::{self, Context, Ended, Error, Items};
use twixt_channel::{Duplex, Listener, Receiver, Sender, service};
use twixt_os::Deadline;
use twixt_testkit::{defer, test, unique_name};

service! {
    trait Sums {
        fn add(a: i32, b: i32) -> i32;
        fn count(to: u64) -> stream u64;
    }
    struct SumsClient;
}

struct Plain;

impl Sums for Plain {
    fn add(&self, _: &Context<'_>, a: i32, b: i32) -> i32 {
        a + b
    }

    fn count(&self, _: &Context<'_>, to: u64, items: &mut Items<'_, u64>) -> rpc::Result<()> {
        (0..to).try_for_each(|number| items.send(&number))
    }
}

fn pair() -> (Duplex, Duplex) {
    let address = format!("unix-seqpacket:@{}", unique_name()).parse().unwrap();
    let listener = Listener::open(&address).unwrap();
    (Duplex::open(&address).unwrap(), listener.accept().unwrap())
}

/// FNV-1a of "add" and "count", 64 bits folded to 32.
const ADD: [u8; 4] = [77, 37, 59, 226];
const COUNT: [u8; 4] = [250, 64, 156, 245];
/// Of the name of the service, and for each method of its name, `->` or `=>`, and its types' hashes.
const SERVICE: [u8; 8] = [200, 48, 28, 38, 72, 206, 108, 221];

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// A greeting but for its nonce.
fn greeting(kind: u8, code: u8, nonce: &[u8], longest: [u8; 4]) -> Vec<u8> {
    let header = [kind, 0, code, 0, 0, 0, 0, 0];
    let name = b"\x04\0\0\0Sums";
    join(&[&header, b"twxrpc\n\0", nonce, &SERVICE, &longest, name])
}

/// 64 MiB.
const LONGEST: [u8; 4] = [0, 0, 0, 4];

#[test]
fn a_client_says_and_hears_these_bytes() {
    let _test = test!();
    let (client, mut server) = pair();
    let peer = thread::spawn(move || {
        let open = server.receive().unwrap().into_bytes();
        let (nonce, longest) = (open[16..24].to_vec(), open[32..36].try_into().unwrap());
        assert_eq!(open, greeting(1, 1, &nonce, longest));
        server.send(&greeting(2, 0, &nonce, LONGEST)).unwrap();
        let hears = |server: &mut Duplex, parts: &[&[u8]]| {
            assert_eq!(server.receive().unwrap().bytes(), join(parts));
        };

        // Call 1: add(1, -2), no credit, no deadline.
        hears(&mut server, &[&[4, 0, 0, 0, 1, 0, 0, 0], &ADD, &[0; 4], &[0xff; 8], &[2, 3]]);
        // -1.
        server.send(&[5, 0, 0, 0, 1, 0, 0, 0, 1]).unwrap();

        // Call 2: count(3), a window of 2.
        hears(&mut server, &[&[4, 0, 0, 0, 2, 0, 0, 0], &COUNT, &[2, 0, 0, 0], &[0xff; 8], &[3]]);
        server.send(&[7, 0, 0, 0, 2, 0, 0, 0, 0]).unwrap();
        // One more.
        hears(&mut server, &[&[9, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0]]);
        server.send(&[7, 0, 0, 0, 2, 0, 0, 0, 1]).unwrap();
        hears(&mut server, &[&[9, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0]]);
        server.send(&[8, 0, 0, 0, 2, 0, 0, 0]).unwrap();

        // Call 3: the reply would have 258 bytes, and 16 are the most.
        hears(&mut server, &[&[4, 0, 0, 0, 3, 0, 0, 0], &ADD, &[0; 4], &[0xff; 8], &[0, 0]]);
        server.send(&[6, 0, 5, 0, 3, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0]).unwrap();

        // Call 4: what is wrong with the request, in words.
        hears(&mut server, &[&[4, 0, 0, 0, 4, 0, 0, 0], &ADD, &[0; 4], &[0xff; 8], &[0, 0]]);
        let failure = join(&[&[6, 0, 2, 0, 4, 0, 0, 0], &[0; 16], b"odd"]);
        server.send(&failure).unwrap();

        // Call 5 has some time left, and is cancelled.
        let request = server.receive().unwrap().into_bytes();
        assert_eq!(request[..16], join(&[&[4, 0, 0, 0, 5, 0, 0, 0], &ADD, &[0; 4]]));
        let left = Duration::from_nanos(u64::from_le_bytes(request[16..24].try_into().unwrap()));
        assert!(left <= Duration::from_secs(1000) && left > Duration::from_secs(900), "{left:?}");
        hears(&mut server, &[&[10, 0, 0, 0, 5, 0, 0, 0]]);
        hears(&mut server, &[&[11, 0, 0, 0, 0, 0, 0, 0]]);
    });
    let sums = SumsClient::open(client).unwrap();
    assert_eq!(sums.add(1, -2).call(), Ok(-1));
    let numbers: Vec<_> = sums.count(3).window(2).start().unwrap().collect();
    assert_eq!(numbers, [Ok(0), Ok(1)]);
    let too_long = sums.add(0, 0).call().unwrap_err();
    assert_eq!(too_long.to_string(), "cannot call add: the reply has 258 bytes, and 16 is the most");
    let odd = sums.add(0, 0).call().unwrap_err();
    assert_eq!(odd.to_string(), "cannot call add: the server cannot decode the request: odd");
    drop(sums.add(0, 0).start_deadline(Deadline::after(Duration::from_secs(1000))).unwrap());
    drop(sums);
    peer.join().unwrap();
}

#[test]
fn a_server_says_and_hears_these_bytes() {
    let _test = test!();
    let (mut client, mut server) = pair();
    let thread = thread::spawn(move || Plain.into_server().serve(&mut server));
    let says = |client: &mut Duplex, parts: &[&[u8]]| client.send(&join(parts)).unwrap();
    let hears = |client: &mut Duplex| client.receive().unwrap().into_bytes();

    // Called without a conversation, it says goodbye.
    says(&mut client, &[&[4, 0, 0, 0, 1, 0, 0, 0], &ADD, &[0; 4], &[0xff; 8], &[2, 4]]);
    assert_eq!(hears(&mut client), [11, 0, 0, 0, 0, 0, 0, 0]);

    says(&mut client, &[&greeting(1, 1, b"12345678", LONGEST)]);
    let welcome = hears(&mut client);
    let longest = welcome[32..36].try_into().unwrap();
    assert_eq!(welcome, greeting(2, 0, b"12345678", longest));

    says(&mut client, &[&[4, 0, 0, 0, 1, 0, 0, 0], &ADD, &[0; 4], &[0xff; 8], &[2, 4]]);
    assert_eq!(hears(&mut client), [5, 0, 0, 0, 1, 0, 0, 0, 6]);

    // A stream of three, with credit for two and then for one more.
    says(&mut client, &[&[4, 0, 0, 0, 9, 0, 0, 0], &COUNT, &[2, 0, 0, 0], &[0xff; 8], &[3]]);
    assert_eq!(hears(&mut client), [7, 0, 0, 0, 9, 0, 0, 0, 0]);
    assert_eq!(hears(&mut client), [7, 0, 0, 0, 9, 0, 0, 0, 1]);
    says(&mut client, &[&[9, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0]]);
    assert_eq!(hears(&mut client), [7, 0, 0, 0, 9, 0, 0, 0, 2]);
    assert_eq!(hears(&mut client), [8, 0, 0, 0, 9, 0, 0, 0]);

    // An unknown method, and a deadline that has passed.
    says(&mut client, &[&[4, 0, 0, 0, 2, 0, 0, 0], &[1, 2, 3, 4], &[0; 4], &[0xff; 8]]);
    assert_eq!(hears(&mut client), join(&[&[6, 0, 1, 0, 2, 0, 0, 0], &[0; 16]]));
    says(&mut client, &[&[4, 0, 0, 0, 3, 0, 0, 0], &ADD, &[0; 4], &[0; 8], &[2, 4]]);
    assert_eq!(hears(&mut client), join(&[&[6, 0, 7, 0, 3, 0, 0, 0], &[0; 16]]));

    says(&mut client, &[&[11, 0, 0, 0, 0, 0, 0, 0]]);
    assert_eq!(thread.join().unwrap(), Ok(Ended::Closed));
}

/// Two mailboxes in shared memory, one each way, and what removes them.
fn mailboxes() -> (Duplex, Duplex, impl Drop) {
    let [there, back] = [unique_name(), unique_name()];
    let open = |name: &str| {
        let address: twixt_address::Address = format!("posix-shm:/{name}?create").parse().unwrap();
        (Sender::open(&address).unwrap(), Receiver::open(&address).unwrap())
    };
    let ((to_server, at_server), (to_client, at_client)) = (open(&there), open(&back));
    let cleanup = defer(move || {
        for name in [there, back] {
            let _ = std::fs::remove_file(format!("/dev/shm/{name}"));
        }
    });
    ((to_server, at_client).into(), (to_client, at_server).into(), cleanup)
}

/// What this process says of itself in a greeting, computed from the description alone.
fn this_process() -> Vec<u8> {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let started: u64 = stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().parse().unwrap();
    let mut place = 0xcbf2_9ce4_8422_2325_u64;
    let link = |name| std::fs::read_link(name).unwrap_or_default().into_os_string().into_encoded_bytes();
    let boot = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap();
    for byte in [boot, link("/proc/self/ns/pid"), link("/proc/self/ns/time")].concat() {
        place = (place ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    }
    join(&[&place.to_le_bytes(), &started.to_le_bytes(), &std::process::id().to_le_bytes(), &[0; 4]])
}

#[test]
fn over_mailboxes_both_say_which_process_they_are() {
    let _test = test!();
    let (client, mut peer, _cleanup) = mailboxes();
    let said = |kind, code, nonce: &[u8], longest| {
        let mut greeting = greeting(kind, code, nonce, longest);
        greeting[38] = 24;
        join(&[&greeting, &this_process()])
    };
    let serving = thread::spawn(move || {
        let open = peer.receive().unwrap().into_bytes();
        let longest = open[32..36].try_into().unwrap();
        assert_eq!(open, said(1, 1, &open[16..24], longest));
        peer.send(&said(2, 0, &open[16..24], LONGEST)).unwrap();
        assert_eq!(peer.receive().unwrap().bytes()[..2], [11, 0]);
    });
    drop(SumsClient::open(client).unwrap());
    serving.join().unwrap();

    let (mut client, mut server, _cleanup) = mailboxes();
    let thread = thread::spawn(move || Plain.into_server().serve(&mut server));
    client.send(&said(1, 1, b"12345678", LONGEST)).unwrap();
    let welcome = client.receive().unwrap().into_bytes();
    let longest = welcome[32..36].try_into().unwrap();
    assert_eq!(welcome, said(2, 0, b"12345678", longest));
    // A process of that number that was started at another time is another process: this client has gone.
    let mut other = said(1, 1, b"12345678", LONGEST);
    let started = other.len() - 16;
    other[started] ^= 1;
    client.send(&other).unwrap();
    assert_eq!(thread.join().unwrap(), Ok(Ended::PeerGone));
}

#[test]
fn a_server_refuses_in_these_bytes() {
    let _test = test!();
    let refused = |code: u8, open: Vec<u8>, texts: &[u8]| {
        let (mut client, mut server) = pair();
        let thread = thread::spawn(move || Plain.into_server().serve(&mut server));
        client.send(&open).unwrap();
        let refusal = client.receive().unwrap().into_bytes();
        let longest = refusal[32..36].try_into().unwrap();
        assert_eq!(refusal, join(&[&greeting(3, code, b"12345678", longest), texts]));
        let error = thread.join().unwrap().unwrap_err();
        assert!(matches!(error, Error::Mismatch { .. }), "{error}");
    };
    let signature = b"add(i32, i32) -> i32\ncount(u64) -> stream u64";
    refused(1, greeting(1, 2, b"12345678", LONGEST), signature);
    let mut other = greeting(1, 1, b"12345678", LONGEST);
    *other.last_mut().unwrap() = b'o';
    refused(2, other, signature);
    let mut other = greeting(1, 1, b"12345678", LONGEST);
    other[24] ^= 1;
    refused(3, other, signature);
}
