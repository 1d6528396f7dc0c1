"""Exchange and gateway against a feed handler in Python, which knows the book's page on the market feed
alone, and against tshark."""

import signal
import socket
import struct
import threading
import time
import unittest

from support import (
    HOST,
    LENGTH,
    MOLD,
    PATIENCE,
    Case,
    connect,
    free_port,
    member,
    multicast_group,
    packets_of,
    read_exactly,
    read_to_end,
    wait_for,
    wait_joined,
)

REFUSAL = struct.Struct(">B10sQHQ")
QUOTE = struct.Struct(">cIBQQqQqQ")
LINES = {b"A": ">IQqIc", b"M": ">IQqI", b"D": ">IQ", b"T": ">IQqIQ", b"B": ">IQ", b"E": ">I"}
END = 65_535


def messages_of(packet):
    """Session, number of the first message, count, and the messages of a packet."""
    session, number, count = MOLD.unpack_from(packet)
    messages, at = [], MOLD.size
    for _ in range(0 if count == END else count):
        (length,) = LENGTH.unpack_from(packet, at)
        at += LENGTH.size
        messages.append(packet[at : at + length])
        at += length
    assert at == len(packet), "nothing is behind the messages"
    return session, number, count, messages


def fields(message):
    """The kind of a message, and its fields."""
    layout = LINES[message[:1]]
    assert struct.calcsize(layout) == len(message) - 1
    return message[:1], struct.unpack(layout, message[1:])


def frame(sock):
    """What stands behind its length on a connection."""
    (length,) = LENGTH.unpack(read_exactly(sock, LENGTH.size))
    return read_exactly(sock, length)


class Books:
    """Orders by instrument and number: side, price, quantity."""

    def __init__(self):
        self.orders = {}

    def apply(self, message):
        kind, (instrument, order, *rest) = fields(message)
        key = (instrument, order)
        if kind == b"A":
            price, quantity, side = rest
            assert key not in self.orders
            self.orders[key] = (side, price, quantity)
        elif kind == b"M":
            self.orders[key] = (self.orders[key][0], *rest)
        elif kind == b"D":
            del self.orders[key]
        else:
            side, limit, left = self.orders[key]
            price, quantity, _ = rest
            assert price == limit and 0 < quantity <= left
            if quantity == left:
                del self.orders[key]
            else:
                self.orders[key] = (side, limit, left - quantity)


