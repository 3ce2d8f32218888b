"""A party of the benchmark, over Python's multiprocessing. Speaks as crates/bench/src/party.rs says.

`python`      multiprocessing.connection over a Unix socket: what Pipe, Queue and Manager are made of. send_bytes and
              recv_bytes, which do without pickle. recv_bytes_into would copy once more than recv_bytes.
`python-shm`  multiprocessing.shared_memory: a ring of slots, each with its number in front, written and read through a
              memoryview. multiprocessing has nothing in shared memory that one can wait on across unrelated processes, so
              this spins; the order of two stores is the processor's, which is why it wants x86-64.

Each message is written by one call that writes every byte, and read by one that compares every byte: loops over bytes in
Python would measure Python's loops. Garbage collection is off, as timeit has it.
"""

import gc
import json
import os
import resource
import struct
import sys
import time
from multiprocessing import shared_memory
from multiprocessing.connection import Client, Listener, wait

STOP = (1 << 64) - 1
MASK = STOP
PUBLISHER = 48
NUMBERS = (1 << PUBLISHER) - 1
WORD = struct.Struct("=Q")
# For how long an adaptive wait tries before it sleeps; as in crates/bench/src/patience.rs.
TRYING_NS = 20_000
now_ns = time.monotonic_ns


class Wrong(Exception):
    """Messages came wrong."""


class Unsupported(Exception):
    """It cannot be done."""


class Message:
    """What messages hold: their number over and over, or once."""

    def __init__(self, size, touch):
        self.size = size
        self.touched = size if touch == "all" else min(size, 8)
        self.words, self.rest = divmod(self.touched, 8)
        self.buffer = bytearray(size)
        self.is_whole = self.touched == size

    def of(self, number):
        """The bytes of a message."""
        word = WORD.pack(number)
        filled = word * self.words + word[: self.rest] if self.rest else word * self.words
        if self.is_whole:
            return filled
        self.buffer[: self.touched] = filled
        return self.buffer

    def number_in(self, data):
        """The number of a message, of which every byte is looked at."""
        if len(data) != self.size:
            raise Wrong(f"a message of {self.size} bytes is {len(data)} long")
        (number,) = WORD.unpack_from(data)
        if self.touched > 8:
            word = WORD.pack(number)
            expected = word * self.words + word[: self.rest] if self.rest else word * self.words
            if data != expected:
                raise Wrong(f"message {number & NUMBERS} is torn")
        return number


class Incoming:
    """What a receiver expects, and what it has had."""

    def __init__(self, workload):
        self.next = [0] * workload["publishers"]
        self.is_shared = workload["pattern"] == "work"
        self.received = 0
        self.numbers = []
        self.has_stopped = False

    def take(self, number):
        if number == STOP:
            self.has_stopped = True
            return
        publisher, low = number >> PUBLISHER, number & NUMBERS
        if publisher >= len(self.next):
            raise Wrong(f"a message is torn: it says that publisher {publisher} sent it")
        expected = self.next[publisher]
        if low < expected or (low > expected and not self.is_shared):
            raise Wrong(f"message {low} is out of order; {expected} was the next")
        self.next[publisher] = low + 1
        self.received += 1
        if self.is_shared:
            self.numbers.append(number)

    def digest(self):
        return digest(self.numbers if self.is_shared else range(self.received))


def digest(numbers):
    """A sum over numbers that tells apart which they were."""
    total = 0
    for number in numbers:
        total += number * (number ^ 0x9E37_79B9_7F4A_7C15)
    return total & MASK


def usage():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return time.process_time_ns(), used.ru_nvcsw, used.ru_nivcsw


def used_since(before):
    cpu, voluntary, involuntary = (now - then for now, then in zip(usage(), before))
    return {"cpu_ns": cpu, "voluntary": voluntary, "involuntary": involuntary}


def stamp(at_ns, messages):
    return {"at_ns": at_ns, "messages": messages}


def outcome(**fields):
    nothing = {"cpu_ns": 0, "voluntary": 0, "involuntary": 0}
    empty = {
        "sent": 0, "received": 0, "skipped": 0, "digest": 0, "first": stamp(0, 0), "last": stamp(0, 0),
        "usage": nothing, "round_trips": [], "wrong": None,
    }
    return {**empty, **fields}


