//! What it costs to return from a function after a system call.
//!
//! `cargo bench -p twixt-os --bench first_return`
//!
//! The same two system calls, a message of 64 bytes sent and received by one thread, in four ways: as part of the loop, so
//! that nothing is returned from; from a function each, as the C library's are; from a function in a function; and that again
//! by [`twixt_os::Prepared`], which has the processor forget where the kernel's own calls were to return to. In short turns taken
//! alternately; the processor time of the thread, of the turns the median.

use std::hint::black_box;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};
use twixt_os::{Prepared, Room};
use twixt_testkit::turns::{median, time};

const MESSAGE: [u8; 64] = [7; 64];
const TURNS: usize = 2_001;
const ROUNDS_PER_TURN: u32 = 200;

fn main() {
    println!("64 bytes there and back in one thread, ns\n");
    println!(
        "{:<16}{:>8} {:>10} {:>12} {:>10}",
        "returns from", "nothing", "functions", "two each", "prepared"
    );
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let prepared = (
        |bytes: &[u8]| made(Prepared::write(writer.as_fd(), bytes)),
        |room: &mut [u8]| made(Prepared::read(reader.as_fd(), room)),
    );
    compare("pipe", |bytes| write(&writer, bytes), |room| read(&reader, room), prepared);
    for (name, kind) in [
        ("unix", SocketType::STREAM),
        ("unix-seqpacket", SocketType::SEQPACKET),
        ("unix-dgram", SocketType::DGRAM),
    ] {
        let (one, other) = socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap();
        let prepared = (
            |bytes: &[u8]| made(Prepared::send(one.as_fd(), bytes, SendFlags::NOSIGNAL)),
            |room: &mut [u8]| made(Prepared::receive(other.as_fd(), room, RecvFlags::empty())),
        );
        compare(name, |bytes| put(&one, bytes), |room| take(&other, room), prepared);
    }
}

#[inline(always)]
fn made(call: Prepared<'_>) {
    call.make().unwrap();
}

#[inline(always)]
fn write(fd: &OwnedFd, bytes: &[u8]) {
    rustix::io::write(fd, bytes).unwrap();
}

#[inline(always)]
fn read(fd: &OwnedFd, room: &mut [u8]) {
    rustix::io::read(fd, room).unwrap();
}

#[inline(always)]
fn put(fd: &OwnedFd, bytes: &[u8]) {
    send(fd, bytes, SendFlags::NOSIGNAL).unwrap();
}

#[inline(always)]
fn take(fd: &OwnedFd, room: &mut [u8]) {
    recv(fd, room, RecvFlags::empty()).unwrap();
}

fn compare(
    name: &str,
    send: impl Fn(&[u8]),
    receive: impl Fn(&mut [u8]),
    (prepared_send, prepared_receive): (impl Fn(&[u8]), impl Fn(&mut [u8])),
) {
    let mut room = Room::with_len(4096);
    let mut times = [const { Vec::new() }; 4];
    for _ in 0..TURNS {
        times[0].push(time(ROUNDS_PER_TURN, || {
            send(&MESSAGE);
            receive(&mut room);
        }));
        times[1].push(time(ROUNDS_PER_TURN, || {
            called(|| send(&MESSAGE));
            called(|| receive(&mut room));
        }));
        times[2].push(time(ROUNDS_PER_TURN, || {
            called_deep(|| send(&MESSAGE));
            called_deep(|| receive(&mut room));
        }));
        times[3].push(time(ROUNDS_PER_TURN, || {
            called_deep(|| prepared_send(&MESSAGE));
            called_deep(|| prepared_receive(&mut room));
        }));
    }
    let [nothing, functions, two, prepared] = times.map(median);
    println!("{name:<16}{nothing:>8.0} {functions:>10.0} {two:>12.0} {prepared:>10.0}");
}

#[inline(never)]
fn called(call: impl FnOnce()) {
    call();
}

#[inline(never)]
fn called_deep(call: impl FnOnce()) {
    called(call);
    // Not the last thing that is done, or the compiler would have the inner function return for both.
    black_box(());
}
