"""Datagrams that the kernel cannot divide for the relay still pass, each whole."""

import fcntl
import signal
import socket
import struct
import subprocess
import sys
import unittest

from support import HOST, PATIENCE, Case, free_port, udp_socket, wait_bound

# Linux: linux/sockios.h, linux/if.h.
SIOCSIFFLAGS = 0x8914
SIOCSIFMTU = 0x8922
IFF_UP = 1

PACKET = 1_500  # bytes that the narrow loopback carries at once
ALONE = "alone"  # how this file is started in a network of its own


def narrow_loopback():
    """Switches this network's loopback on, with packets as short as those of Ethernet."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFMTU, struct.pack("16si", b"lo", PACKET))
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH", b"lo", IFF_UP))


def in_own_network(arguments):
    """The command that runs `arguments` in a network with nothing but a loopback."""
    return ["unshare", "--map-root-user", "--net", *arguments]


class Datagrams(Case):
    def test_datagrams_longer_than_a_packet_pass_after_all(self):
        """Proves that datagrams which the path carries in fragments only, and which therefore
        cannot be sent joined, are all sent, whole and in order with those that can."""
        probe = subprocess.run(in_own_network(["true"]), capture_output=True, check=False)
        if probe.returncode != 0:
            self.skipTest("this machine grants no network of one's own (unshare --net)")
        alone = [sys.executable, "-B", __file__, ALONE]
        done = subprocess.run(
            in_own_network(alone), capture_output=True, text=True, timeout=3 * PATIENCE, check=False
        )
        self.assertEqual(done.returncode, 0, done.stderr)


class Narrow(Case):
    def test_long_and_short_runs_pass(self):
        """Run by the test above."""
        narrow_loopback()
        port, receiver, sender = free_port(socket.SOCK_DGRAM), udp_socket(), udp_socket()
        self.keep(receiver)
        self.keep(sender)
        destination = f"udp://{HOST}:{receiver.getsockname()[1]}"
        relay = self.relay(f"udp://{HOST}:{port}", destination)
        wait_bound(port)
        # Stopped, it finds all of them at once, and sends as many together as it can.
        relay.signal(signal.SIGSTOP)
        lengths = [1_000] * 10 + [3_000] * 10 + [1_000] * 10 + [2 * PACKET] * 5
        sent = [bytes([number]) * length for number, length in enumerate(lengths)]
        for datagram in sent:
            sender.sendto(datagram, (HOST, port))
        relay.signal(signal.SIGCONT)
        self.assertEqual([receiver.recv(1 << 16) for _ in sent], sent)
        summary = self.finish(relay)
        self.assertEqual(sum(sum(e["drops"].values()) for e in summary["endpoints"]), 0, summary)


def load_tests(loader, _tests, _pattern):
    """The tests of this file but for those that want a network of their own."""
    return loader.loadTestsFromTestCase(Datagrams)


if __name__ == "__main__" and sys.argv[1:] == [ALONE]:
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(Narrow)
    sys.exit(not unittest.TextTestRunner().run(suite).wasSuccessful())