class Connections:
    """multiprocessing.connection: one connection between each publisher and each subscriber."""

    def __init__(self, setup):
        self.setup = setup
        self.listener = None
        if "subscriber" in setup["role"]:
            self.listener = Listener(self.path(setup["role"]["subscriber"]), family="AF_UNIX", backlog=128)

    def path(self, index):
        return os.path.join(self.setup["directory"], str(index))

    def connect(self):
        workload = self.setup["workload"]
        if self.listener is not None:
            self.links = [self.listener.accept() for _ in range(workload["publishers"])]
        else:
            self.links = [Client(self.path(index), family="AF_UNIX") for index in range(workload["subscribers"])]
        self.is_broadcast = workload["pattern"] == "fanout"
        self.turn = 0
        self.message = Message(workload["size"], workload["touch"])
        self.has_stopped = False
        # With more parties than CPUs nothing comes while one spins.
        self.waiting = workload["waiting"]
        if self.setup["is_crowded"] and self.waiting == "adaptive":
            self.waiting = "block"
        if len(self.links) == 1 and self.waiting == "block":
            # The shortest way for the commonest case.
            link = self.links[0]
            self.receive = lambda: self.message.number_in(link.recv_bytes())

    def send(self, number):
        # There is no way to send without waiting: a socket without room lets it sleep, however it is to wait.
        data = self.message.of(number)
        if self.is_broadcast:
            for link in self.links:
                link.send_bytes(data)
            return
        self.links[self.turn].send_bytes(data)
        self.turn = (self.turn + 1) % len(self.links)

    def send_stop(self):
        data = self.message.of(STOP)
        for link in self.links:
            link.send_bytes(data)

    def receive(self):
        if self.has_stopped:
            # One of several publishers says that all have sent everything; what the others have sent is still here.
            for link in self.links:
                while link.poll():
                    number = self.message.number_in(link.recv_bytes())
                    if number != STOP:
                        return number
            return STOP
        number = self.message.number_in(self.ready().recv_bytes())
        if number == STOP and len(self.links) > 1:
            self.has_stopped = True
            return self.receive()
        return number

    def ready(self):
        """A connection that has something."""
        if self.waiting == "spin":
            return self.spin(None)
        if self.waiting == "adaptive":
            link = self.spin(now_ns() + TRYING_NS)
            if link is not None:
                return link
        if len(self.links) == 1:
            return self.links[0]
        return wait(self.links)[0]

    def spin(self, end):
        while True:
            for link in self.links:
                if link.poll():
                    return link
            if end is not None and now_ns() >= end:
                return None
            if self.setup["is_crowded"]:
                os.sched_yield()

    def close(self):
        for link in self.links:
            link.close()
        if self.listener is not None:
            self.listener.close()


class Ring:
    """A ring of slots: a word that is one more than the message's place in the order, then the message."""

    HEAD = 64  # Behind a line of its own that the reader writes its position to.

    def __init__(self, name, size, slots, makes):
        self.stride = (8 + size + 63) // 64 * 64
        self.slots = slots
        self.size = size
        length = self.HEAD + self.stride * slots
        self.memory = shared_memory.SharedMemory(name=name, create=makes, size=length if makes else 0)
        if not makes:
            forget(self.memory)
        self.makes = makes
        view = self.memory.buf
        self.read = view[:8].cast("Q")
        starts = range(self.HEAD, self.HEAD + self.stride * slots, self.stride)
        self.words = [view[start : start + 8].cast("Q") for start in starts]
        self.rooms = [view[start + 8 : start + 8 + size] for start in starts]
        self.position = 0
        self.limit = slots

    def try_send(self, data):
        if self.position == self.limit:
            self.limit = self.read[0] + self.slots
            if self.position == self.limit:
                return False
        slot = self.position % self.slots
        self.rooms[slot][:] = data
        self.position += 1
        self.words[slot][0] = self.position
        return True

    def try_receive(self, message):
        slot = self.position % self.slots
        if self.words[slot][0] != self.position + 1:
            return None
        # A memoryview compares item by item, bytes as memory.
        number = message.number_in(bytes(self.rooms[slot]))
        self.position += 1
        self.read[0] = self.position
        return number

    def close(self):
        for view in (self.read, *self.words, *self.rooms):
            view.release()
        self.memory.close()
        if self.makes:
            self.memory.unlink()


def forget(memory):
    """Who has only opened it must not remove it: before 3.13 the resource tracker does so."""
    from multiprocessing import resource_tracker

    resource_tracker.unregister(memory._name, "shared_memory")


