//! `twixt rm`: it tells who is affected, asks, and removes all or nothing.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use twixt_testkit::{Peer, command, root, scratch, test, unique_key, unique_name};

#[path = "support/tool.rs"]
mod tool;
use tool::{as_nobody, end, remove_at_end, run, twixt, typing};

/// A file is the object that is easiest to hold.
fn hold(peer: &Peer) {
    let _file = File::open(peer.arg(0)).unwrap();
    peer.say("ready");
    peer.hear();
}

#[test]
fn success_is_quiet() {
    let _test = test!();
    let scratch = scratch();
    let directory = scratch.path().display();
    let (name, key) = (unique_name(), unique_key());
    let addresses = format!(
        "fifo:{directory}/a file:{directory}/b lock:{directory}/c mmap:{directory}/d sysv-msg:{key} sysv-sem:{key} \
         sysv-shm:{key} posix-mq:/{name} posix-sem:/{name} posix-shm:/{name}"
    );
    let with_size = addresses
        .replace("/d ", "/d?size=1 ")
        .replace(&format!("sysv-shm:{key}"), &format!("sysv-shm:{key}?size=1"));
    run(&format!("mk {with_size}?size=1")).well();
    assert_eq!(run(&format!("rm --yes {addresses}")).well(), "");
    for address in addresses.split(' ') {
        run(&format!("rm --yes {address}")).fails(1, "no such file or directory (ENOENT)");
    }
}

#[test]
fn options_of_the_address_are_refused() {
    let _test = test!();
    let name = unique_name();
    run(&format!("mk posix-mq:/{name}?capacity=3")).well();
    run(&format!("rm -y posix-mq:/{name}?capacity=3")).fails(2, "option capacity says nothing");
    run(&format!("rm -y posix-mq:/{name}?prio=2&timeout=2s"))
        .fails(2, "options prio and timeout say nothing about an object that is there; leave them out");
    run(&format!("rm -y posix-mq:/{name}")).well();
}

#[test]
fn what_ipcmk_made_is_removed() {
    let test = test!();
    if let Err(missing) = command("ipcmk") {
        return test.skip(&missing);
    }
    for (flags, scheme) in
        [(&["-Q"][..], "sysv-msg"), (&["-S", "2"], "sysv-sem"), (&["-M", "64"], "sysv-shm")]
    {
        let output = Command::new("ipcmk").args(flags).output().unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        let id = output.trim().rsplit(' ').next().unwrap();
        run(&format!("rm --yes {scheme}:id={id}")).well();
        let gone = run(&format!("rm --yes {scheme}:id={id}"));
        assert_eq!(gone.code, Some(1), "{gone:?}");
    }
}

#[test]
fn without_a_terminal_it_wants_to_be_told() {
    let test = test!();
    test.role("hold", hold);
    let scratch = scratch();
    let path = scratch.path().join("file");
    let address = format!("file:{}", path.display());
    run(&format!("mk {address}")).well();
    let mut holder = test.child("hold").arg(path.display()).spawn();
    holder.expect("ready");
    let stderr = run(&format!("rm {address}")).fails(2, "standard input is no terminal; --yes answers");
    assert!(stderr.contains(&format!("{address} is used by\n  {} (", holder.pid())), "{stderr}");
    assert!(path.exists());
}

#[test]
fn who_is_attached_is_told_though_the_answer_is_known() {
    let test = test!();
    test.role("attach", |peer| {
        use twixt::os::sysv::shm::{Access, Id, Segment};
        let segment = Segment::open_id(Id::new(peer.arg(0).parse().unwrap()).unwrap()).unwrap();
        let _attached = segment.attach(Access::ReadWrite).unwrap();
        peer.say("ready");
        peer.hear();
    });
    let printed = run("mk sysv-shm:private?size=4k").well();
    let address = printed.trim_end();
    let _remove = remove_at_end(address);
    let mut child = test.child("attach").arg(address.split_once('=').unwrap().1).spawn();
    child.expect("ready");
    let ended = run(&format!("rm --yes {address}"));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{ended:?}");
    assert!(ended.stderr.contains(&format!("  {} (", child.pid())), "{ended:?}");
    assert!(ended.stderr.contains("): maps it\n"), "{ended:?}");
    assert!(ended.stderr.contains("is attached once"), "{ended:?}");
}

#[test]
fn a_terminal_is_asked() {
    let _test = test!();
    let scratch = scratch();
    let path = scratch.path().join("fifo");
    let address = format!("fifo:{}", path.display());
    run(&format!("mk {address}")).well();
    for no in ["n\n", "\n", "maybe\n", "\x04"] {
        let ended = typing(twixt(["rm", &address]), no);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
        assert!(ended.stderr.contains(&format!("Remove {address}? [y/N] ")), "{ended:?}");
        assert!(path.exists());
    }
    let ended = typing(twixt(["rm", &address]), "y\n");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!path.exists());
}

#[test]
fn each_is_asked_about() {
    let _test = test!();
    let scratch = scratch();
    let address = |name: &str| format!("fifo:{}/{name}", scratch.path().display());
    run(&format!("mk {} {}", address("a"), address("b"))).well();
    let ended = typing(twixt(["rm", &address("a"), &address("b")]), "n\ny\n");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(scratch.path().join("a").exists() && !scratch.path().join("b").exists());
}

