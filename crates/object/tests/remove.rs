//! What is removed is the object that was found, of the type that the address says, and nothing else.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use twixt_address::Address;
use twixt_object::{Error, find, make};
use twixt_os::ErrorKind;
use twixt_os::unix::{self, Datagram, SeqpacketListener, StreamListener};
use twixt_testkit::{command, defer, root, scratch, test, unique_key, unique_name};

fn address(text: &str) -> Address {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn not_found(text: &str) -> Error {
    let error = find(&address(text)).err().unwrap_or_else(|| panic!("{text} was found"));
    assert!(error.to_string().contains("; "), "says what to do: {error}");
    error
}

/// The address without its options, which say how the object is made.
fn bare(text: &str) -> Address {
    address(text.split('?').next().unwrap_or_default())
}

/// An address of each kind, and what it is made with.
fn all(directory: &str) -> Vec<String> {
    let (name, key) = (unique_name(), unique_key());
    vec![
        format!("fifo:{directory}/fifo"),
        format!("file:{directory}/file"),
        format!("lock:{directory}/lock"),
        format!("mmap:{directory}/mmap?size=1"),
        format!("sysv-msg:{key}"),
        format!("sysv-sem:{key}"),
        format!("sysv-shm:{key}?size=1"),
        format!("posix-mq:/{name}"),
        format!("posix-sem:/{name}"),
        format!("posix-shm:/{name}?size=1"),
    ]
}

#[test]
fn every_kind_is_removed() {
    let _test = test!();
    let scratch = scratch();
    for text in all(scratch.path().to_str().unwrap()) {
        let made = make(&address(&text)).unwrap();
        let found = find(&bare(&text)).unwrap();
        assert!(found == *made.found(), "{text}");
        found.check_removable().unwrap();
        found.remove().unwrap();
        assert_eq!(find(&bare(&text)).unwrap_err().kind(), ErrorKind::NotFound, "{text}");
        let again = found.remove().unwrap_err();
        assert!(matches!(again.kind(), ErrorKind::NotFound | ErrorKind::Removed), "{text}: {again}");
        let again = found.check_removable().unwrap_err();
        assert!(matches!(again.kind(), ErrorKind::NotFound | ErrorKind::Removed), "{text}: {again}");
    }
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
}

/// An option that meant nothing would be taken for one that narrows what is removed.
#[test]
fn options_are_refused_and_nothing_is_touched() {
    let _test = test!();
    let text = format!("sysv-msg:{}", unique_key());
    let made = make(&address(&text)).unwrap();
    for (options, why) in [
        ("create", "option create says nothing about an object that is there; leave it out"),
        ("mode=600", "option mode says nothing about an object that is there; leave it out"),
        (
            "timeout=1s&type=3",
            "options type and timeout say nothing about an object that is there; leave them out",
        ),
        ("create&type=3&mode=600", "options create, mode and type say nothing"),
    ] {
        let error = not_found(&format!("{text}?{options}"));
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().starts_with("cannot find sysv-msg:0x"), "{error}");
        assert!(error.to_string().contains(&format!(": {why}")), "{error}");
    }
    made.undo().unwrap();
}

#[test]
fn posix_objects_of_odd_names_are_made_and_removed() {
    let _test = test!();
    let unique = unique_name();
    let pad = |longest: usize| format!("{unique}{}", "x".repeat(longest - unique.len()));
    for (text, size) in [
        (format!("posix-mq:/{unique}%FF%1B%0A"), ""),
        (format!("posix-sem:/{unique}%FF%1B%0A"), ""),
        (format!("posix-shm:/{unique}%FF%1B%0A"), "?size=1"),
        (format!("posix-mq:/{}", pad(255)), ""),
        (format!("posix-sem:/{}", pad(251)), ""),
        (format!("posix-shm:/{}", pad(255)), "?size=1"),
    ] {
        let made = make(&address(&format!("{text}{size}"))).unwrap_or_else(|error| panic!("{error}"));
        let exists = make(&address(&format!("{text}{size}"))).unwrap_err();
        assert_eq!(exists.kind(), ErrorKind::AlreadyExists, "{exists}");
        assert!(!exists.to_string().contains(char::is_control), "{exists:?}");
        let found = find(&address(&text)).unwrap_or_else(|error| panic!("{error}"));
        assert!(found == *made.found(), "{text}");
        found.users().unwrap();
        found.check_removable().unwrap();
        found.remove().unwrap();
        assert_eq!(not_found(&text).kind(), ErrorKind::NotFound, "{text}");
    }
}

