//! FIFOs: their names, what goes through them, and their removal.

#[path = "support/pipes.rs"]
mod support;

use std::fs;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_getfl};
use support::{fill, later};
use twixt_os::fifo::Fifo;
use twixt_os::pipe::PIPE_BUF;
use twixt_os::{Deadline, ErrorKind, Mode};
use twixt_testkit::{Child, Storm, call, command, compile_c, root, scratch, test, under_storm};

fn is_fifo(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
}

#[test]
fn ping_goes_through_a_hundred_times_and_then_end() {
    let test = test!();
    test.role("client", |peer| {
        let writer = Fifo::open(peer.arg(0)).unwrap().open_write().unwrap();
        for _ in 0..100 {
            writer.write_atomic(b"ping").unwrap();
        }
        writer.write_atomic(b"end").unwrap();
    });
    let directory = scratch();
    let path = directory.path().join("fifo");
    let fifo = Fifo::create(&path, Mode::OWNER).unwrap();
    let client = test.child("client").arg(path.display()).spawn();
    let mut reader = fifo.open_read().unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "ping".repeat(100) + "end");
    client.succeed();
}

#[test]
fn the_name_holds_no_data_and_stays() {
    let test = test!();
    // In a process without other threads that fork, and so copy the ends for a moment.
    test.role("alone", |_| look_at_the_name());
    test.child("alone").spawn().succeed();
}

fn look_at_the_name() {
    let directory = scratch();
    let path = directory.path().join("fifo");
    let fifo = Fifo::create(&path, Mode::OWNER).unwrap();
    let (reader, writer) = fifo.open_read_write().unwrap();
    writer.write_all(b"not on disk").unwrap();
    assert_eq!(fs::symlink_metadata(&path).unwrap().len(), 0);
    drop((reader, writer));
    // With the last end the data went.
    assert_eq!(fifo.open_read_now().unwrap().read(&mut [0; 8]).unwrap(), 0);
    drop(fifo);
    assert!(is_fifo(&path));
}

#[test]
fn creating_and_opening_say_what_is_wrong() {
    let _test = test!();
    let directory = scratch();
    let path = directory.path().join("fifo");
    let error = Fifo::open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let text = format!("cannot open FIFO {}: no such file or directory (ENOENT)", path.display());
    assert_eq!(error.to_string(), text);

    Fifo::create(&path, Mode::OWNER).unwrap();
    let error = Fifo::create(&path, Mode::OWNER).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(error.to_string(), format!("cannot create FIFO {}: file exists (EEXIST)", path.display()));
    Fifo::open_or_create(&path, Mode::OWNER).unwrap();
    Fifo::open_or_create(directory.path().join("new"), Mode::OWNER).unwrap();

    let create = |path: &str| Fifo::create(directory.path().join(path), Mode::OWNER).unwrap_err().kind();
    assert_eq!(create("missing/fifo"), ErrorKind::NotFound);
    assert_eq!(create("fifo/fifo"), ErrorKind::InvalidInput);
    assert_eq!(create(&"n".repeat(256)), ErrorKind::TooLong);
    let either = Fifo::open_or_create(directory.path().join("missing/fifo"), Mode::OWNER).unwrap_err();
    assert_eq!((either.kind(), either.operation()), (ErrorKind::NotFound, "create"));
}

#[test]
fn what_is_not_a_fifo_is_refused() {
    let _test = test!();
    let directory = scratch();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("file"), "data").unwrap();
    Fifo::create(at("fifo"), Mode::OWNER).unwrap();
    symlink(at("fifo"), at("link")).unwrap();
    symlink(at("nowhere"), at("dangling")).unwrap();
    let not_fifo = "what is there is not a FIFO";
    let link = "it is a symbolic link, which is not followed";
    for (name, why) in [("file", not_fifo), ("", not_fifo), ("link", link), ("dangling", link)] {
        for outcome in [Fifo::open(at(name)), Fifo::open_or_create(at(name), Mode::OWNER)] {
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}");
            assert!(error.to_string().ends_with(why), "{error}");
        }
    }
    assert_eq!(Fifo::open("/dev/null").unwrap_err().kind(), ErrorKind::InvalidInput);
    let dangling = Fifo::create(at("dangling"), Mode::OWNER).unwrap_err();
    assert_eq!(dangling.kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read_to_string(at("file")).unwrap(), "data");
}

