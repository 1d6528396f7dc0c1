"""What every test against real peers needs: the program as a process, ports, bounded waits."""

import itertools
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

IP_BIND_ADDRESS_NO_PORT = 24

# The header of a MoldUDP64 packet, and what stands before each message.
MOLD = struct.Struct(">10sQH")
LENGTH = struct.Struct(">H")

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = pathlib.Path(os.environ.get("TAUTLINE", ROOT / "target/release/tautline")).resolve()
HOST = "127.0.0.1"

# Nothing here is measured: the limit is what a busy machine may take at worst.
PATIENCE = float(os.environ.get("TAUTLINE_PATIENCE", "30"))

# Under a shell without job control SIGINT is ignored, and the program would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def wait_for(what, condition, patience=PATIENCE):
    """The first true value of `condition`; fails, naming `what`, when patience is at its end."""
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {patience:.0f} s")
        time.sleep(0.01)


_given = set()


def free_port(kind=socket.SOCK_STREAM, span=1):
    """A port that is free now, with `span - 1` free ones after it, and is given out only once."""
    for _ in range(1_000):
        with socket.socket(socket.AF_INET, kind) as first:
            first.bind((HOST, 0))
            port = first.getsockname()[1]
            wanted = range(port, port + span)
            if _given.isdisjoint(wanted) and all(_is_free(p, kind) for p in wanted[1:]):
                _given.update(wanted)
                return port
    raise AssertionError(f"no {span} free ports in a row")


def _is_free(port, kind):
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def is_bound(table, port, state):
    """Whether the kernel lists a socket on `port`: looking disturbs nobody, connecting would."""
    lines = pathlib.Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    fields = (line.split() for line in lines)
    return any(int(f[1].rsplit(":", 1)[1], 16) == port and f[3] == state for f in fields)


def wait_listening(port):
    """Returns once somebody listens on this TCP port."""
    wait_for(f"TCP port {port} listens", lambda: is_bound("tcp", port, "0A"))


def wait_refused(port):
    """Returns once nobody listens on this TCP port any more."""
    wait_for(f"TCP port {port} is free", lambda: not is_bound("tcp", port, "0A"))


def wait_bound(port):
    """Returns once somebody has bound this UDP port."""
    wait_for(f"UDP port {port} is bound", lambda: is_bound("udp", port, "07"))


def udp_socket(port=0):
    """A bound UDP socket with a roomy receive buffer."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
    sock.settimeout(PATIENCE)
    sock.bind((HOST, port))
    return sock


_groups = itertools.count(1)


def multicast_group():
    """A group that no other test has; the port is for the caller to choose."""
    low = next(_groups)
    return f"239.{192 + low // 250}.{os.getpid() % 250 + 1}.{low % 250 + 1}"


def members(group):
    """How many sockets have joined an IPv4 group, as the kernel lists them."""
    name = f"{int.from_bytes(socket.inet_aton(group), sys.byteorder):08X}"
    fields = (line.split() for line in pathlib.Path("/proc/net/igmp").read_text().splitlines())
    return sum(int(f[1]) for f in fields if f and f[0] == name)


def wait_joined(group, count=1):
    """Returns once so many sockets have joined the group."""
    wait_for(f"{count} members of {group}", lambda: members(group) >= count)


def member(group, port):
    """A socket that has joined a group on the loopback interface."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
    sock.settimeout(PATIENCE)
    sock.bind((group, port))
    both = socket.inet_aton(group) + socket.inet_aton(HOST)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, both)
    return sock


def group_sender(source=HOST):
    """A socket that sends to groups by the loopback interface."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(HOST))
    sock.bind((source, 0))
    return sock


def listener(port=0):
    """A listening TCP socket."""
    sock = socket.create_server((HOST, port), backlog=64)
    sock.settimeout(PATIENCE)
    return sock


def connect(port):
    """A connected TCP socket."""
    return socket.create_connection((HOST, port), timeout=PATIENCE)


def dial(port, source=HOST, receive_buffer=None):
    """A subscriber from a source address of its own."""
    sock = socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    sock.bind((source, 0))
    sock.settimeout(PATIENCE)
    sock.connect((HOST, port))
    return sock


def reset(sock):
    """Closes with a reset instead of an orderly end."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def framed(packet):
    """A packet with its two-byte length in front (RFC 4571)."""
    return struct.pack(">H", len(packet)) + packet


def read_exactly(sock, count):
    """Exactly `count` bytes; fails when the stream ends before."""
    data = bytearray()
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            raise AssertionError(f"the stream ended after {len(data)} of {count} bytes")
        data += piece
    return bytes(data)


def read_packet(sock):
    """The next packet of a framed stream."""
    return read_exactly(sock, struct.unpack(">H", read_exactly(sock, 2))[0])


def read_to_end(sock):
    """Everything up to the orderly end."""
    return b"".join(iter(lambda: sock.recv(1 << 16), b""))


def packets_of(stream):
    """The packets of a framed stream; fails when it does not end with a whole one."""
    packets, at = [], 0
    while at < len(stream):
        end = at + 2 + int.from_bytes(stream[at : at + 2], "big")
        if at + 2 > len(stream) or end > len(stream):
            raise AssertionError("the stream ends inside a packet")
        packets.append(stream[at + 2 : end])
        at = end
    return packets


