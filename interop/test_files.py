"""Large files through byte streams arrive bit by bit."""

import hashlib
import os
import random
import signal
import subprocess
import threading

from support import HOST, PATIENCE, PROGRAM, Case, connect, free_port, listener, wait_for
from support import wait_listening

BYTES = int(os.environ.get("TAUTLINE_INTEROP_BYTES", 1 << 30))
BLOCK = 1 << 20
RAW = "framing=raw"
LOSSLESS = f"{RAW}&policy=wait"

# A gigabyte in each direction on a busy machine.
LONG = 10 * PATIENCE


def blocks(total, seed=1):
    """`total` pseudo-random bytes in blocks, no two alike."""
    base = bytearray(random.Random(seed).randbytes(BLOCK))
    for number in range(0, total, BLOCK):
        base[:8] = (number ^ seed).to_bytes(8, "big")
        yield bytes(base[: min(BLOCK, total - number)])


class Sender(threading.Thread):
    """Writes pseudo-random bytes to a socket and hashes them; an error is raised by `digest`."""

    def __init__(self, sock, total):
        super().__init__(daemon=True)
        self.sock, self.total = sock, total
        self.sum, self.error = hashlib.sha256(), None
        self.start()

    def run(self):
        try:
            with self.sock:
                for block in blocks(self.total):
                    self.sum.update(block)
                    self.sock.sendall(block)
        except OSError as error:
            self.error = error

    def digest(self):
        self.join(LONG)
        if self.is_alive() or self.error:
            raise AssertionError(f"the sender did not get rid of its bytes: {self.error}")
        return self.sum.hexdigest()


def digest_of_socket(sock, total):
    """The hash of the next `total` bytes."""
    digest, left, buffer = hashlib.sha256(), total, bytearray(BLOCK)
    while left:
        count = sock.recv_into(buffer, min(BLOCK, left))
        if not count:
            raise AssertionError(f"the stream ended {left} bytes early")
        digest.update(memoryview(buffer)[:count])
        left -= count
    return digest.hexdigest()


def digest_of_file(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Files(Case):
    def write_file(self, total):
        path = self.folder / "source.bin"
        with path.open("wb") as file:
            file.writelines(blocks(total))
        return path

    def test_a_gigabyte_from_file_to_file_through_tcp_keeps_its_hash(self):
        """Proves that a file of a gigabyte that one relay reads and sends over TCP, and another one
        receives and writes, is the same file there."""
        digest, original = hashlib.sha256(), self.folder / "original.bin"
        with original.open("wb") as file:
            for block in blocks(BYTES):
                digest.update(block)
                file.write(block)
        port, copy = free_port(), self.folder / "copy.bin"
        receiving = self.relay(f"tcp-listen://{HOST}:{port}?{RAW}", f"file:{copy}?{LOSSLESS}")
        wait_listening(port)
        sending = self.relay(f"file:{original}?{RAW}", f"tcp://{HOST}:{port}?{LOSSLESS}")
        self.assertEqual(sending.wait(LONG), 0, str(sending))
        wait_for("the whole file", lambda: copy.stat().st_size >= BYTES, LONG)
        summary = self.finish(receiving)
        self.assertEqual(copy.stat().st_size, BYTES)
        self.assertEqual(digest_of_file(copy), digest.hexdigest())
        for endpoint in summary["endpoints"] + sending.last_report()["endpoints"]:
            self.assertEqual(endpoint["bytes"], BYTES, endpoint)

    def test_a_stream_through_tcp_keeps_its_hash(self):
        """Proves that nothing is lost, added or swapped between a TCP sender and a TCP receiver,
        and that the stream ends in order when the relay is asked to end."""
        total, port, there = BYTES // 4, free_port(), self.keep(listener())
        destination = f"tcp://{HOST}:{there.getsockname()[1]}?{LOSSLESS}"
        relay = self.relay(f"tcp-listen://{HOST}:{port}?{RAW}", destination)
        wait_listening(port)
        receiver = self.keep(there.accept()[0])
        receiver.settimeout(LONG)
        sender = Sender(connect(port), total)
        sender.sock.settimeout(LONG)
        received = digest_of_socket(receiver, total)
        self.assertEqual(received, sender.digest())
        summary = self.finish(relay)
        self.assertEqual(receiver.recv(1), b"")
        for endpoint in summary["endpoints"]:
            self.assertEqual(endpoint["bytes"], total, endpoint)

    def test_a_file_to_tcp_keeps_its_hash(self):
        """Proves that a file is sent whole to a receiver that is slower than the disk, and that
        the relay ends by itself when it has been."""
        path, there = self.write_file(BYTES // 8), self.keep(listener())
        destination = f"tcp://{HOST}:{there.getsockname()[1]}?{LOSSLESS}"
        relay = self.relay(f"file:{path}?{RAW}", destination)
        receiver = self.keep(there.accept()[0])
        receiver.settimeout(LONG)
        self.assertEqual(digest_of_socket(receiver, path.stat().st_size), digest_of_file(path))
        self.assertEqual(receiver.recv(1), b"")
        self.assertEqual(relay.wait(), 0, str(relay))
        self.assertEqual(relay.last_report()["kind"], "summary")

    def test_tcp_to_a_file_keeps_its_hash(self):
        """Proves that what a TCP sender sent before it closed lies in the file after the drain."""
        total, here = BYTES // 8, self.keep(listener())
        path = self.folder / "copy.bin"
        relay = self.relay(
            f"tcp://{HOST}:{here.getsockname()[1]}?{RAW}", f"file:{path}?{LOSSLESS}"
        )
        sender = Sender(here.accept()[0], total)
        digest = sender.digest()
        wait_for("the whole file", lambda: path.stat().st_size >= total, LONG)
        self.finish(relay, signal.SIGINT)
        self.assertEqual(path.stat().st_size, total)
        self.assertEqual(digest_of_file(path), digest)

    def test_a_pipe_through_stdin_and_stdout_keeps_every_byte(self):
        """Proves that the relay works inside a pipeline: bytes in, the same bytes out, reports on
        standard error, exit code 0 at the end of the input."""
        data = b"".join(blocks(BYTES // 256))
        done = subprocess.run(
            [PROGRAM, "relay", "--from", f"stdin:?{RAW}", "--to", f"stdout:?{LOSSLESS}"],
            input=data,
            capture_output=True,
            timeout=LONG,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(done.stdout), len(data))
        self.assertTrue(done.stdout == data)
        self.assertIn(b"summary", done.stderr)

    def test_a_framed_recording_plays_back_packet_by_packet(self):
        """Proves that datagram boundaries survive a file: recorded with length prefixes, played
        back to a subscriber as the same packets."""
        recording = self.folder / "recording.rtp"
        written = b"".join(
            len(packet).to_bytes(2, "big") + packet
            for packet in (random.Random(n).randbytes(1 + 37 * n) for n in range(200))
        )
        recording.write_bytes(written)
        there = self.keep(listener())
        relay = self.relay(
            f"file:{recording}", f"tcp://{HOST}:{there.getsockname()[1]}?policy=wait"
        )
        receiver = self.keep(there.accept()[0])
        receiver.settimeout(PATIENCE)
        got = bytearray()
        while len(got) < len(written) and (piece := receiver.recv(BLOCK)):
            got += piece
        self.assertTrue(bytes(got) == written)
        self.assertEqual(relay.wait(), 0, str(relay))
        self.assertEqual(relay.last_report()["endpoints"][1]["packets"], 200)
