//! Pipes: no death by SIGPIPE, the limits by their names, and what a message costs.

#[path = "support/pipes.rs"]
mod support;

use std::fs;
use std::io::Write;

use rustix::fs::OFlags;
use rustix::pipe::PipeFlags;
use support::fill;
use twixt_os::pipe::{self, Flags, Writer};
use twixt_os::{Deadline, Errno, ErrorKind};
use twixt_testkit::{Peer, Spawn, call, command, namespaces, root, scratch, test};

/// Whether the thread has SIGPIPE blocked, and whether one is pending.
fn sigpipe_of_this_thread() -> (bool, bool) {
    const SIGPIPE: u64 = 1 << (13 - 1);
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let mask = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap() & SIGPIPE != 0
    };
    (mask("SigBlk:"), mask("SigPnd:") || mask("ShdPnd:"))
}

/// Writes in every form to a pipe without readers, with a SIGPIPE that would end the process.
fn write_to_nobody(peer: &Peer) {
    twixt_sys::pipe::default_sigpipe().unwrap();
    let before = sigpipe_of_this_thread();
    let (reader, writer) = pipe::create().unwrap();
    let (source, feed) = pipe::create().unwrap();
    feed.write_all(b"fed").unwrap();
    drop(reader);
    let soon = Deadline::now();
    let file = fs::File::open("/etc/passwd").unwrap();
    let kinds = [
        writer.write(b"x").unwrap_err().kind(),
        writer.try_write(b"x").unwrap_err().kind(),
        writer.write_deadline(b"x", soon).unwrap_err().kind(),
        writer.write_interruptible(b"x").unwrap_err().kind(),
        writer.write_all(&[0; 100_000]).unwrap_err().error.kind(),
        writer.write_atomic(b"x").unwrap_err().kind(),
        writer.vmsplice(b"x").unwrap_err().kind(),
        writer.try_vmsplice(b"x").unwrap_err().kind(),
        writer.splice_from(&file, None, 10).unwrap_err().kind(),
        source.splice_to(&writer, None, 10).unwrap_err().kind(),
        source.tee_to(&writer, 10).unwrap_err().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::PeerGone; 11]);
    let error = Write::write(&mut &writer, b"x").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    assert_eq!(sigpipe_of_this_thread(), before);
    peer.say("alive");
}

#[test]
fn writing_to_nobody_is_an_error_and_no_death() {
    let test = test!();
    test.role("write", write_to_nobody);
    let mut child = test.child("write").spawn();
    child.expect("alive");
    child.succeed();
}

/// Has the kernel say that it knows no flags of `pwritev2` and `preadv2`, as those before 4.14 do.
fn without_flags(child: Spawn, log: &str) -> Spawn {
    child.under(&[
        "strace",
        "-f",
        "-qq",
        "-o",
        log,
        "-e",
        "trace=pwritev2,preadv2,rt_sigtimedwait",
        "-e",
        "inject=pwritev2,preadv2:error=EOPNOTSUPP",
    ])
}

/// As above; with the log's text, to see that the flags were refused.
fn run_without_flags(child: Spawn) -> Result<String, twixt_testkit::Missing> {
    command("strace")?;
    let directory = scratch();
    let log = directory.path().join("log");
    let mut child = without_flags(child, log.to_str().unwrap()).spawn();
    child.close_stdin();
    let status = child.wait();
    let text = fs::read_to_string(&log).unwrap_or_default();
    if text.is_empty() {
        return Err(twixt_testkit::Missing("permission to trace a process (ptrace)".into()));
    }
    assert!(status.success(), "{status}: {text}");
    assert!(text.contains("EOPNOTSUPP"), "{text}");
    Ok(text)
}

#[test]
fn writing_to_nobody_is_no_death_on_older_kernels_either() {
    let test = test!();
    test.role("write", write_to_nobody);
    match run_without_flags(test.child("write")) {
        Ok(text) => assert!(text.contains("rt_sigtimedwait([PIPE]"), "{text}"),
        Err(missing) => test.skip(&missing),
    }
}