/// The file behind it is called `sem..`, which is no directory.
#[test]
fn a_semaphore_may_be_called_like_a_directory() {
    // In a file system of its own, since the names are not unique.
    test!().in_namespaces(|_peer| {
        let mount = ["-t", "tmpfs", "none", "/dev/shm"];
        assert!(Command::new("mount").args(mount).status().unwrap().success());
        for text in ["posix-sem:/.", "posix-sem:/.."] {
            make(&address(text)).unwrap();
            find(&address(text)).unwrap().remove().unwrap();
            assert_eq!(not_found(text).kind(), ErrorKind::NotFound);
        }
    });
}

#[test]
fn system_v_objects_are_removed_by_their_numbers() {
    let _test = test!();
    for text in ["sysv-msg:private", "sysv-sem:private", "sysv-shm:private?size=1"] {
        let made = make(&address(text)).unwrap();
        let by_id = made.address().to_string();
        assert!(by_id.contains(":id="), "{by_id}");
        find(&address(&by_id)).unwrap().remove().unwrap();
        assert_eq!(not_found(&by_id).kind(), ErrorKind::NotFound);
    }
}

#[test]
fn what_ipcmk_makes_is_found_and_removed() {
    let test = test!();
    if let Err(missing) = command("ipcmk") {
        return test.skip(&missing);
    }
    for (flags, scheme) in [
        (["-Q", "-p", "600"], "sysv-msg"),
        (["-S", "3", "-p"], "sysv-sem"),
        (["-M", "100", "-p"], "sysv-shm"),
    ] {
        let mut ipcmk = Command::new("ipcmk");
        ipcmk.args(flags);
        if flags[2] == "-p" {
            ipcmk.arg("600");
        }
        let output = String::from_utf8(ipcmk.output().unwrap().stdout).unwrap();
        let id = output.trim().rsplit(' ').next().unwrap();
        let text = format!("{scheme}:id={id}");
        find(&address(&text)).unwrap_or_else(|error| panic!("{output}: {error}")).remove().unwrap();
        assert_eq!(not_found(&text).kind(), ErrorKind::NotFound);
    }
}

#[test]
fn other_types_are_refused() {
    let _test = test!();
    let scratch = scratch();
    let at = |name: &str| format!("{}/{name}", scratch.path().display());
    fs::write(at("file"), "precious").unwrap();
    fs::create_dir(at("directory")).unwrap();
    make(&address(&format!("fifo:{}", at("fifo")))).unwrap();
    symlink(at("file"), at("link")).unwrap();
    let _listener = StreamListener::bind(&unix::Address::path(at("socket")).unwrap()).unwrap();
    let schemes = [
        ("fifo", "fifo"),
        ("file", "file"),
        ("mmap", "file"),
        ("lock", "file"),
        ("unix", "socket"),
        ("unix-dgram", "socket"),
        ("unix-seqpacket", "socket"),
    ];
    for (scheme, own) in schemes {
        for name in ["file", "directory", "fifo", "link", "socket"] {
            if name != own {
                let error = not_found(&format!("{scheme}:{}", at(name)));
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
                assert!(error.to_string().contains("what is there is"), "{error}");
            }
        }
    }
    assert_eq!(fs::read_to_string(at("file")).unwrap(), "precious");
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 5);
}

#[test]
fn shared_memory_and_semaphores_are_not_mistaken_for_each_other() {
    let _test = test!();
    let name = unique_name();
    make(&address(&format!("posix-sem:/{name}"))).unwrap();
    let _remove = defer(|| drop(fs::remove_file(format!("/dev/shm/sem.{name}"))));
    let error = not_found(&format!("posix-shm:/sem.{name}"));
    assert!(error.to_string().contains(&format!("the semaphore is posix-sem:/{name}")), "{error}");

    let other = unique_name();
    fs::write(format!("/dev/shm/sem.{other}"), [0; 100]).unwrap();
    let _remove = defer(|| drop(fs::remove_file(format!("/dev/shm/sem.{other}"))));
    let error = not_found(&format!("posix-sem:/{other}"));
    assert!(error.to_string().contains("100 bytes"), "{error}");
}

#[test]
fn what_took_the_name_meanwhile_stays() {
    let _test = test!();
    let scratch = scratch();
    for text in all(scratch.path().to_str().unwrap()) {
        let (address, bare) = (address(&text), bare(&text));
        let first = make(&address).unwrap();
        let found = find(&bare).unwrap();
        // The first file stays open, so that its inode number is not given to the second.
        let path = text.split_once(':').unwrap().1.split('?').next().unwrap();
        let path = match text.split_once(':').unwrap().0 {
            "posix-sem" => format!("/dev/shm/sem.{}", &path[1..]),
            "posix-shm" => format!("/dev/shm{path}"),
            _ => path.to_owned(),
        };
        let open = fs::OpenOptions::new().read(true).write(true).open(path);
        let kept = twixt_os::posix::mq::Queue::open(
            text.trim_start_matches("posix-mq:"),
            twixt_os::posix::mq::Access::Read,
        );
        first.undo().unwrap();
        let second = make(&address).unwrap();
        let error = found.remove().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Removed | ErrorKind::NotFound), "{text}: {error}");
        assert!(find(&bare).unwrap() == *second.found(), "{text}");
        second.undo().unwrap();
        drop((open, kept));
    }
}