class Process:
    """A running peer or the program itself; its output goes to files, so that nothing blocks."""

    def __init__(self, folder, arguments, descriptors=None, stdin=subprocess.DEVNULL):
        name = pathlib.Path(arguments[0]).name
        number = next(_numbers)
        self.arguments = [str(argument) for argument in arguments]
        self.out = pathlib.Path(folder) / f"{number}-{name}.out"
        self.err = pathlib.Path(folder) / f"{number}-{name}.err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.child = subprocess.Popen(
                self.arguments,
                stdin=stdin,
                stdout=out,
                stderr=err,
                preexec_fn=_limit(descriptors),
            )

    def __str__(self):
        return f"{' '.join(self.arguments)}\n--- stderr\n{self.errors()[-4000:]}"

    def output(self):
        """Standard output so far."""
        return self.out.read_text(errors="replace")

    def errors(self):
        """Standard error so far."""
        return self.err.read_text(errors="replace")

    def is_running(self):
        """Whether it has not ended yet."""
        return self.child.poll() is None

    def signal(self, number):
        """Sends a signal."""
        self.child.send_signal(number)

    def wait(self, patience=PATIENCE):
        """The exit code; fails when it does not end."""
        try:
            return self.child.wait(patience)
        except subprocess.TimeoutExpired as late:
            self.kill()
            raise AssertionError(f"did not end within {patience:.0f} s: {self}") from late

    def kill(self):
        """Ends it without mercy, if it has not ended by itself."""
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()

    def reports(self):
        """The JSON objects printed so far, whole lines only."""
        lines = self.output().split("\n")[:-1]
        return [json.loads(line) for line in lines if line.startswith("{")]

    def last_report(self):
        """The newest JSON object, or an empty one."""
        reports = self.reports()
        return reports[-1] if reports else {}

    def endpoint(self, index):
        """The newest state of an endpoint: 0 is the source, then the destinations in order."""
        endpoints = self.last_report().get("endpoints", [])
        return endpoints[index] if index < len(endpoints) else {}


_numbers = itertools.count(1)


def _limit(descriptors):
    if descriptors is None:
        return None
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))


class Case(unittest.TestCase):
    """A test that stops what it started and leaves no file behind."""

    @classmethod
    def setUpClass(cls):
        if not PROGRAM.is_file():
            raise AssertionError(f"{PROGRAM} is missing: cargo build --release -p tautline")

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="tautline-interop-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def start(self, *arguments, **options):
        """Starts a process that is ended with the test at the latest."""
        process = Process(self.folder, arguments, **options)
        self.addCleanup(process.kill)
        return process

    def tautline(self, *arguments, **options):
        """Starts the program."""
        return self.start(PROGRAM, *arguments, **options)

    def relay(self, source, *destinations, arguments=(), **options):
        """Starts a relay that reports in JSON."""
        to = [part for url in destinations for part in ("--to", url)]
        return self.tautline("relay", "--json", "--from", source, *to, *arguments, **options)

    def mcast(self, command, group, port, *arguments, **options):
        """Starts a tool for multicast on the loopback interface."""
        at = (f"{group}:{port}", "--iface", "lo")
        return self.tautline("mcast", command, *at, *arguments, **options)

    def summary_of(self, process, kind="summary"):
        """The last report of a process that ends in order."""
        self.assertEqual(process.wait(), 0, str(process))
        summary = process.last_report()
        self.assertEqual(summary.get("kind"), kind, str(process))
        return summary

    def keep(self, sock):
        """Closes the socket with the test."""
        self.addCleanup(sock.close)
        return sock

    def finish(self, process, number=signal.SIGTERM, kind="summary"):
        """Ends a process in order and returns its summary."""
        process.signal(number)
        return self.summary_of(process, kind)

    def need_tshark(self):
        """Skips the test where there is no tshark; with CI set the test fails then."""
        if shutil.which("tshark") is None and not os.environ.get("CI"):
            self.skipTest("there is no tshark (package tshark)")

    def tshark(self, file, *arguments):
        """What tshark prints of a capture, line by line; every checksum is looked at."""
        checks = [f"{layer}.check_checksum:TRUE" for layer in ("ip", "udp")]
        options = [part for check in checks for part in ("-o", check)]
        done = subprocess.run(
            ["tshark", "-n", "-r", str(file), *options, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.splitlines()

    def fields(self, file, *names, options=()):
        """The fields of each packet of a capture."""
        wanted = [part for name in names for part in ("-e", name)]
        lines = self.tshark(file, *options, "-T", "fields", *wanted)
        return [line.split("\t") for line in lines]

    def assert_refused(self, process, code, *names):
        """The process ends with `code`, and its one line on standard error holds `names`."""
        self.assertEqual(process.wait(), code, str(process))
        errors = process.errors()
        self.assertEqual(len(errors.splitlines()), 1, errors)
        self.assertTrue(errors.startswith("tautline: "), errors)
        for name in names:
            self.assertIn(str(name), errors)
