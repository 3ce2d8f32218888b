//! The names of Unix sockets: binding, permissions, limits.

#[path = "support/paths.rs"]
mod paths;
#[path = "support/sockets.rs"]
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use paths::{at, mode, names, stale, taking_over};
use support::{kind, later, name, soon};
use twixt_os::unix::{Address, BindOptions, Datagram, Seqpacket, Stream, StreamListener};
use twixt_os::{Errno, Error, ErrorKind, Wait};
use twixt_testkit::{command, compile_c, root, scratch, test};

#[test]
fn addresses_know_their_limits() {
    let _test = test!();
    let error = Address::path("/tmp/".to_owned() + &"x".repeat(103)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLong);
    let sentence = error.to_string();
    assert!(sentence.contains("108 bytes") && sentence.contains("107") && sentence.contains("in_directory"));
    assert!(Address::path("x".repeat(107)).is_ok());
    assert_eq!(kind(Address::path("")), ErrorKind::InvalidInput);
    assert_eq!(kind(Address::path("a\0b")), ErrorKind::InvalidInput);
    assert!(Address::abstract_name([b'x'; 107]).is_ok());
    let error = Address::abstract_name([b'x'; 108]).unwrap_err();
    assert!(error.kind() == ErrorKind::TooLong && error.to_string().contains("107"));
    assert_eq!("@a".parse::<Address>().unwrap(), Address::abstract_name("a").unwrap());
    assert_eq!("".parse::<Address>().unwrap(), Address::UNNAMED);
    assert_eq!(Address::abstract_name(b"\x01\xff").unwrap().to_string(), "@\\x01\\xff");
    assert_eq!(kind(Address::in_directory(&fs::File::open("/").unwrap(), "a/b")), ErrorKind::InvalidInput);
}

#[test]
fn the_longest_path_and_name_work() {
    let _test = test!();
    let scratch = scratch();
    let fill = 107 - scratch.path().as_os_str().len() - 1;
    let path = scratch.path().join("p".repeat(fill));
    let listener = StreamListener::bind(&at(&path)).unwrap();
    let client = Stream::connect(&at(&path)).unwrap();
    assert_eq!(listener.local_address().unwrap().as_path(), Some(path.as_path()));
    assert_eq!(client.peer_address().unwrap(), at(&path));

    let mut name = twixt_testkit::unique_name().into_bytes();
    name.resize(107, 0);
    let address = Address::abstract_name(&name).unwrap();
    let listener = StreamListener::bind(&address).unwrap();
    assert_eq!(
        Stream::connect(&address).unwrap().peer_address().unwrap().as_abstract_name(),
        Some(&name[..])
    );
    assert_eq!(listener.local_address().unwrap(), address);
}

const LONGEST_NAME: &str = r#"
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
int main(int argc, char **argv) {
    struct sockaddr_un own = {.sun_family = AF_UNIX}, peer = {.sun_family = AF_UNIX};
    char buffer[10];
    int s = socket(AF_UNIX, SOCK_DGRAM, 0);
    memcpy(own.sun_path, argv[1], 108);
    strcpy(peer.sun_path, argv[2]);
    if (bind(s, (void *)&own, sizeof own)) return 1;
    if (sendto(s, "hello", 5, 0, (void *)&peer, sizeof peer) != 5) return 2;
    alarm(60);
    return recv(s, buffer, sizeof buffer, 0) == 5 ? 0 : 3;
}
"#;

#[test]
fn a_peer_with_a_path_of_108_bytes_is_named_and_answered() {
    let _test = test!();
    // No NUL ends such a path: the kernel reports 109 bytes, more than sockaddr_un has.
    let scratch = scratch();
    let path = scratch.path().join("p".repeat(108 - scratch.path().as_os_str().len() - 1));
    let receiver = Datagram::bind(&at(&scratch.path().join("r"))).unwrap();
    let program = compile_c(scratch.path(), "c", LONGEST_NAME, &[]);
    let mut peer = Command::new(program).arg(&path).arg(scratch.path().join("r")).spawn().unwrap();
    let (len, from) = receiver.receive_from_deadline(&mut [0; 10], later()).unwrap();
    assert_eq!((len, from.as_path()), (5, Some(path.as_path())));
    receiver.send_to(b"hello", &from).unwrap();
    assert!(peer.wait().unwrap().success());
}

