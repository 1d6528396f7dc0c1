"""Peers and machines at their worst: refused, taken, exhausted, reset, lying."""

import os
import socket
import struct
import unittest

from support import HOST, Case, connect, framed, free_port, listener, read_packet, reset
from support import udp_socket, wait_bound, wait_for, wait_listening

SLOW_DEMO = "demo:?rate=100&size=64"


class Refused(Case):
    def test_a_closed_port_is_tried_again_until_it_opens(self):
        """Proves that a destination that refuses is reported by name, does not end the relay, and
        gets the feed once it listens; and again after it went away."""
        port = free_port()
        relay = self.relay(SLOW_DEMO, f"tcp://{HOST}:{port}")
        wait_for("the refusal", lambda: "refused" in relay.endpoint(1).get("error", "").lower())
        self.assertTrue(relay.is_running(), str(relay))
        for _ in range(2):
            with listener(port) as there, there.accept()[0] as subscriber:
                self.assertEqual(read_packet(subscriber)[:4], b"TLDF")
        wait_for("the reconnect", lambda: relay.endpoint(1).get("reconnects", 0) >= 1)
        self.finish(relay)

    def test_a_source_that_refuses_is_tried_again(self):
        """Proves that a relay started before its source waits for it."""
        port, there = free_port(), self.keep(listener())
        relay = self.relay(f"tcp://{HOST}:{port}", f"tcp://{HOST}:{there.getsockname()[1]}")
        subscriber = self.keep(there.accept()[0])
        wait_for("the refusal", lambda: "refused" in relay.endpoint(0).get("error", "").lower())
        with listener(port) as late, late.accept()[0] as source:
            source.sendall(framed(b"better late"))
            self.assertEqual(read_packet(subscriber), b"better late")
        self.finish(relay)


class Taken(Case):
    def test_a_taken_tcp_port_is_named(self):
        """Proves that a destination's port in use ends the start with one line and exit code 1."""
        port = self.keep(listener()).getsockname()[1]
        relay = self.relay(SLOW_DEMO, f"tcp-listen://{HOST}:{port}")
        self.assert_refused(relay, 1, port)

    def test_a_taken_udp_port_is_named(self):
        """Proves the same of a source's UDP port."""
        port = self.keep(udp_socket()).getsockname()[1]
        relay = self.relay(f"udp://{HOST}:{port}", f"udp://{HOST}:{free_port()}")
        self.assert_refused(relay, 1, port)

    def test_a_missing_file_is_named(self):
        """Proves that a source file that is not there ends the start with exit code 1."""
        missing = self.folder / "missing.bin"
        relay = self.relay(f"file:{missing}", f"udp://{HOST}:{free_port()}")
        self.assert_refused(relay, 1, missing)

    def test_a_folder_that_is_not_there_is_named(self):
        """Proves the same of a destination file in no folder."""
        nowhere = self.folder / "none" / "copy.bin"
        self.assert_refused(self.relay(SLOW_DEMO, f"file:{nowhere}"), 1, nowhere)

    @unittest.skipUnless(os.path.exists("/dev/full"), "there is no /dev/full here")
    def test_a_full_disk_is_named(self):
        """Proves that a file that cannot be written at run time is named and gives exit code 1."""
        relay = self.relay(SLOW_DEMO, "file:/dev/full")
        self.assertEqual(relay.wait(), 1, str(relay))
        self.assertIn("/dev/full", relay.errors())

    def test_an_unknown_name_is_named(self):
        """Proves that a host that no resolver knows is named in the error."""
        relay = self.relay(SLOW_DEMO, "tcp://no-such-host.invalid:9")
        wait_for("the error", lambda: relay.endpoint(1).get("error") or relay.errors())
        self.assertIn("no-such-host.invalid", relay.endpoint(1).get("error", "") + relay.errors())


