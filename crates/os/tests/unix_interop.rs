//! Unix sockets with the programs of others at the other end: socat, Python, C.

#[path = "support/sockets.rs"]
mod support;

use std::io::Write;
use std::process::Command;

use support::later;
use twixt_os::unix::{Address, Datagram, SeqpacketListener, Stream, StreamListener};
use twixt_testkit::{Child, command, compile_c, scratch, test};

const C_SERVER: &str = r#"
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
int main(int argc, char **argv) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char buffer[64];
    ssize_t n;
    int s = socket(AF_UNIX, SOCK_STREAM, 0), c;
    strcpy(a.sun_path, argv[1]);
    alarm(60);
    if (bind(s, (void *)&a, sizeof a) || listen(s, 1)) return 1;
    puts("listening");
    fflush(stdout);
    if ((c = accept(s, 0, 0)) < 0) return 2;
    while ((n = read(c, buffer, sizeof buffer)) > 0)
        for (ssize_t i = n - 1; i >= 0; i--)
            if (write(c, buffer + i, 1) != 1) return 3;
    return n == 0 ? 0 : 4;
}
"#;

#[test]
fn a_c_server_is_talked_to() {
    let _test = test!();
    let scratch = scratch();
    let program = compile_c(scratch.path(), "server", C_SERVER, &[]);
    let path = scratch.path().join("s");
    let mut command = Command::new(program);
    command.arg(&path);
    let mut server = Child::start(command);
    assert_eq!(server.line().as_deref(), Some("listening"));
    let stream = Stream::connect_deadline(&Address::path(&path).unwrap(), later()).unwrap();
    stream.send_all(b"drawer").unwrap();
    let mut buffer = [0; 6];
    stream.receive_exact_deadline(&mut buffer, later()).unwrap();
    assert_eq!(&buffer, b"reward");
    drop(stream);
    server.succeed();
}

#[test]
fn socat_talks_to_a_listener_by_path_and_by_abstract_name() {
    let test = test!();
    if let Err(missing) = command("socat") {
        return test.skip(&missing);
    }
    let scratch = scratch();
    let path = scratch.path().join("s");
    let name = twixt_testkit::unique_name();
    for (address, socat) in [
        (Address::path(&path).unwrap(), format!("UNIX-CONNECT:{}", path.display())),
        (Address::abstract_name(&name).unwrap(), format!("ABSTRACT-CONNECT:{name}")),
    ] {
        let listener = StreamListener::bind(&address).unwrap();
        let mut command = Command::new("socat");
        command.arg("-").arg(socat);
        let mut socat = Child::start(command);
        let mut server = listener.accept_deadline(later()).unwrap();
        server.write_all(b"from us\n").unwrap();
        assert_eq!(socat.line().as_deref(), Some("from us"));
        socat.tell("from socat");
        let mut buffer = [0; 11];
        server.receive_exact_deadline(&mut buffer, later()).unwrap();
        assert_eq!(&buffer, b"from socat\n");
        drop(server);
        socat.succeed();
    }
}

#[test]
fn python_talks_in_datagrams_and_packets() {
    let test = test!();
    if let Err(missing) = command("python3") {
        return test.skip(&missing);
    }
    let scratch = scratch();
    let python = |script: &str| {
        let mut command = Command::new("python3");
        command.args(["-c", script]).arg(scratch.path());
        Child::start(command)
    };
    let at = |name: &str| Address::path(scratch.path().join(name)).unwrap();

    let receiver = Datagram::bind(&at("ours")).unwrap();
    let child = python(
        "import socket,sys\nd=sys.argv[1]\ns=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM)\ns.bind(d+'/theirs')\n\
         s.sendto(b'hello',d+'/ours')\nassert s.recvfrom(100)==(b'HELLO',d+'/ours')",
    );
    let mut buffer = [0; 16];
    let (len, from) = receiver.receive_from_deadline(&mut buffer, later()).unwrap();
    assert_eq!((&buffer[..len], from), (&b"hello"[..], at("theirs")));
    receiver.send_to(b"HELLO", &from).unwrap();
    child.succeed();

    let listener = SeqpacketListener::bind(&at("packets")).unwrap();
    let child = python(
        "import socket,sys\ns=socket.socket(socket.AF_UNIX,socket.SOCK_SEQPACKET)\ns.connect(sys.argv[1]+'/packets')\n\
         s.send(b'one')\ns.send(b'')\ns.send(b'three')\nassert s.recv(100)==b'done'",
    );
    let server = listener.accept_deadline(later()).unwrap();
    for len in [3, 0, 5] {
        assert_eq!(server.receive_deadline(&mut buffer, later()).unwrap(), Some(len));
    }
    server.send(b"done").unwrap();
    assert_eq!(server.receive_deadline(&mut buffer, later()).unwrap(), None);
    child.succeed();
}