class Rings:
    """A ring for each subscriber, and one back in a round trip."""

    def __init__(self, setup):
        self.setup = setup
        workload, role = setup["workload"], setup["role"]
        # Two stores come in their order, and 8 bytes at once: so it is on x86-64.
        if os.uname().machine != "x86_64":
            raise Unsupported("shared memory has nothing that orders stores on this machine")
        size = workload["size"]
        room = setup["capacity"] or 4 << 20
        self.slots = max(2, min(1024, room // size)) if setup["capacity"] is None else max(2, room // size)
        self.is_publisher = "publisher" in role
        self.is_round_trip = workload["pattern"] == "rtt"
        self.own = None
        if not self.is_publisher:
            self.own = self.ring(role["subscriber"], True)
        elif self.is_round_trip:
            self.own = self.ring(1, True)

    def ring(self, index, makes):
        return Ring(f"{self.setup['name']}-{index}", self.setup["workload"]["size"], self.slots, makes)

    def connect(self):
        workload = self.setup["workload"]
        self.message = Message(workload["size"], workload["touch"])
        self.others = []
        if self.is_publisher:
            self.others = [self.ring(index, False) for index in range(workload["subscribers"])]
        elif self.is_round_trip:
            self.others = [self.ring(1, False)]

    def send(self, number):
        data = self.message.of(number)
        for ring in self.others:
            while not ring.try_send(data):
                self.relax()

    send_stop = None  # Set below: the same as another message.

    def receive(self):
        receive, message = self.own.try_receive, self.message
        number = receive(message)
        while number is None:
            self.relax()
            number = receive(message)
        return number

    def relax(self):
        if self.setup["is_crowded"]:
            os.sched_yield()

    def close(self):
        for ring in (*self.others, *([self.own] if self.own else [])):
            ring.close()


Rings.send_stop = lambda self: self.send(STOP)


def produce(link, workload, publisher, warm_up, count):
    first, before = None, usage()
    base, total, send = publisher << PUBLISHER, warm_up + count, link.send
    for number in range(warm_up):
        send(base | number)
    before, first = usage(), stamp(now_ns(), warm_up)
    for number in range(warm_up, total):
        send(base | number)
    used, last = used_since(before), stamp(now_ns(), total)
    if workload["publishers"] == 1:
        link.send_stop()
    sent = digest(range(base, base + total))
    return outcome(sent=total, digest=sent, first=first, last=last, usage=used)


def consume(link, workload, warm_up):
    if workload["pattern"] == "work":
        warm_up //= workload["subscribers"]
    incoming, receive = Incoming(workload), link.receive
    take = incoming.take
    first = last = stamp(0, 0)
    before = None
    due, stride = max(warm_up, 1), max(1, min(256, (1 << 14) // max(workload["size"], 64)))
    used = outcome()["usage"]
    wrong = None
    try:
        while not incoming.has_stopped:
            take(receive())
            if incoming.received >= due:
                last = stamp(now_ns(), incoming.received)
                if before is None:
                    first, before = last, usage()
                used = used_since(before)
                due = incoming.received + stride
    except Wrong as what:
        wrong = str(what)
    return outcome(
        received=incoming.received, digest=incoming.digest(), first=first, last=last, usage=used, wrong=wrong
    )


def ping(link, workload, warm_up, count):
    incoming, times = Incoming(workload), [0] * count
    send, receive, take = link.send, link.receive, incoming.take
    for number in range(warm_up):
        send(number)
        take(receive())
    clock = clock_cost()
    before, last = usage(), now_ns()
    first = stamp(last, warm_up)
    for index in range(count):
        send(warm_up + index)
        take(receive())
        now = now_ns()
        times[index] = now - last
        last = now
    used, total = used_since(before), warm_up + count
    histogram = {}
    for took in times:
        took = max(took - clock, 1)
        # Three digits.
        shift = max(0, took.bit_length() - 11)
        bucket = took >> shift << shift
        histogram[bucket] = histogram.get(bucket, 0) + 1
    return outcome(
        sent=total, received=incoming.received, digest=incoming.digest(), first=first, last=stamp(last, total),
        usage=used, round_trips=sorted(histogram.items()),
    )


def pong(link, workload, warm_up, count):
    incoming, total = Incoming(workload), warm_up + count
    send, receive, take = link.send, link.receive, incoming.take
    before, first = usage(), stamp(now_ns(), 0)
    for number in range(total):
        if number == warm_up:
            before, first = usage(), stamp(now_ns(), number)
        take(receive())
        send(number)
    used = used_since(before)
    return outcome(
        sent=total, received=incoming.received, digest=incoming.digest(), first=first,
        last=stamp(now_ns(), total), usage=used,
    )


def clock_cost():
    """The nanoseconds of a look at the clock, of which each round trip has one."""
    looks, best = 256, None
    for _ in range(16):
        start = now_ns()
        for _ in range(looks):
            now_ns()
        cost = (now_ns() - start) // looks
        best = cost if best is None else min(best, cost)
    return best


def say(what):
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def hear():
    line = sys.stdin.readline()
    return json.loads(line) if line else None


def play(setup):
    workload, role = setup["workload"], setup["role"]
    if setup["cpu"] is not None:
        os.sched_setaffinity(0, {setup["cpu"]})
    link = (Rings if setup["transport"] == "python-shm" else Connections)(setup)
    say("prepared")
    if hear() != "connect":
        return
    link.connect()
    say("connected")
    cue = hear()
    if cue is None:
        return
    warm_up, count = cue["run"]["warm_up"], cue["run"]["count"]
    is_publisher = "publisher" in role
    gc.disable()
    if workload["pattern"] == "rtt":
        done = (ping if is_publisher else pong)(link, workload, warm_up, count)
    elif is_publisher:
        done = produce(link, workload, role["publisher"], warm_up, count)
    else:
        done = consume(link, workload, warm_up)
    say({"done": done})
    while hear() == "stop":
        if is_publisher:
            try:
                link.send_stop()
            except (BrokenPipeError, ConnectionResetError):
                pass  # Who has gone has heard.
    link.close()


def main():
    try:
        play(json.loads(sys.argv[1]))
    except Unsupported as why:
        say({"failed": {"what": str(why), "kind": "unsupported"}})
    except Wrong as what:
        say({"failed": {"what": str(what), "kind": "wrong"}})
    except Exception as error:
        say({"failed": {"what": f"{type(error).__name__}: {error}", "kind": "failed"}})
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
