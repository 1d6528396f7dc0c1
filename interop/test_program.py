"""The program by itself: doctor, demo, wrong arguments."""

import json

from support import Case


class Doctor(Case):
    def test_lines_name_every_remedy(self):
        """Proves that the doctor runs here and gives a remedy for what is not ok."""
        doctor = self.tautline("doctor")
        self.assertEqual(doctor.wait(), 0, str(doctor))
        self.assertIn("io_uring", doctor.output())

    def test_json_parses(self):
        """Proves that the JSON form is one object in which each finding is ok or has a remedy."""
        doctor = self.tautline("doctor", "--json")
        self.assertEqual(doctor.wait(), 0, str(doctor))
        findings = json.loads(doctor.output())["findings"]
        self.assertGreater(len(findings), 10)
        for finding in findings:
            self.assertTrue(finding["status"] == "ok" or finding["remedy"], finding)


class Demo(Case):
    def test_ends_by_itself_without_loss(self):
        """Proves that a short demonstration ends with exit code 0 and says that nothing was lost."""
        demo = self.tautline("demo", "--for", "2s")
        self.assertEqual(demo.wait(), 0, str(demo))
        self.assertIn("nothing lost", demo.output())

    def test_json_ends_with_a_summary(self):
        """Proves that the last line of the JSON form is a summary whose checks are all clean, and
        that as many packets were checked as 100 subscribers get in that time."""
        demo = self.tautline("demo", "--for", "3s", "--json")
        self.assertEqual(demo.wait(), 0, str(demo))
        reports = demo.reports()
        self.assertEqual(len(reports), len(demo.output().splitlines()))
        self.assertEqual({report["kind"] for report in reports[:-1]}, {"interval"})
        self.assertEqual(reports[-1]["kind"], "summary")
        check = reports[-1]["check"]
        self.assertEqual(
            [check[name] for name in ("missing", "late", "duplicates", "corrupt")], [0] * 4
        )
        self.assertGreater(check["packets"], 100 * 3 * 1_000 // 2)

    def test_both_drivers_and_every_wait_mode(self):
        """Proves that the demonstration is lossless whatever carries it."""
        for driver in ("uring", "readiness"):
            for wait in ("sleep", "warm", "spin"):
                with self.subTest(driver=driver, wait=wait):
                    demo = self.tautline(
                        "demo", "--for", "1s", "--driver", driver, "--wait", wait
                    )
                    self.assertEqual(demo.wait(), 0, str(demo))


class WrongArguments(Case):
    CASES = [
        (["relay"], "--from"),
        (["relay", "--from", "stdin:"], "--to"),
        (["relay", "--from", "udp://x", "--to", "stdout:"], "--from"),
        (["relay", "--from", "stdin:", "--to", "gopher://x:1"], "--to"),
        (["relay", "--from", "stdin:", "--to", "udp://127.0.0.1:0"], "--to"),
        (["relay", "--from", "stdin:", "--to", "udp://127.0.0.1:70000"], "--to"),
        (["relay", "--from", "stdin:", "--to", "tcp://127.0.0.1:9?policy=hope"], "hope"),
        (["relay", "--from", "stdin:", "--to", "tcp://127.0.0.1:9?colour=red"], "colour"),
        (["relay", "--from", "file:", "--to", "stdout:"], "--from"),
        (["demo", "--subscribers", "-1"], "-1"),
        (["demo", "--for", "yesterday"], "--for"),
        (["demo", "--driver", "iocp"], "--driver"),
        (["juggle"], "juggle"),
        (["--louder"], "--louder"),
    ]

    def test_one_line_and_exit_code_2(self):
        """Proves that each mistake is answered by one line that names it, and exit code 2."""
        for arguments, name in self.CASES:
            with self.subTest(arguments=arguments):
                program = self.tautline(*arguments)
                self.assert_refused(program, 2, name)
                self.assertEqual(program.output(), "")