#[test]
fn what_is_opened_is_what_was_checked() {
    let _test = test!();
    let directory = scratch();
    let path = directory.path().join("fifo");
    let fifo = Fifo::create(&path, Mode::OWNER).unwrap();
    let (_held, writer) = fifo.open_read_write().unwrap();
    writer.write_all(b"the old one").unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, "a file in its place").unwrap();
    let mut buffer = [0; 64];
    let read = fifo.try_open_read().unwrap().read(&mut buffer).unwrap();
    assert_eq!(&buffer[..read], b"the old one");
}

#[test]
fn the_mode_is_honoured() {
    let test = test!();
    test.role("create", |peer| {
        for bits in [0o600, 0o666, 0o777, 0o640, 0o000] {
            let mode = Mode::new(bits).unwrap();
            let path = Path::new(&peer.arg(0)).join(mode.to_string());
            let fifo = Fifo::create(&path, mode).unwrap();
            let mask: u32 = u32::from_str_radix(&peer.arg(1), 8).unwrap();
            assert_eq!(fifo.mode().unwrap().bits(), bits & !mask);
            assert_eq!(fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o7777, bits & !mask);
            let owner = fs::symlink_metadata(&path).map(|metadata| (metadata.uid(), metadata.gid())).unwrap();
            assert_eq!(fifo.owner().unwrap(), owner);
        }
    });
    for mask in ["000", "022", "077"] {
        let directory = scratch();
        let shell = ["sh", "-c", &format!("umask {mask} && exec \"$@\""), "sh"];
        test.child("create").arg(directory.path().display()).arg(mask).under(&shell).spawn().succeed();
    }
}

#[test]
fn another_user_is_kept_out() {
    let test = test!();
    test.role("nobody", |peer| {
        let fifo = Fifo::open(peer.arg(0)).unwrap();
        for error in [
            fifo.open_read().map(drop),
            fifo.open_read_now().map(drop),
            fifo.try_open_read().map(drop),
            fifo.open_read_deadline(later()).map(drop),
            fifo.open_write().map(drop),
            fifo.try_open_write().map(drop),
            fifo.open_write_deadline(later()).map(drop),
            fifo.open_read_write().map(drop),
            fifo.remove(),
            Fifo::create(format!("{}2", peer.arg(0)), Mode::OWNER).map(drop),
        ] {
            assert_eq!(error.unwrap_err().kind(), ErrorKind::PermissionDenied);
        }
        let error = fifo.open_write().unwrap_err();
        let text = format!("cannot open for writing FIFO {}: permission denied (EACCES)", peer.arg(0));
        assert_eq!(error.to_string(), text);
        // The search of a directory can be denied too.
        assert_eq!(Fifo::open(peer.arg(1)).unwrap_err().kind(), ErrorKind::PermissionDenied);
    });
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    let directory = scratch();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = directory.path().join("fifo");
    Fifo::create(&path, Mode::OWNER).unwrap();
    let hidden = directory.path().join("hidden");
    fs::create_dir(&hidden).unwrap();
    fs::set_permissions(&hidden, fs::Permissions::from_mode(0o700)).unwrap();
    let child = test.child("nobody").arg(path.display()).arg(hidden.join("fifo").display());
    child.as_nobody().spawn().succeed();
    assert!(is_fifo(&path));
}