#[test]
fn all_are_checked_before_one_is_removed() {
    let _test = test!();
    let scratch = scratch();
    let directory = scratch.path().display();
    run(&format!("mk fifo:{directory}/a file:{directory}/b")).well();
    let stderr =
        run(&format!("rm --yes fifo:{directory}/a fifo:{directory}/none")).fails(1, "/none: no such file");
    assert!(stderr.ends_with("nothing was removed\n"), "{stderr}");
    // Every fault is told, and the worst decides.
    let line =
        format!("rm --yes fifo:{directory}/a fifo:{directory}/none fifo:{directory}/b fifo:{directory}/gone");
    let stderr = run(&line).fails(2, "what is there is a regular file, not a FIFO");
    assert!(stderr.contains("/none: no such file") && stderr.contains("/gone: no such file"), "{stderr}");
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 2);
}

#[test]
fn one_object_by_two_addresses_is_removed_once() {
    let _test = test!();
    let key = unique_key();
    let printed = run(&format!("mk sysv-sem:{key}")).well();
    let id = printed.trim_end().split_once(" id=").unwrap().1;
    run(&format!("rm --yes sysv-sem:{key} sysv-sem:id={id}")).well();
}

#[test]
fn wrong_input_names_the_wrong_part() {
    let _test = test!();
    for (line, part) in [
        ("rm", "<ADDRESS>"),
        ("rm --yes", "<ADDRESS>"),
        ("rm jobs", "bad address \"jobs\""),
        ("rm --yes pipe:", "an anonymous pipe has no name"),
        ("rm --yes sysv-msg:private", "a private key leads to no object"),
        ("rm --yes sysv-sem:1/0", "/0 is one semaphore of a set"),
        ("rm --yes topic:x?create", "option create says nothing about an object that is there"),
        ("rm --yes tcp:localhost:80", "leaves nothing behind"),
        ("rm --yes unix:@x", "leaves nothing behind"),
        ("rm --yes file:/tmp", "what is there is a directory, not a regular file"),
        ("rm --yes file:/proc/self/exe", "symbolic link, which is not followed"),
        ("rm --force fifo:/tmp/x", "--force"),
    ] {
        run(line).fails(2, part);
    }
    run("rm --yes fifo:/nowhere/x")
        .fails(1, "cannot find FIFO /nowhere/x: no such file or directory (ENOENT)");
}

#[test]
fn a_live_socket_stays_and_a_stale_one_goes() {
    let test = test!();
    test.role("serve", |peer| {
        use twixt::os::unix::{Address, StreamListener};
        let _listener = StreamListener::bind(&Address::path(peer.arg(0)).unwrap()).unwrap();
        peer.say("ready");
        peer.hear();
    });
    let scratch = scratch();
    let path = scratch.path().join("socket");
    let mut server = test.child("serve").arg(path.display()).spawn();
    server.expect("ready");
    let line = format!("rm --yes unix:{}", path.display());
    run(&line).fails(2, "a process has it bound; end that process first");
    server.kill();
    run(&line).well();
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
}

#[test]
fn another_users_objects_stay() {
    let test = test!();
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    let scratch = scratch();
    fs::set_permissions(scratch.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let (name, key) = (unique_name(), unique_key());
    for (address, option) in [
        (format!("fifo:{}/a", scratch.path().display()), ""),
        (format!("sysv-msg:{key}"), ""),
        (format!("sysv-sem:{key}"), ""),
        (format!("sysv-shm:{key}"), "?size=1"),
        (format!("posix-mq:/{name}"), ""),
        (format!("posix-sem:/{name}"), ""),
        (format!("posix-shm:/{name}"), "?size=1"),
    ] {
        let _remove = remove_at_end(&address);
        run(&format!("mk {address}{option}")).well();
        let stderr = end(as_nobody(twixt(["rm", "--yes", &address]))).fails(2, "cannot remove ");
        assert!(stderr.contains("EACCES") || stderr.contains("EPERM"), "{stderr}");
        run(&format!("rm --yes {address}")).well();
    }
}

#[test]
fn a_ring_goes_with_its_semaphores() {
    let _test = test!();
    let key = unique_key();
    let address = format!("sysv-shm:{key}");
    let _remove = (remove_at_end(&address), remove_at_end(&format!("sysv-sem:{key}")));
    run(&format!("send {address}?create message")).well();
    let set = run(&format!("rm --yes sysv-sem:{key}/0"));
    assert_eq!(set.code, Some(2), "{set:?}");
    run(&format!("rm --yes {address}")).well();
    run(&format!("rm --yes sysv-sem:{key}")).fails(1, "no such");
}

#[test]
fn a_segment_that_is_no_ring_goes_alone() {
    let _test = test!();
    let key = unique_key();
    let _remove = (remove_at_end(&format!("sysv-shm:{key}")), remove_at_end(&format!("sysv-sem:{key}")));
    run(&format!("mk sysv-shm:{key}?size=64k sysv-sem:{key}?count=13")).well();
    run(&format!("rm --yes sysv-shm:{key}")).well();
    run(&format!("rm --yes sysv-sem:{key}")).well();
}