#[test]
fn a_long_path_is_reached_through_its_directory() {
    let test = test!();
    test.role("client", |peer| {
        let directory = fs::File::open(peer.arg(0)).unwrap();
        let address = Address::in_directory(&directory, "s").unwrap();
        Stream::connect(&address).unwrap().send_all(b"there").unwrap();
    });
    test.role("leave", |peer| {
        let directory = fs::File::open(peer.arg(0)).unwrap();
        StreamListener::bind(&Address::in_directory(&directory, "s").unwrap()).unwrap();
    });
    let scratch = scratch();
    let deep = scratch.path().join("d".repeat(200));
    fs::create_dir(&deep).unwrap();
    let directory = fs::File::open(&deep).unwrap();
    let address = Address::in_directory(&directory, "s").unwrap();
    let listener = StreamListener::bind(&address).unwrap();
    let client = test.child("client").arg(deep.display()).spawn();
    listener.accept_deadline(later()).unwrap().receive_exact(&mut [0; 5]).unwrap();
    client.succeed();
    drop(listener);
    fs::remove_file(deep.join("s")).unwrap();
    test.child("leave").arg(deep.display()).spawn().succeed();
    let listener = taking_over().listen::<Stream>(&address).unwrap();
    listener.unlink_on_drop().unwrap().remove().unwrap();
    assert_eq!(names(&deep), [""; 0]);
}

#[test]
fn the_kernel_chooses_a_name() {
    let _test = test!();
    let listener = StreamListener::bind(&Address::UNNAMED).unwrap();
    let address = listener.local_address().unwrap();
    assert_eq!(address.as_abstract_name().unwrap().len(), 5);
    Stream::connect(&address).unwrap();
    let (one, _other) = Stream::pair().unwrap();
    assert!(one.local_address().unwrap().is_unnamed() && one.peer_address().unwrap().is_unnamed());
}

#[test]
fn binding_is_create_only() {
    let test = test!();
    let stale = stale(&test);
    let scratch = scratch();
    let path = scratch.path().join("s");
    stale(&path);
    let error = StreamListener::bind(&at(&path)).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::AlreadyExists, Some(Errno::ADDRINUSE)));
    assert!(error.advice().unwrap().contains("take_over_stale"), "{error}");
    assert_eq!(kind(Datagram::bind(&at(&path))), ErrorKind::AlreadyExists);
    let address = name();
    let _listener = StreamListener::bind(&address).unwrap();
    assert_eq!(kind(StreamListener::bind(&address)), ErrorKind::AlreadyExists);
    let missing = scratch.path().join("missing/s");
    assert_eq!(kind(StreamListener::bind(&at(&missing))), ErrorKind::NotFound);
    fs::write(scratch.path().join("file"), "").unwrap();
    assert_eq!(kind(StreamListener::bind(&at(&scratch.path().join("file/s")))), ErrorKind::NotFound);
}

#[test]
fn connecting_says_what_is_wrong() {
    let test = test!();
    let stale = stale(&test);
    let scratch = scratch();
    let path = scratch.path().join("s");
    assert_eq!(kind(Stream::connect(&at(&path))), ErrorKind::NotFound);
    stale(&path);
    for error in [
        Stream::connect(&at(&path)).map(drop).unwrap_err(),
        Stream::try_connect(&at(&path)).map(drop).unwrap_err(),
        Stream::connect_deadline(&at(&path), soon()).map(drop).unwrap_err(),
        Datagram::unbound().unwrap().connect(&at(&path)).unwrap_err(),
        Datagram::unbound().unwrap().send_to(b"x", &at(&path)).unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.errno()), (ErrorKind::NoPeer, Some(Errno::CONNREFUSED)));
        assert!(error.advice().unwrap().contains("died"), "{error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
    assert_eq!(kind(Stream::connect(&name())), ErrorKind::NoPeer);
    let _listener =
        BindOptions::new().take_over_stale(Wait::forever()).listen::<Seqpacket>(&at(&path)).unwrap();
    let error = Stream::connect(&at(&path)).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::InvalidInput, Some(Errno::PROTOTYPE)));
    assert!(error.advice().unwrap().contains("another type"), "{error}");
}