class Market(Case):
    def setUp(self):
        super().setUp()
        self.groups = [multicast_group(), multicast_group()]
        self.port = free_port(socket.SOCK_DGRAM)
        self.replay, self.snapshot = free_port(), free_port()

    def places(self):
        lines = [f"mcast://{group}:{self.port}?iface=lo" for group in self.groups]
        servers = ("--replay", f"{HOST}:{self.replay}", "--snapshot", f"{HOST}:{self.snapshot}")
        return [part for line in lines for part in ("--line", line)] + list(servers)

    def exchange(self, *arguments):
        """Starts an exchange, and waits until it has said something."""
        process = self.tautline("exchange", "--json", *self.places(), *arguments)
        wait_for("the exchange", lambda: process.last_report().get("messages", 0) > 0)
        return process

    # ------------------------------------------------------------------------------- in Python

    def collect(self, sockets, seen, seconds):
        """Hears the lines for a while."""
        sessions, until = set(), time.monotonic() + seconds
        while time.monotonic() < until:
            for sock in sockets:
                try:
                    packet = sock.recv(2_000)
                except (BlockingIOError, TimeoutError):
                    continue
                session, number, _, messages = messages_of(packet)
                sessions.add(session)
                seen.update(enumerate(messages, number))
        (session,) = sessions
        return session

    def ask(self, session, missing, seen):
        """Asks for messages one run after the other, and takes what is answered."""
        with connect(self.replay) as sock:
            for first, count in runs(missing):
                sock.sendall(LENGTH.pack(MOLD.size) + MOLD.pack(session, first, count))
                while count:
                    answer = frame(sock)
                    self.assertEqual(answer[:1], b"P", answer)
                    _, number, _, messages = messages_of(answer[1:])
                    self.assertEqual(number, first)
                    seen.update(enumerate(messages, number))
                    first, count = first + len(messages), count - len(messages)

    def fetch(self):
        """A snapshot: its session, the number behind it, and its orders."""
        with connect(self.snapshot) as sock:
            sock.sendall(LENGTH.pack(1) + b"S")
            header = frame(sock)
            kind, session, following, instruments = struct.unpack(">c10sQI", header)
            self.assertEqual(kind, b"H")
            books, at = Books(), 0
            while (part := frame(sock))[:1] == b"M":
                kind, (instrument, *rest) = fields(part[1:])
                self.assertEqual(instrument, at)
                if kind == b"B":
                    self.assertEqual(rest, [following])
                elif kind == b"E":
                    at += 1
                else:
                    books.apply(part[1:])
            self.assertEqual((part[:1], at, len(part)), (b"E", instruments, 9))
            return session, following, books

    def test_python_builds_the_same_books(self):
        """Proves that a feed handler which knows nothing but the documented layouts has every message
        of lines that lose a tenth, by replay, and that its books are those of the snapshot."""
        sockets = [self.keep(member(group, self.port)) for group in self.groups]
        for sock in sockets:
            sock.settimeout(0.01)
        exchange = self.exchange("--loss", "10%", "--rate", "2k", "--instruments", "3")
        seen = {}
        session = self.collect(sockets, seen, 2)
        named, following, books = self.fetch()
        self.assertEqual(named, session)
        self.collect(sockets, seen, 0.3)
        missing = [number for number in range(1, following) if number not in seen]
        self.assertTrue(missing, "nothing was lost on both lines")
        self.ask(session, missing, seen)
        rebuilt = Books()
        for number in range(1, following):
            rebuilt.apply(seen[number])
        self.assertEqual(rebuilt.orders, books.orders)
        self.assertGreater(following, 2_000)
        summary = self.finish(exchange, kind="exchange-summary")
        self.assertGreater(summary["replay"]["requests"], 0)
        self.assertTrue(all(line["lost"] > 0 for line in summary["lines"]), summary)

    def test_what_cannot_be_answered_is_refused(self):
        """Proves that messages which are kept no longer, not sent yet, or of another session are
        refused, each with the reason and what there is."""
        sock = self.keep(member(self.groups[0], self.port))
        sock.settimeout(0.01)
        self.exchange("--history", "100", "--rate", "2k", "--loss", "0")
        session = self.collect([sock], {}, 1)
        with connect(self.replay) as server:
            cases = [(session, 1, 2), (session, 1 << 40, 3), (b"another   ", 1, 1)]
            for named, first, reason in cases:
                server.sendall(LENGTH.pack(MOLD.size) + MOLD.pack(named, first, 5))
                answer = frame(server)
                self.assertEqual(answer[:1], b"R")
                told, ours, refused, count, _ = REFUSAL.unpack(answer[1:])
                self.assertEqual((told, ours, refused, count), (reason, session, first, 5))

    # ------------------------------------------------------------------------------- gateway

    def subscribe(self, port):
        """Reads all that comes, on a thread; returns what waits for the end of it."""
        sock, read = self.keep(connect(port)), []
        thread = threading.Thread(target=lambda: read.append(read_to_end(sock)))
        thread.start()

        def stream():
            thread.join(PATIENCE)
            return read[0]

        return stream

    def test_a_gateway_has_the_books_of_the_exchange(self):
        """Proves that the gateway's books are those of the exchange at the end, though both lines
        have lost of it, and that a subscriber gets quotes which say so."""
        port = free_port()
        to = ("--to", f"tcp-listen://{HOST}:{port}")
        gateway = self.tautline("gateway", "--json", *self.places(), *to)
        for group in self.groups:
            wait_joined(group)
        exchange = self.exchange("--loss", "15%", "--reordering", "2%", "--rate", "5k")
        wait_for("sound books", lambda: gateway.last_report().get("sound"))
        stream = self.subscribe(port)
        wait_for("repairs", lambda: gateway.last_report().get("repaired", 0) > 50)
        ended = self.finish(exchange, kind="exchange-summary")
        following = ended["messages"] + 1
        wait_for("the end", lambda: gateway.last_report().get("next") == following)
        summary = self.finish(gateway, kind="gateway-summary")
        self.assertTrue(summary["sound"], summary)
        best = lambda report: [
            (it.get("bid"), it.get("ask"), it["orders"]) for it in report["instruments"]
        ]
        self.assertEqual(best(summary), best(ended))
        self.assertGreater(summary["replay"]["answers"], 0)
        latest, before = {}, None
        for packet in packets_of(stream()):
            quote = QUOTE.unpack(packet)
            self.assertEqual(quote[0], b"Q")
            self.assertTrue(before is None or quote[3] == before + 1, "none is missing")
            before = quote[3]
            latest[quote[1]] = quote
        for instrument, quote in latest.items():
            told = summary["instruments"][instrument]
            bid, ask = told.get("bid", [0, 0]), told.get("ask", [0, 0])
            self.assertEqual(list(quote[5:]), [*bid, *ask])
            self.assertTrue(quote[2] & 2, "it is sound")

    # ------------------------------------------------------------------------------- tshark

    def test_tshark_reads_the_feed(self):
        """Proves that tshark dissects the packets of the exchange as MoldUDP64, without a malformed
        one, heartbeats and the end of the session included."""
        self.need_tshark()
        file = self.folder / "feed.pcap"
        group = self.groups[0]
        recorder = self.mcast("recv", group, self.port, "--write", file)
        wait_joined(group)
        exchange = self.exchange("--rate", "20", "--loss", "0", "--heartbeat", "20ms", "--session", "42")
        time.sleep(1)
        self.finish(exchange, kind="exchange-summary")
        time.sleep(0.2)
        recorder.signal(signal.SIGTERM)
        self.assertEqual(recorder.wait(), 0, str(recorder))
        names = ["moldudp64.session", "moldudp64.count", "_ws.malformed"]
        names += ["moldudp64.msglen.invalid", "moldudp64.count.invalid"]
        rows = self.fields(file, *names, options=["-d", f"udp.port=={self.port},moldudp64"])
        self.assertGreater(len(rows), 20)
        self.assertEqual({tuple(row[2:]) for row in rows}, {("", "", "")})
        self.assertEqual({row[0] for row in rows}, {"0000000042"})
        counts = {int(row[1]) for row in rows}
        self.assertTrue({0, END} <= counts and len(counts) > 3, counts)


def runs(numbers):
    """Numbers in a row: the first, and how many."""
    found = []
    for number in numbers:
        if found and found[-1][0] + found[-1][1] == number:
            found[-1][1] += 1
        else:
            found.append([number, 1])
    return found


if __name__ == "__main__":
    unittest.main()
