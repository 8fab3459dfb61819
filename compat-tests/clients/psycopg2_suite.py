"""Runs psycopg2's own tests, from its source distribution, whose folder is the argument; says how each ended.

Lines for the test that started this: `ok ID`, `skipped ID: why`, `failed ID: why`."""

import faulthandler
import os
import sys
import unittest

# A test that waits in libpq for ever cannot be interrupted: what has not ended by then counts as failed.
faulthandler.dump_traceback_later(900, exit=True)
os.environ["PSYCOPG2_TESTDB"] = os.environ["PGDATABASE"]
sys.path.insert(0, sys.argv[1])
import tests


def say(how, test, why=None):
    line = f"{how} {test.id().removeprefix('tests.')}"
    print(line if why is None else f"{line}: {' '.join(str(why).split())}", flush=True)


class Lines(unittest.TestResult):
    def addSuccess(self, test):
        say("ok", test)

    def addSkip(self, test, reason):
        # What PSYCOPG2_TEST_FAST leaves out is not told of.
        if reason != "slow test":
            say("skipped", test, reason)

    def addFailure(self, test, error):
        say("failed", test, f"{error[0].__name__}: {error[1]}")

    addError = addFailure

    def addSubTest(self, test, subtest, error):
        if error is not None:
            self.addFailure(test, error)


tests.test_suite().run(Lines())
