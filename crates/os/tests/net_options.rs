//! The options of Internet sockets: those of IP, those of TCP, and those that come before a handshake.

#[path = "support/sockets.rs"]
mod support;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::sockopt;
use support::{error, kind, later};
use twixt_os::net::raw::{IpVersion, Protocol};
use twixt_os::net::tcp::{ConnectOptions, Keepalive, ListenOptions, Listener, Stream};
use twixt_os::net::{IpOptions, icmp, raw, udp};
use twixt_os::{Errno, ErrorKind};
use twixt_testkit::{Missing, root, test};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

fn connected(host: IpAddr) -> (Stream, Stream) {
    let listener = Listener::bind((host, 0)).unwrap();
    let client = Stream::connect(listener.local_address().unwrap()).unwrap();
    (client, listener.accept().unwrap())
}

/// Sets and reads what all IP sockets have.
fn exercise(options: IpOptions<'_>) {
    options.set_hops(7).unwrap();
    assert_eq!(options.hops().unwrap(), 7);
    options.set_hops(255).unwrap();
    assert_eq!(options.hops().unwrap(), 255);
    assert_eq!(kind(options.set_hops(0)), ErrorKind::InvalidInput);
    assert_eq!(options.traffic_class().unwrap(), 0);
    options.set_traffic_class(0xb8).unwrap();
    assert_eq!(options.traffic_class().unwrap(), 0xb8);
    assert_eq!(options.device().unwrap(), None);
    for name in ["", "twixt-none", "sixteen-letters-", "a name that is longer than any"] {
        assert_eq!(kind(options.set_device(Some(name))), ErrorKind::NotFound, "{name:?}");
    }
    options.set_device(Some("lo")).unwrap();
    assert_eq!(options.device().unwrap().as_deref(), Some("lo"));
}

#[test]
fn every_ip_socket_has_its_options() {
    let test = test!();
    for (host, version) in [(V4, IpVersion::V4), (V6, IpVersion::V6)] {
        let Ok(listener) = Listener::bind((host, 0)) else {
            test.skip(&Missing(format!("the loopback address {host}")));
            continue;
        };
        exercise(listener.ip_options());
        let client = Stream::connect(listener.local_address().unwrap()).unwrap();
        exercise(client.ip_options());
        client.ip_options().set_traffic_class(0xff).unwrap();
        assert_eq!(client.ip_options().traffic_class().unwrap(), 0xfc, "the rest is the kernel's");
        let accepted = listener.accept().unwrap();
        assert_eq!(accepted.ip_options().hops().unwrap(), 255, "as the listener");
        let socket = udp::Socket::bind((host, 0)).unwrap();
        exercise(socket.ip_options());
        exercise(udp::Connected::to(socket.local_address().unwrap()).unwrap().ip_options());
        match raw::Socket::open(version, Protocol::new(253).unwrap()) {
            Ok(socket) => exercise(socket.ip_options()),
            Err(error) => test.skip(&Missing(format!("CAP_NET_RAW ({error})"))),
        }
    }
}

#[test]
fn a_socket_for_both_versions_is_set_for_both() {
    let test = test!();
    let Ok(socket) = udp::Socket::bind((Ipv6Addr::UNSPECIFIED, 0)) else {
        return test.skip(&Missing("IPv6".into()));
    };
    socket.ip_options().set_hops(9).unwrap();
    socket.ip_options().set_traffic_class(0x20).unwrap();
    let both = |fd: std::os::fd::BorrowedFd<'_>| {
        (sockopt::ip_ttl(fd), sockopt::ipv6_unicast_hops(fd), sockopt::ip_tos(fd), sockopt::ipv6_tclass(fd))
    };
    assert_eq!(both(socket.as_fd()), (Ok(9), Ok(9), Ok(0x20), Ok(0x20)));
}

#[test]
fn a_packet_leaves_with_the_hops_that_were_set() {
    let test = test!();
    let protocol = Protocol::new(254).unwrap();
    let Ok(socket) = raw::Socket::open(IpVersion::V4, protocol) else {
        return test.skip(&Missing("CAP_NET_RAW".into()));
    };
    socket.ip_options().set_hops(9).unwrap();
    // Another test may send packets of that protocol, too.
    let payload = format!("hops of {}", std::process::id());
    socket.send_to(payload.as_bytes(), V4).unwrap();
    let mut buffer = [0; 1500];
    loop {
        let (len, _) = socket.receive_from_deadline(&mut buffer, later()).unwrap();
        let packet = icmp::ipv4_payload(&buffer[..len]).unwrap();
        if packet.payload == payload.as_bytes() {
            assert_eq!(packet.hops_left, 9);
            return;
        }
    }
}

#[test]
fn changing_the_device_takes_a_capability() {
    let test = test!();
    test.role("plain", |peer| {
        let socket = udp::Socket::bind((V4, 0)).unwrap();
        if let Err(error) = socket.ip_options().set_device(Some("lo")) {
            return peer.say(&format!("{error}"));
        }
        let error = error(socket.ip_options().set_device(None));
        assert_eq!((error.kind(), error.errno()), (ErrorKind::PermissionDenied, Some(Errno::PERM)));
        assert!(error.advice().unwrap().contains("CAP_NET_RAW"), "{error}");
        socket.send_to(b"x", socket.local_address().unwrap()).unwrap();
        assert_eq!(socket.receive_from_deadline(&mut [0; 8], later()).unwrap().0, 1);
        peer.say("refused");
    });
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    let mut child = test.child("plain").as_nobody().spawn();
    child.expect("refused");
    child.succeed();
    let socket = udp::Socket::bind((V4, 0)).unwrap();
    socket.ip_options().set_device(Some("lo")).unwrap();
    if let Err(error) = socket.ip_options().set_device(None) {
        return test.skip(&Missing(format!("CAP_NET_RAW ({error})")));
    }
    assert_eq!(socket.ip_options().device().unwrap(), None);
}