#[test]
fn not_waiting_works_on_older_kernels_too() {
    let test = test!();
    test.role("talk", |_| {
        let (reader, writer) = pipe::create_with(Flags::PACKETS).unwrap();
        let mut buffer = [0; 64];
        assert_eq!(reader.try_read(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
        writer.try_write(b"one").unwrap();
        writer.write_deadline(b"two", Deadline::now()).unwrap();
        // The second description keeps the packets apart too.
        assert_eq!(reader.try_read(&mut buffer).unwrap(), 3);
        assert_eq!(reader.read_deadline(&mut buffer, Deadline::now()).unwrap(), 3);
        writer.make_packets(false).unwrap();
        writer.try_write(b"a").unwrap();
        writer.try_write(b"b").unwrap();
        assert_eq!(reader.try_read(&mut buffer).unwrap(), 2);
        fill(&writer);
        assert_eq!(writer.try_write(b"x").unwrap_err().kind(), ErrorKind::WouldBlock);
        // Neither end is kept open by its second description.
        drop(writer);
        while reader.try_read(&mut buffer).unwrap() > 0 {}
        let (reader, writer) = pipe::create().unwrap();
        reader.try_read(&mut buffer).unwrap_err();
        writer.try_write(b"x").unwrap();
        drop(reader);
        assert_eq!(writer.try_write(b"x").unwrap_err().kind(), ErrorKind::PeerGone);
        // Opened again only now that there is no reader.
        let (reader, writer) = pipe::create().unwrap();
        drop(reader);
        assert_eq!(writer.try_write(b"x").unwrap_err().kind(), ErrorKind::PeerGone);
        assert_eq!(writer.try_write(b"x").unwrap_err().kind(), ErrorKind::PeerGone);
    });
    if let Err(missing) = run_without_flags(test.child("talk")) {
        test.skip(&missing);
    }
}

#[test]
fn not_waiting_without_flags_and_proc() {
    let test = test!();
    test.role("talk", |peer| {
        if peer.arg(0) == "mount" {
            let mount = ["-t", "tmpfs", "none", "/proc"];
            assert!(std::process::Command::new("mount").args(mount).status().unwrap().success());
        }
        let (reader, writer) = pipe::create().unwrap();
        let mut buffer = [0; 64];
        assert_eq!(reader.try_read(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
        writer.write_all(b"four").unwrap();
        assert_eq!(reader.try_read(&mut buffer).unwrap(), 4);
        let error = writer.try_write(b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("/proc/self/fd"), "{error}");
        drop(writer);
        assert_eq!(reader.try_read(&mut buffer).unwrap(), 0);
    });
    let wrapper = match namespaces() {
        Ok(wrapper) => wrapper,
        Err(missing) => return test.skip(&missing),
    };
    let child = test.child("talk").arg("mount").under(&wrapper);
    if let Err(missing) = run_without_flags(child) {
        test.skip(&missing);
    }
}

#[test]
fn a_write_that_loses_its_reader_half_way_is_no_death() {
    let test = test!();
    test.role("write", |peer| {
        twixt_sys::pipe::default_sigpipe().unwrap();
        let writer = Writer::inherited(7).unwrap();
        let capacity = writer.capacity().unwrap();
        // Partly written when the reader goes: the count is returned, and there is no signal with it.
        assert_eq!(writer.write(&vec![0; 2 * capacity]).unwrap(), capacity);
        assert_eq!(writer.write(b"x").unwrap_err().kind(), ErrorKind::PeerGone);
        assert_eq!(sigpipe_of_this_thread(), (false, false));
        peer.say("alive");
    });
    let (reader, writer) = pipe::create().unwrap();
    let mut child = test.child("write").descriptor(writer.into(), 7).spawn();
    child.wait_until_blocked_in(call::WRITING);
    drop(reader);
    child.expect("alive");
    child.succeed();
}

#[test]
fn the_capacity_is_rounded_up_and_can_be_set_from_either_end() {
    let _test = test!();
    let (reader, writer) = pipe::create().unwrap();
    assert_eq!((reader.capacity().unwrap(), writer.capacity().unwrap()), (65536, 65536));
    assert_eq!(writer.set_capacity(65537).unwrap(), 131_072);
    assert_eq!(reader.set_capacity(1).unwrap(), 4096);
    assert_eq!(fill(&writer), 4096);
    assert_eq!((reader.queued().unwrap(), writer.queued().unwrap()), (4096, 4096));
    assert_eq!(reader.set_capacity(8192).unwrap(), 8192);
    fill(&writer);
    let error = writer.set_capacity(4096).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().ends_with("read what is in it first"), "{error}");
    assert_eq!(writer.set_capacity((1 << 31) + 1).unwrap_err().kind(), ErrorKind::OutOfRange);
}

#[test]
fn a_capacity_above_the_limit_names_the_limit() {
    let test = test!();
    test.role("nobody", |peer| {
        let (_reader, writer) = pipe::create().unwrap();
        let most: usize = peer.arg(0).parse().unwrap();
        let error = writer.set_capacity(most + 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitReached);
        let limit = error.limit().unwrap();
        assert_eq!(limit.name, "fs.pipe-max-size");
        assert_eq!((limit.current, limit.needed), (Some(most as u64), Some(most as u64 + 1)));
    });
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    let most = fs::read_to_string("/proc/sys/fs/pipe-max-size").unwrap();
    test.child("nobody").arg(most.trim()).as_nobody().spawn().succeed();
}

#[test]
fn too_many_pages_of_a_user_name_the_limit() {
    let test = test!();
    test.role("user", |peer| {
        let pages: usize = peer.arg(0).parse().unwrap();
        let mut pipes = Vec::new();
        let error = loop {
            let (reader, writer) = pipe::create().unwrap();
            match writer.set_capacity(1 << 20) {
                Ok(_) => pipes.push((reader, writer)),
                Err(error) => break error,
            }
            assert!(pipes.len() <= pages / 256, "the limit is not kept");
        };
        assert_eq!(error.kind(), ErrorKind::LimitReached);
        let limit = error.limit().unwrap();
        assert_eq!((limit.name, limit.current), ("fs.pipe-user-pages-soft", Some(pages as u64)));
        // New pipes are small from now on.
        let (_reader, writer) = pipe::create().unwrap();
        let small = writer.capacity().unwrap();
        assert!(small < 65536, "{small}");
    });
    if let Err(missing) = root().and_then(|()| command("setpriv")) {
        return test.skip(&missing);
    }
    let pages: usize =
        fs::read_to_string("/proc/sys/fs/pipe-user-pages-soft").unwrap().trim().parse().unwrap();
    if pages == 0 || pages > 1 << 16 {
        return test.skip(&twixt_testkit::Missing("a small fs.pipe-user-pages-soft".into()));
    }
    // A user of its own, whose pages no other test uses.
    let user = 100_000 + std::process::id() % 1_000_000;
    let wrapper = ["setpriv", &format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups"];
    test.child("user").arg(pages).under(&wrapper).spawn().succeed();
}

#[test]
fn too_many_descriptors_name_the_limit() {
    let test = test!();
    test.role("open", |_| {
        let mut pipes = Vec::new();
        let error = loop {
            match pipe::create() {
                Ok(pair) => pipes.push(pair),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::LimitReached);
        assert_eq!(error.limit().map(|limit| (limit.name, limit.current)), Some(("RLIMIT_NOFILE", Some(64))));
        let error = pipes[0].0.try_clone().map(|_| pipes[0].0.try_clone()).and_then(|again| again);
        assert_eq!(error.unwrap_err().kind(), ErrorKind::LimitReached);
    });
    let limited = ["sh", "-c", "ulimit -n 64 && exec \"$@\"", "sh"];
    test.child("open").under(&limited).spawn().succeed();
}

#[test]
fn a_notification_pipe_is_had_where_the_kernel_has_them() {
    let test = test!();
    test.role("lacking", |_| {
        let error = pipe::create_with(Flags::NOTIFICATION).unwrap_err();
        assert_eq!((error.kind(), error.errno()), (ErrorKind::Unsupported, Some(Errno::NOPKG)));
    });
    // What the kernel says without twixt; the flag goes by another name there.
    let asked = rustix::pipe::pipe_with(PipeFlags::from_bits_retain(OFlags::EXCL.bits()));
    match (asked, pipe::create_with(Flags::NOTIFICATION)) {
        (Ok(_), Ok((reader, writer))) => {
            assert_eq!(reader.queued().unwrap(), 0);
            assert!(writer.try_write(b"x").is_err(), "only the kernel writes to it");
        }
        (Err(Errno::NOPKG), Err(error)) => assert_eq!(error.kind(), ErrorKind::Unsupported),
        other => panic!("{other:?}"),
    }
    if let Err(missing) = command("strace") {
        return test.skip(&missing);
    }
    let words = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=pipe2:error=ENOPKG"];
    test.child("lacking").under(&words).spawn().succeed();
}
