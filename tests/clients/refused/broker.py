"""What the scenarios need: a broker that is killed when they ask for it, and ways to compare."""

import sys


def restart():
    """Asks the test to kill the broker (kill -9) and to start it again; returns when that is done."""
    print("restart", flush=True)
    assert sys.stdin.readline() == "done\n"


def once(found, *ranges):
    """The values are the numbers of these ranges, each once."""
    expected = [n for numbers in ranges for n in numbers]
    assert sorted(map(int, found)) == sorted(expected), sorted(map(int, found))


def says(case, answer):
    print(f"{case}: {answer}", flush=True)


def name(error):
    return type(error).__name__


def main(scenarios):
    scenario, bootstrap = sys.argv[1:]
    scenarios[scenario](bootstrap)