#[test]
fn another_users_objects_stay() {
    let test = test!();
    test.role("remove", |peer| {
        for text in peer.arg(0).split(' ') {
            let found = find(&address(text)).unwrap_or_else(|error| panic!("{error}"));
            let error = found.check_removable().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
            assert!(error.to_string().contains("; "), "says what to do: {error}");
            let error = found.remove().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
        }
    });
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    let scratch = scratch();
    fs::set_permissions(scratch.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let made: Vec<_> =
        all(scratch.path().to_str().unwrap()).iter().map(|text| make(&address(text)).unwrap()).collect();
    let addresses: Vec<_> = made.iter().map(|made| made.address().to_string()).collect();
    let mut child = test.child("remove").arg(addresses.join(" ")).as_nobody().spawn();
    child.close_stdin();
    let status = child.wait();
    for made in made {
        made.undo().unwrap();
    }
    assert!(status.success());
}

#[test]
fn in_a_sticky_directory_others_files_stay() {
    let test = test!();
    test.role("remove", |peer| {
        let found = find(&address(&peer.arg(0))).unwrap();
        let error = found.check_removable().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(error.to_string().contains("sticky"), "{error}");
        assert_eq!(found.remove().unwrap_err().kind(), ErrorKind::PermissionDenied);
    });
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    let scratch = scratch();
    fs::set_permissions(scratch.path(), std::os::unix::fs::PermissionsExt::from_mode(0o1777)).unwrap();
    let text = format!("fifo:{}/fifo", scratch.path().display());
    make(&address(&text)).unwrap();
    test.child("remove").arg(&text).as_nobody().spawn().succeed();
    find(&address(&text)).unwrap();
}

#[test]
fn a_socket_is_removed_only_when_nobody_has_it() {
    let test = test!();
    // In a process of its own: what this one has open, the children of other tests have too for a moment.
    test.role("serve", |peer| {
        let at = unix::Address::path(peer.arg(1)).unwrap();
        let _server: Box<dyn std::any::Any> = match peer.arg(0).as_str() {
            "unix" => Box::new(StreamListener::bind(&at).unwrap()),
            "unix-dgram" => Box::new(Datagram::bind(&at).unwrap()),
            _ => Box::new(SeqpacketListener::bind(&at).unwrap()),
        };
        peer.say("ready");
        peer.hear();
    });
    let scratch = scratch();
    let path = scratch.path().join("socket");
    for scheme in ["unix", "unix-dgram", "unix-seqpacket"] {
        let mut server = test.child("serve").arg(scheme).arg(path.display()).spawn();
        server.expect("ready");
        let found = find(&address(&format!("{scheme}:{}", path.display()))).unwrap();
        for error in [found.check_removable().unwrap_err(), found.remove().unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Busy, "{scheme}");
            let advice = "a process has it bound; end that process first, then remove what it leaves";
            assert!(error.to_string().ends_with(advice), "{error}");
        }
        assert!(path.exists());
        server.kill();
        found.check_removable().unwrap();
        found.remove().unwrap();
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0, "nor is a lock left");
    }
}

#[test]
fn what_names_no_object_is_said() {
    let _test = test!();
    for (text, part) in [
        ("pipe:", "cannot find pipe: an anonymous pipe has no name"),
        ("unix:@x", "leaves nothing behind"),
        ("tcp:localhost:80", "leaves nothing behind"),
        ("sysv-msg:private", "a private key leads to no object"),
        (
            "sysv-sem:1/0",
            "/0 is one semaphore of a set, which is no object of its own; leave it out to name the set",
        ),
    ] {
        let error = not_found(text);
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn what_is_missing_is_not_found() {
    let _test = test!();
    let scratch = scratch();
    for text in all(scratch.path().to_str().unwrap()) {
        let error = not_found(text.split('?').next().unwrap());
        assert_eq!(error.kind(), ErrorKind::NotFound, "{text}: {error}");
    }
    for text in [
        "unix:/nowhere",
        "fifo:/etc/passwd/x",
        "sysv-msg:id=2147483647",
        "sysv-sem:id=2147483647",
        "sysv-shm:id=2147483647",
    ] {
        let error = not_found(text);
        assert_eq!(error.kind(), ErrorKind::NotFound, "{text}: {error}");
    }
}