#[test]
fn the_socket_file_has_its_mode() {
    let _test = test!();
    let scratch = scratch();
    let of = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
    let path = scratch.path().join("default");
    let _listener = StreamListener::bind(&at(&path)).unwrap();
    assert_eq!(of(&path), 0o600);
    let path = scratch.path().join("set");
    let _socket = BindOptions::new().mode(mode(0o640)).datagram(&at(&path)).unwrap();
    assert_eq!(of(&path), 0o640);
}

#[test]
fn the_mode_is_set_before_the_file_appears() {
    let test = test!();
    test.role("bind", |peer| {
        StreamListener::bind(&peer.arg(0).parse().unwrap()).unwrap();
    });
    if let Err(missing) = command("strace") {
        return test.skip(&missing);
    }
    let scratch = scratch();
    let log = scratch.path().join("log");
    let words = ["strace", "-f", "-qq", "-e", "trace=fchmod,bind,listen", "-o", log.to_str().unwrap()];
    let mut child = test.child("bind").under(&words).arg(scratch.path().join("s").display()).spawn();
    child.close_stdin();
    let status = child.wait();
    let log = fs::read_to_string(&log).unwrap_or_default();
    if log.is_empty() {
        return test.skip(&twixt_testkit::Missing("permission to trace a process (ptrace)".into()));
    }
    assert!(status.success());
    let calls: Vec<&str> = log.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    let fd = calls[0].trim_start_matches("fchmod(").trim_end_matches(',');
    let expected = ["fchmod", "bind", "listen"].map(|call| format!("{call}({fd},"));
    assert_eq!(calls, expected, "{log}");
}

#[test]
fn other_users_are_kept_out() {
    let test = test!();
    test.role("stranger", |peer| {
        let address: Address = peer.arg(0).parse().unwrap();
        let told = |error: Error| {
            assert_eq!((error.kind(), error.errno()), (ErrorKind::PermissionDenied, Some(Errno::ACCESS)));
            assert!(error.advice().unwrap().contains("write permission"), "{error}");
        };
        told(Stream::connect(&address).unwrap_err());
        told(StreamListener::bind(&peer.arg(1).parse().unwrap()).unwrap_err());
        // What may not be asked is not taken for stale.
        let options = BindOptions::new().take_over_stale(Wait::never());
        let denied = kind(options.listen::<Stream>(&address));
        assert_eq!(denied, ErrorKind::PermissionDenied);
        peer.say("kept out");
        peer.wait_for("opened");
        Stream::connect(&address).unwrap();
    });
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    let scratch = scratch();
    let path = scratch.path().join("s");
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let listener = StreamListener::bind(&at(&path)).unwrap();
    let other = scratch.path().join("o");
    let mut child = test.child("stranger").as_nobody().arg(path.display()).arg(other.display()).spawn();
    child.expect("kept out");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    child.tell("opened");
    let server = listener.accept_deadline(later()).unwrap();
    assert_eq!(server.peer_credentials().unwrap().uid, 65534);
    child.succeed();
}

#[test]
fn descriptors_run_out_with_a_name() {
    let test = test!();
    test.role("starve", |peer| {
        let listener = StreamListener::bind(&peer.arg(0).parse().unwrap()).unwrap();
        let _client = Stream::connect(&peer.arg(0).parse().unwrap()).unwrap();
        let mut held = Vec::new();
        while let Ok(file) = fs::File::open("/dev/null") {
            held.push(file);
        }
        for error in [listener.accept().map(drop), Stream::pair().map(drop), Datagram::unbound().map(drop)] {
            let error = error.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::LimitReached);
            let limit = error.limit().unwrap();
            assert_eq!((limit.name, limit.current), ("RLIMIT_NOFILE", Some(64)), "{error}");
        }
        held.pop();
        // It was still in the backlog.
        listener.accept().unwrap();
    });
    let mut child =
        test.child("starve").under(&["sh", "-c", "ulimit -n 64; exec \"$0\" \"$@\""]).arg(name()).spawn();
    assert!(child.wait().success());
}

#[test]
fn errors_name_operation_object_and_cause() {
    let _test = test!();
    let scratch = scratch();
    let path = scratch.path().join("s");
    let error = Stream::connect(&at(&path)).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot connect to Unix stream socket {}: no such file or directory (ENOENT)",
            path.display()
        )
    );
}