#[test]
fn a_corked_connection_sends_when_it_is_opened() {
    let _test = test!();
    let (client, server) = connected(V4);
    assert!(!client.cork().unwrap());
    client.set_cork(true).unwrap();
    assert!(client.cork().unwrap());
    client.send(b"head").unwrap();
    client.send(b"body").unwrap();
    client.set_cork(false).unwrap();
    assert!(!client.cork().unwrap());
    let mut buffer = [0; 16];
    server.receive_exact_deadline(&mut buffer[..8], later()).unwrap();
    assert_eq!(&buffer[..8], b"headbody");
}

#[test]
fn acknowledging_at_once_can_be_set() {
    let _test = test!();
    let (client, _server) = connected(V4);
    for on in [false, true, false] {
        client.set_quick_ack(on).unwrap();
        assert_eq!(client.quick_ack().unwrap(), on);
    }
}

#[test]
fn lingering_counts_whole_seconds() {
    let _test = test!();
    let (client, _server) = connected(V4);
    assert_eq!(client.linger().unwrap(), None);
    for (set, kept) in [(0, 0), (1, 1), (1000, 1), (1001, 2)] {
        client.set_linger(Some(Duration::from_millis(set))).unwrap();
        assert_eq!(client.linger().unwrap(), Some(Duration::from_secs(kept)), "{set} ms");
    }
    assert_eq!(kind(client.set_linger(Some(Duration::MAX))), ErrorKind::InvalidInput);
    client.set_linger(None).unwrap();
    assert_eq!(client.linger().unwrap(), None);
}

#[test]
fn a_listener_hands_its_options_on() {
    let _test = test!();
    let options = ListenOptions::new().send_buffer(20_000).receive_buffer(30_000).fast_open(5);
    let listener = options.listen((V4, 0)).unwrap();
    assert_eq!(listener.fast_open().unwrap(), 5);
    assert_eq!(Listener::bind((V4, 0)).unwrap().fast_open().unwrap(), 0);
    let _client = Stream::connect(listener.local_address().unwrap()).unwrap();
    let accepted = listener.accept().unwrap();
    assert_eq!(accepted.options().send_buffer().unwrap(), 40_000);
    assert_eq!(accepted.options().receive_buffer().unwrap(), 60_000);
}

#[test]
fn options_come_before_the_handshake() {
    let _test = test!();
    let listener = Listener::bind((V4, 0)).unwrap();
    let address = listener.local_address().unwrap();
    let keepalive = Keepalive { idle: Duration::from_secs(20), interval: Duration::from_secs(3), count: 2 };
    let local = SocketAddr::from(([127, 0, 0, 2], 0));
    let options = ConnectOptions::new()
        .local_address(local)
        .device("lo")
        .send_buffer(20_000)
        .receive_buffer(30_000)
        .no_delay(true)
        .keepalive(keepalive)
        .user_timeout(Duration::from_secs(9))
        .hops(11)
        .traffic_class(0x48);
    for form in ["block", "deadline", "interruptible"] {
        let client = match form {
            "block" => options.connect(address),
            "deadline" => options.connect_deadline(address, later()),
            _ => options.connect_interruptible(address),
        }
        .unwrap();
        assert_eq!(listener.accept().unwrap().peer_address().unwrap(), client.local_address().unwrap());
        assert_eq!(client.local_address().unwrap().ip(), local.ip());
        assert_eq!(client.options().send_buffer().unwrap(), 40_000);
        assert_eq!(client.options().receive_buffer().unwrap(), 60_000);
        assert!(client.no_delay().unwrap());
        assert_eq!(client.keepalive().unwrap(), Some(keepalive));
        assert_eq!(client.user_timeout().unwrap(), Some(Duration::from_secs(9)));
        let ip = client.ip_options();
        assert_eq!((ip.hops().unwrap(), ip.traffic_class().unwrap()), (11, 0x48));
        assert_eq!(ip.device().unwrap().as_deref(), Some("lo"));
    }
    let plain = Stream::connect(address).unwrap();
    assert!(!plain.no_delay().unwrap());
    assert_eq!(plain.keepalive().unwrap(), None);
}

#[test]
fn a_connection_that_cannot_be_made_so_says_why() {
    let _test = test!();
    let listener = Listener::bind((V4, 0)).unwrap();
    let address = listener.local_address().unwrap();
    let from =
        |local: &str| error(ConnectOptions::new().local_address(local.parse().unwrap()).connect(address));
    let nowhere = from("192.0.2.1:0");
    assert_eq!((nowhere.kind(), nowhere.errno()), (ErrorKind::NotFound, Some(Errno::ADDRNOTAVAIL)));
    assert!(nowhere.to_string().contains("192.0.2.1"), "{nowhere}");
    assert_eq!(from(&address.to_string()).kind(), ErrorKind::AlreadyExists);
    assert_eq!(from("[::1]:0").kind(), ErrorKind::InvalidInput);
    assert_eq!(kind(ConnectOptions::new().hops(0).connect(address)), ErrorKind::InvalidInput);
    assert_eq!(kind(ConnectOptions::new().device("twixt-none").connect(address)), ErrorKind::NotFound);
    // On the loopback interface nobody answers for a documentation address, or the kernel says so at once.
    let silent = ConnectOptions::new().device("lo").try_connect("192.0.2.1:9");
    assert!([ErrorKind::WouldBlock, ErrorKind::NoPeer].contains(&kind(silent)));
}