#[test]
fn the_guard_removes_the_name() {
    let _test = test!();
    let directory = scratch();
    let path = directory.path().join("fifo");
    let fifo = Fifo::create(&path, Mode::OWNER).unwrap();
    drop(fifo.unlink_on_drop().unwrap());
    assert!(!path.exists());

    let fifo = Fifo::create(&path, Mode::OWNER).unwrap();
    fifo.unlink_on_drop().unwrap().keep();
    assert!(is_fifo(&path));
    fifo.unlink_on_drop().unwrap().remove().unwrap();
    assert!(!path.exists());
    assert_eq!(fifo.remove().unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(fifo.unlink_on_drop().unwrap().remove().unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn the_guard_removes_nothing_else() {
    let _test = test!();
    let directory = scratch();
    let path = directory.path().join("fifo");
    let fifo = Fifo::create(&path, Mode::OWNER).unwrap();
    let guard = fifo.unlink_on_drop().unwrap();
    fs::remove_file(&path).unwrap();
    let other = Fifo::create(&path, Mode::OWNER).unwrap();
    drop(guard);
    assert!(is_fifo(&path));
    let error = fifo.remove().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Removed);
    assert!(error.to_string().ends_with("another file has taken its name"), "{error}");
    other.remove().unwrap();
    assert!(!path.exists());
}

#[test]
fn the_guard_finds_the_name_after_a_change_of_directory() {
    let test = test!();
    test.role("remove", |peer| {
        std::env::set_current_dir(peer.arg(0)).unwrap();
        let fifo = Fifo::create("fifo", Mode::OWNER).unwrap();
        assert_eq!(fifo.path(), Path::new("fifo"));
        let guard = fifo.unlink_on_drop().unwrap();
        std::env::set_current_dir("/").unwrap();
        drop(guard);
    });
    let directory = scratch();
    test.child("remove").arg(directory.path().display()).spawn().succeed();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_killed_process_leaves_the_name() {
    let test = test!();
    test.role("hold", |peer| {
        let fifo = Fifo::create(peer.arg(0), Mode::OWNER).unwrap();
        let _guard = fifo.unlink_on_drop().unwrap();
        peer.say("made");
        peer.hear();
    });
    let directory = scratch();
    let path = directory.path().join("fifo");
    let mut child = test.child("hold").arg(path.display()).spawn();
    child.expect("made");
    child.kill();
    assert!(is_fifo(&path));
}

#[test]
fn shell_and_c_programs_are_partners() {
    let test = test!();
    if let Err(missing) = command("mkfifo") {
        return test.skip(&missing);
    }
    let directory = scratch();
    let path = directory.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let fifo = Fifo::open(&path).unwrap();

    // echo hello > fifo: it ends when the data has a reader.
    let mut echo = Command::new("sh");
    echo.args(["-c", "echo hello > \"$0\""]).arg(&path);
    let echo = Child::start(echo);
    let mut text = String::new();
    fifo.open_read().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello\n");
    echo.succeed();

    // Another FIFO each time: a process that is being forked elsewhere in this one has a copy of the reader above
    // until it executes its program, and would be a partner that nobody wants.
    let path = directory.path().join("other");
    let fifo = Fifo::create(&path, Mode::OWNER).unwrap();
    let mut cat = Command::new("sh");
    cat.args(["-c", "cat < \"$0\""]).arg(&path);
    let mut cat = Child::start(cat);
    fifo.open_write().unwrap().write_all(b"back\n").unwrap();
    assert_eq!(cat.line().as_deref(), Some("back"));
    cat.succeed();

    let source = r#"
        #include <fcntl.h>
        #include <stdio.h>
        #include <sys/stat.h>
        #include <unistd.h>
        int main(int argc, char **argv) {
            if (argc != 2 || mknod(argv[1], 0600 | S_IFIFO, 0) != 0) return 1;
            puts("made"); fflush(stdout);
            int fd = open(argv[1], O_RDONLY);
            char text[64];
            ssize_t length = read(fd, text, sizeof text);
            return length == 4 && read(fd, text, sizeof text) == 0 ? 0 : 2;
        }"#;
    let program = compile_c(directory.path(), "reader", source, &[]);
    let second = directory.path().join("second");
    let mut reader = Command::new(program);
    reader.arg(&second);
    let mut reader = Child::start(reader);
    assert_eq!(reader.line().as_deref(), Some("made"));
    Fifo::open(&second).unwrap().open_write().unwrap().write_all(b"to C").unwrap();
    reader.succeed();
}

#[test]
fn eight_writers_never_interleave() {
    const WRITERS: usize = 8;
    const LINES: usize = 100;
    let test = test!();
    test.role("write", |peer| {
        let writer = Fifo::open(peer.arg(0)).unwrap().open_write_deadline(later()).unwrap();
        let mut line = vec![peer.arg(1).as_bytes()[0]; PIPE_BUF];
        line[PIPE_BUF - 1] = b'\n';
        for number in 0..LINES {
            // The second description keeps the promise too.
            match number % 2 {
                0 => writer.write_atomic(&line).unwrap(),
                _ => writer.write_atomic_deadline(&line, later()).unwrap(),
            }
        }
    });
    let directory = scratch();
    let path = directory.path().join("fifo");
    let fifo = Fifo::create(&path, Mode::OWNER).unwrap();
    let children: Vec<_> =
        (0..WRITERS).map(|number| test.child("write").arg(path.display()).arg(number).spawn()).collect();
    // Kept open for reading and writing, so that writers may come and go.
    let (mut reader, own_end) = fifo.open_read_write().unwrap();
    let mut counts = [0; WRITERS];
    let mut line = vec![0; PIPE_BUF];
    for _ in 0..WRITERS * LINES {
        reader.read_exact(&mut line).unwrap();
        let (letters, end) = line.split_at(PIPE_BUF - 1);
        assert_eq!(end, b"\n");
        assert!(letters.iter().all(|letter| *letter == letters[0]), "two writers in one line");
        counts[usize::from(letters[0] - b'0')] += 1;
    }
    assert_eq!(counts, [LINES; WRITERS]);
    children.into_iter().for_each(Child::succeed);
    assert_eq!(own_end.queued().unwrap(), 0);
}

#[test]
fn the_forms_that_do_not_wait_work_without_the_kernels_flag() {
    let test = test!();
    // In a process without other threads that fork, and so copy the ends for a moment.
    test.role("alone", |_| use_the_forms_that_do_not_wait());
    test.child("alone").spawn().succeed();
}

fn use_the_forms_that_do_not_wait() {
    let directory = scratch();
    let fifo = Fifo::create(directory.path().join("fifo"), Mode::OWNER).unwrap();
    let reader = fifo.open_read_now().unwrap();
    let writer = fifo.try_open_write().unwrap();
    let mut buffer = [0; 8];
    let error = reader.try_read(&mut buffer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    assert!(error.to_string().starts_with("cannot read from FIFO /"), "{error}");
    for deadline in [Deadline::now(), Deadline::after(Duration::from_millis(10))] {
        assert_eq!(reader.read_deadline(&mut buffer, deadline).unwrap_err().kind(), ErrorKind::TimedOut);
    }
    assert_eq!(fill(&writer), writer.capacity().unwrap());
    assert_eq!(writer.write_deadline(b"x", Deadline::now()).unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(writer.try_write_atomic(b"x").unwrap_err().kind(), ErrorKind::WouldBlock);
    for end in [reader.as_fd(), writer.as_fd()] {
        assert!(!fcntl_getfl(end).unwrap().contains(OFlags::NONBLOCK));
    }
    // The second descriptions go with their handles.
    drop(reader);
    assert_eq!(writer.try_write(b"x").unwrap_err().kind(), ErrorKind::PeerGone);
    assert_eq!(writer.write(b"x").unwrap_err().kind(), ErrorKind::PeerGone);
    assert_eq!(fifo.try_open_write().unwrap_err().kind(), ErrorKind::NoPeer);
    // The writer has kept what nobody has read, for the next reader.
    let reader = fifo.try_open_read().unwrap();
    drop(writer);
    assert_eq!(reader.queued().unwrap(), reader.capacity().unwrap());
    while reader.try_read(&mut buffer).unwrap() > 0 {}
}

#[test]
fn a_writer_without_readers_learns_it_from_the_first_attempt() {
    let test = test!();
    // In a process without other threads that fork, and so copy the ends for a moment.
    test.role("alone", |_| lose_the_readers());
    test.child("alone").spawn().succeed();
}

fn lose_the_readers() {
    let directory = scratch();
    let fifo = Fifo::create(directory.path().join("fifo"), Mode::OWNER).unwrap();
    let reader = fifo.open_read_now().unwrap();
    let writer = fifo.open_write().unwrap();
    drop(reader);
    assert_eq!(writer.try_write(b"x").unwrap_err().kind(), ErrorKind::PeerGone);
    assert_eq!(writer.write_deadline(b"x", later()).unwrap_err().kind(), ErrorKind::PeerGone);
    // A FIFO can have readers again.
    let reader = fifo.open_read_now().unwrap();
    assert_eq!(writer.try_write(b"x").unwrap(), 1);
    assert_eq!(reader.try_read(&mut [0; 8]).unwrap(), 1);
}

#[test]
fn a_full_fifo_makes_the_writer_wait() {
    let test = test!();
    test.role("write", |peer| {
        let writer = Fifo::open(peer.arg(0)).unwrap().open_write().unwrap();
        let written = fill(&writer);
        under_storm(peer, || writer.write_all(b"more")).unwrap();
        peer.say(&written.to_string());
    });
    let directory = scratch();
    let path = directory.path().join("fifo");
    let fifo = Fifo::create(&path, Mode::OWNER).unwrap();
    let mut child = test.child("write").arg(path.display()).spawn();
    let mut reader = fifo.open_read().unwrap();
    child.expect("stormed");
    child.wait_until_blocked_in(call::WRITING);
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    let written: usize = child.hear().parse().unwrap();
    assert_eq!(all.len(), written + 4);
    child.succeed();
}

#[test]
fn a_read_weathers_a_storm_of_signals() {
    let test = test!();
    test.role("read", |peer| {
        let reader = Fifo::open(peer.arg(0)).unwrap().open_read().unwrap();
        let mut buffer = [0; 8];
        let form = peer.arg(1);
        let read = under_storm(peer, || match form.as_str() {
            "block" => reader.read(&mut buffer),
            _ => reader.read_deadline(&mut buffer, later()),
        });
        assert_eq!(read.unwrap(), 4);
        let storm = Storm::on_this_thread();
        let error = reader.read_interruptible(&mut buffer).unwrap_err();
        drop(storm);
        assert_eq!(error.kind(), ErrorKind::Interrupted);
    });
    let directory = scratch();
    let path = directory.path().join("fifo");
    let fifo = Fifo::create(&path, Mode::OWNER).unwrap();
    for form in ["block", "deadline"] {
        let mut child = test.child("read").arg(path.display()).arg(form).spawn();
        let writer = fifo.open_write().unwrap();
        child.expect("stormed");
        writer.write_all(b"calm").unwrap();
        child.succeed();
    }
}

#[test]
fn an_empty_fifo_makes_the_reader_wait_every_time() {
    let test = test!();
    test.role("read", |peer| {
        let reader = Fifo::open(peer.arg(0)).unwrap().open_read().unwrap();
        for _ in 0..3 {
            let mut buffer = [0; 8];
            let read = reader.read(&mut buffer).unwrap();
            peer.say(&read.to_string());
        }
    });
    let directory = scratch();
    let path = directory.path().join("fifo");
    let fifo = Fifo::create(&path, Mode::OWNER).unwrap();
    let mut child = test.child("read").arg(path.display()).spawn();
    let writer = fifo.open_write().unwrap();
    for piece in [&b"1"[..], b"22"] {
        child.wait_until_blocked_in(&[call::READ]);
        writer.write_all(piece).unwrap();
        child.expect(&piece.len().to_string());
    }
    // Not the third read only, as one text has it: it waits too, until there is no writer.
    child.wait_until_blocked_in(&[call::READ]);
    drop(writer);
    child.expect("0");
    child.succeed();
}

/// One text has it that a writer can end only when its data was read: it is the open that waits, not the end.
#[test]
fn a_writer_ends_though_nobody_has_read_yet() {
    let test = test!();
    if let Err(missing) = command("sh") {
        return test.skip(&missing);
    }
    let directory = scratch();
    let path = directory.path().join("fifo");
    let fifo = Fifo::create(&path, Mode::OWNER).unwrap();
    let mut reader = fifo.open_read_now().unwrap();
    let status = Command::new("sh").args(["-c", "echo hello > \"$0\""]).arg(&path).status();
    assert!(status.unwrap().success());
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello\n");
}

/// One text wants a pair of FIFOs for both directions, and it is right: what is written comes back to whoever reads.
#[test]
fn two_directions_take_two_fifos() {
    let test = test!();
    test.role("echo", |peer| {
        let reader = Fifo::open(peer.arg(0)).unwrap().open_read().unwrap();
        let writer = Fifo::open(peer.arg(1)).unwrap().open_write().unwrap();
        let mut buffer = [0; 4];
        while reader.read(&mut buffer).unwrap() == 4 {
            assert_eq!(&buffer, b"ping");
            writer.write_all(b"pong").unwrap();
        }
    });
    let directory = scratch();
    let there = Fifo::create(directory.path().join("there"), Mode::OWNER).unwrap();
    let back = Fifo::create(directory.path().join("back"), Mode::OWNER).unwrap();
    let child = test.child("echo").arg(there.path().display()).arg(back.path().display()).spawn();
    let writer = there.open_write().unwrap();
    let reader = back.open_read().unwrap();
    let mut buffer = [0; 4];
    for _ in 0..100 {
        writer.write_all(b"ping").unwrap();
        assert_eq!(reader.read(&mut buffer).unwrap(), 4);
        assert_eq!(&buffer, b"pong");
    }
    drop(writer);
    child.succeed();
}
