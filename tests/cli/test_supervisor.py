"""Children are forked, watched, started again with growing pauses, and stopped."""

from __future__ import annotations

import subprocess
import sys

from tests.cli.serving import ROOT

_BEGIN = """
import os, signal, sys, time, types
from vna.cli import supervisor
from vna.cli.supervisor import Supervisor
from vna.errors import Unavailable

def fail():
    raise Unavailable("not today")

def wait():
    signal.pause()

def stubborn():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.write(ready, b"r")
    while True:
        signal.pause()

heard, ready = os.pipe()
clock = [0.0]

def tick(seconds):
    clock[0] += seconds
    time.sleep(seconds)

supervisor.time = types.SimpleNamespace(monotonic=lambda: clock[0], sleep=tick)
"""


def script(text: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _BEGIN + text],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_child_that_fails_is_started_again_after_growing_pauses() -> None:
    told = script("""
children = Supervisor()
children.add("fails", lambda: (fail, ()))
children.tend()
pauses = []
while len(pauses) < 11:
    os.waitid(os.P_PID, children.running()["fails"], os.WEXITED | os.WNOWAIT)
    pauses.append(children.tend())
    clock[0] += pauses[-1] + 1e-6
    children.tend()
print(*(round(pause, 3) for pause in pauses))
children.stop(10)
""")
    assert told == "0.1 0.2 0.4 0.8 1.6 3.2 6.4 12.8 25.6 30.0 30.0\n"


def test_a_steady_child_is_started_again_at_once() -> None:
    told = script("""
children = Supervisor()
children.add("waits", lambda: (wait, ()))
children.tend()
first = children.running()["waits"]
clock[0] += 61
os.kill(first, signal.SIGKILL)
os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
print(children.tend(), children.running()["waits"] != first)
children.stop(10)
""")
    assert told == "None True\n"


def test_stopping_asks_first_and_kills_what_does_not_listen() -> None:
    told = script("""
children = Supervisor()
children.add("waits", lambda: (wait, ()))
children.add("stubborn", lambda: (stubborn, ()))
children.tend()
pids = list(children.running().values())
os.read(heard, 1)
children.stop(0.2)
print(children.running(), children.tend(), children.running())
for pid in pids:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        print("gone")
""")
    assert told == "{} None {}\ngone\ngone\n"


def test_children_end_with_a_killed_parent() -> None:
    told = script("""
pid = os.fork()
if pid == 0:
    children = Supervisor()
    children.add("waits", lambda: (wait, ()))
    children.tend()
    os.write(ready, str(children.running()["waits"]).encode())
    os.kill(os.getpid(), signal.SIGKILL)
os.waitpid(pid, 0)
child = os.pidfd_open(int(os.read(heard, 20)))
import select
print(bool(select.select([child], [], [], 30)[0]))
""")
    assert told == "True\n"


def test_a_child_gets_its_descriptors_and_the_parent_lets_go_of_them() -> None:
    told = script("""
def begin():
    theirs = os.dup(ready)
    def speak():
        os.write(theirs, b"from the child")
    return speak, (theirs,)

left = []
children = Supervisor(leave=lambda: left.append(1))
children.add("speaks", begin)
before = len(os.listdir("/dev/fd"))
children.tend()
print(os.read(heard, 99).decode(), len(os.listdir("/dev/fd")) == before, left)
children.stop(10)
""")
    assert told == "from the child True []\n"


def test_a_fork_that_is_not_possible_is_tried_again() -> None:
    told = script("""
import resource
children = Supervisor()
children.add("waits", lambda: (wait, (os.dup(1),)))
room = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (0, room[1]))
pause = children.tend()
resource.setrlimit(resource.RLIMIT_NOFILE, room)
print(children.running(), 0 < pause <= 0.1)
clock[0] += 1
children.tend()
print(sorted(children.running()))
children.stop(10)
""")
    assert told == "{} True\n['waits']\n"