class Exhausted(Case):
    def test_too_few_descriptors_to_start(self):
        """Proves that limits too low for a start, wherever on the way, are answered by one line that
        names the remedy, and exit code 1."""
        for driver in ("uring", "readiness"):
            for limit in (6, 7, 8):
                with self.subTest(driver=driver, descriptors=limit):
                    to, choice = f"tcp-listen://{HOST}:{free_port()}", ["--driver", driver]
                    relay = self.relay(SLOW_DEMO, to, arguments=choice, descriptors=limit)
                    self.assert_refused(relay, 1, "open files")

    def test_running_out_of_descriptors_spares_who_is_there(self):
        """Proves that with more subscribers than descriptors, those served go on being served,
        nothing spins or dies, and places that become free are given to newcomers."""
        port = free_port()
        relay = self.relay(SLOW_DEMO, f"tcp-listen://{HOST}:{port}", descriptors=64)
        wait_listening(port)
        first = self.keep(connect(port))
        before = sequence(read_packet(first))
        crowd = [self.keep(connect(port)) for _ in range(150)]
        for _ in range(50):
            after = sequence(read_packet(first))
            self.assertEqual(after, before + 1)
            before = after
        self.assertTrue(relay.is_running(), str(relay))
        self.assertLess(relay.endpoint(1)["peers"], 64)
        for sock in crowd:
            sock.close()
        newcomer = self.keep(connect(port))
        self.assertEqual(read_packet(newcomer)[:4], b"TLDF")
        self.assertNotIn("panicked", relay.errors())
        self.finish(relay)


def sequence(packet):
    """The number of a packet of the built-in feed."""
    return int.from_bytes(packet[8:16], "big")


class Hostile(Case):
    def start_relay(self, options=""):
        """A relay from a listening source to one UDP receiver."""
        port, receiver = free_port(), self.keep(udp_socket())
        relay = self.relay(
            f"tcp-listen://{HOST}:{port}{options}",
            f"udp://{HOST}:{receiver.getsockname()[1]}",
        )
        wait_listening(port)
        return relay, port, receiver

    def assert_serves(self, port, receiver, word):
        """A well-behaved sender still gets its packet through."""
        with connect(port) as good:
            good.sendall(framed(word))
            self.assertEqual(receiver.recv(1 << 16), word)

    def test_a_reset_in_mid_message_loses_only_that_message(self):
        """Proves that half a packet before a reset is not passed on, and that the next connection
        starts afresh."""
        relay, port, receiver = self.start_relay()
        for number in range(20):
            bad = connect(port)
            bad.sendall(framed(b"whole") + framed(b"x" * 1_000)[: 1 + 49 * number])
            self.assertEqual(receiver.recv(1 << 16), b"whole")
            reset(bad)
        self.assert_serves(port, receiver, b"after the resets")
        self.finish(relay)

    def test_a_prefix_that_lies_ends_that_connection_alone(self):
        """Proves that a length beyond `?size=` closes the connection, is reported with the
        number announced, and leaves the other sender alone."""
        relay, port, receiver = self.start_relay("?size=1000")
        good = self.keep(connect(port))
        bad = self.keep(connect(port))
        bad.sendall(struct.pack(">H", 5_000) + b"y" * 100)
        try:
            self.assertEqual(bad.recv(1), b"")
        except ConnectionResetError:
            pass
        good.sendall(framed(b"still here"))
        self.assertEqual(receiver.recv(1 << 16), b"still here")
        wait_for("the report", lambda: "5000" in relay.endpoint(0).get("error", ""))
        self.finish(relay)

    def test_a_prefix_that_promises_more_than_comes(self):
        """Proves that a stream that ends inside a packet is no packet and no crash."""
        relay, port, receiver = self.start_relay()
        with connect(port) as bad:
            bad.sendall(struct.pack(">H", 60_000) + b"z" * 10)
        self.assert_serves(port, receiver, b"the next one")
        self.finish(relay)

    def test_bytes_one_by_one_make_whole_packets(self):
        """Proves that a sender's segmentation has no meaning: every byte in a segment of its
        own gives the same packets."""
        relay, port, receiver = self.start_relay()
        with connect(port) as slow:
            slow.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in framed(b"one") + framed(b"") + framed(b"two"):
                slow.sendall(bytes([byte]))
            packets = [receiver.recv(1 << 16) for _ in range(2)]
            packets += [receiver.recv(1 << 16)] if b"" in packets else []
        self.assertEqual([packet for packet in packets if packet], [b"one", b"two"])
        self.finish(relay)

    def test_subscribers_that_reset_disturb_nobody(self):
        """Proves that subscribers that come, talk nonsense and reset leave the others' stream
        without a gap."""
        source, port = free_port(socket.SOCK_DGRAM), free_port()
        relay = self.relay(f"udp://{HOST}:{source}", f"tcp-listen://{HOST}:{port}")
        wait_bound(source)
        wait_listening(port)
        sender, faithful = self.keep(udp_socket()), self.keep(connect(port))
        wait_for("the subscriber", lambda: relay.endpoint(1).get("peers") == 1)
        for number in range(200):
            rude = connect(port)
            rude.sendall(b"nonsense")
            sender.sendto(str(number).encode(), (HOST, source))
            reset(rude)
            self.assertEqual(read_packet(faithful), str(number).encode())
        self.finish(relay)
