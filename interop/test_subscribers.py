"""Ten thousand subscribers come, receive and leave, while one of them never reads."""

import os
import resource
import select
import socket

from support import HOST, PATIENCE, Case, connect, dial, framed, free_port, read_packet, reset
from support import udp_socket, wait_bound, wait_for, wait_listening

SUBSCRIBERS = int(os.environ.get("TAUTLINE_INTEROP_SUBSCRIBERS", 10_000))
PACKETS = 160
SIZE = 1_200
# Packets that the slowest reader may be behind. The queue holds twice that, so that only
# somebody who does not read can fill it.
WINDOW = 16
QUEUE = 2 * WINDOW
# Connections on their way at a time: fewer than any accept queue holds.
BATCH = 100
# Each brings its own range of ephemeral ports.
SOURCES = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"]
LONG = 6 * PATIENCE


def feed():
    """Packets that all differ, and the framed stream that each subscriber must see."""
    packets = [n.to_bytes(4, "big") + bytes([n % 251]) * (SIZE - 4) for n in range(PACKETS)]
    return packets, b"".join(map(framed, packets))


def raise_descriptor_limit(wanted):
    """Raises the limit of this process, which the relay inherits; the limit that there is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard >= wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    else:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
        except (ValueError, PermissionError):
            # Only root may raise the hard limit, and not beyond fs.nr_open.
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Readers:
    """Many subscribers on one epoll; each compares what comes with what must come."""

    def __init__(self, port, stream):
        self.port, self.stream = port, stream
        self.epoll = select.epoll()
        self.sockets = {}
        self.taken = {}

    def close(self):
        for sock in self.sockets.values():
            sock.close()
        self.epoll.close()

    def connect(self, count):
        """Connects `count` subscribers, some at a time."""
        for start in range(0, count, BATCH):
            for number in range(start, min(start + BATCH, count)):
                self.add(dial(self.port, SOURCES[number % len(SOURCES)]))

    def add(self, sock):
        sock.setblocking(False)
        self.sockets[sock.fileno()] = sock
        self.taken[sock.fileno()] = 0
        self.epoll.register(sock, select.EPOLLIN)

    def take_until(self, goal):
        """Reads until every subscriber has `goal` bytes of the stream."""
        behind = {fd for fd, taken in self.taken.items() if taken < goal}

        def all_there():
            for fd, _ in self.epoll.poll(0.1, 1_024):
                if self.take(fd) >= goal:
                    behind.discard(fd)
            return not behind

        wait_for(f"{len(self.taken)} subscribers have {goal} bytes", all_there, LONG)

    def take(self, fd):
        data = self.sockets[fd].recv(1 << 16)
        at = self.taken[fd]
        if not data:
            raise AssertionError(f"a subscriber was cut off after {at} bytes")
        if not self.stream.startswith(data, at):
            raise AssertionError(f"a subscriber got other bytes than were sent after byte {at}")
        self.taken[fd] = at + len(data)
        return self.taken[fd]

    def leave(self, count):
        """Closes `count` subscribers, one half of them with a reset."""
        for number, fd in enumerate(list(self.sockets)[:count]):
            self.epoll.unregister(fd)
            sock = self.sockets.pop(fd)
            del self.taken[fd]
            if number % 2:
                reset(sock)
            else:
                sock.close()


class Subscribers(Case):
    def start_relay(self, policy):
        source, port = free_port(socket.SOCK_DGRAM), free_port()
        options = f"queue={QUEUE}&policy={policy}&buffer=16KiB"
        relay = self.relay(f"udp://{HOST}:{source}", f"tcp-listen://{HOST}:{port}?{options}")
        wait_bound(source)
        wait_listening(port)
        return relay, source, port

    def wait_peers(self, relay, count):
        wait_for(f"{count} peers", lambda: relay.endpoint(1).get("peers") == count, LONG)

    def test_ten_thousand_come_and_go_while_one_never_reads(self):
        """Proves that with 10,000 subscribers, of whom one never reads and half leave halfway,
        everybody else gets every packet in order, and only the one who never reads loses any."""
        needed = SUBSCRIBERS + 200
        limit = raise_descriptor_limit(needed)
        if limit < needed:
            self.fail(
                f"RLIMIT_NOFILE is {limit}, {needed} are needed: raise ulimit -Hn, "
                "or set TAUTLINE_INTEROP_SUBSCRIBERS for fewer"
            )
        packets, stream = feed()
        relay, source, port = self.start_relay("drop-old")
        sender = self.keep(udp_socket())
        stuck = self.keep(dial(port, receive_buffer=4_096))
        readers = Readers(port, stream)
        self.addCleanup(readers.close)
        readers.connect(SUBSCRIBERS - 1)
        self.wait_peers(relay, SUBSCRIBERS)

        self.send(sender, source, packets, readers, 0, PACKETS // 2)
        readers.leave(SUBSCRIBERS // 2)
        self.wait_peers(relay, SUBSCRIBERS - SUBSCRIBERS // 2)
        self.send(sender, source, packets, readers, PACKETS // 2, PACKETS)

        summary = self.finish(relay)
        self.assert_only_the_stuck_one_lost(summary, stuck)

    def send(self, sender, source, packets, readers, start, end):
        """Sends packets in windows: the next one leaves when all have the one before."""
        for first in range(start, end, WINDOW):
            last = min(first + WINDOW, end)
            for packet in packets[first:last]:
                sender.sendto(packet, (HOST, source))
            readers.take_until(last * (SIZE + 2))

    def assert_only_the_stuck_one_lost(self, summary, stuck):
        destination = summary["endpoints"][1]
        lost = sum(destination["drops"].values())
        self.assertGreater(lost, 0, destination)
        self.assertLessEqual(lost, PACKETS, destination)
        stuck.settimeout(PATIENCE)
        try:
            self.assertLess(len(b"".join(iter(lambda: stuck.recv(1 << 16), b""))), PACKETS * SIZE)
        except ConnectionResetError:
            pass

    def test_disconnect_cuts_off_only_who_never_reads(self):
        """Proves that the policy `disconnect` ends the slow subscriber's connection, counts it,
        and spares the other."""
        packets, stream = feed()
        relay, source, port = self.start_relay("disconnect")
        sender = self.keep(udp_socket())
        self.keep(dial(port, receive_buffer=4_096))
        readers = Readers(port, stream)
        self.addCleanup(readers.close)
        readers.connect(1)
        self.wait_peers(relay, 2)
        self.send(sender, source, packets, readers, 0, PACKETS)
        self.wait_peers(relay, 1)
        self.assertEqual(self.finish(relay)["endpoints"][1]["disconnects"], 1)

    def test_subscribers_beyond_the_limit_are_turned_away(self):
        """Proves that `?subscribers=` bounds them, and that a place that became free is given
        to the next."""
        source, port = free_port(socket.SOCK_DGRAM), free_port()
        relay = self.relay(
            f"udp://{HOST}:{source}", f"tcp-listen://{HOST}:{port}?subscribers=1"
        )
        wait_bound(source)
        wait_listening(port)
        sender, first = self.keep(udp_socket()), self.keep(connect(port))
        self.wait_peers(relay, 1)
        with connect(port) as second:
            try:
                self.assertEqual(second.recv(1), b"")
            except ConnectionResetError:
                pass
        first.close()
        self.wait_peers(relay, 0)
        third = self.keep(connect(port))
        self.wait_peers(relay, 1)
        sender.sendto(b"for the third", (HOST, source))
        self.assertEqual(read_packet(third), b"for the third")
