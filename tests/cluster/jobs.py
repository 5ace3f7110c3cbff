"""What the jobs of the tests run."""

from __future__ import annotations

import json
import shlex
from typing import Any

from tests.cluster.lab import GID, GROUP, UID, USER, Laptop

# Prints what it is given and what it finds, as one line.
REPORT = """
import grp, json, os, pwd, sys
umask = os.umask(0)
key = os.path.expanduser("~/.ssh/id_rsa")
print(json.dumps({
    "argv": sys.argv[1:], "cwd": os.getcwd(), "environ": dict(os.environ), "umask": oct(umask),
    "user": pwd.getpwuid(os.getuid()).pw_name, "uid": os.getuid(),
    "group": grp.getgrgid(os.getgid()).gr_name, "gid": os.getgid(),
    "key": open(key).read(), "key mode": oct(os.stat(key).st_mode & 0o777),
}))
"""

# Runs until it is stopped, notes each signal, and takes a second, or WRITES of them, to write its checkpoint; started
# again with one, it is done.
TRAIN = """
import os, signal, sys, time
def stop(number, frame):
    with open("signals", "a") as file:
        print(number, file=file)
    time.sleep(int(os.environ.get("WRITES", 1)))
    with open("checkpoint", "w") as file:
        file.write("trained")
    sys.exit(128 + number)
signal.signal(signal.SIGTERM, stop)
if os.path.exists("checkpoint"):
    print("resumed", flush=True)
    sys.exit()
print("started", flush=True)
while True:
    time.sleep(0.05)  # short: a signal just before a sleep does not end it
"""
TRAINING = ("--train", "--command", f"true && {shlex.join(['python3', '-c', TRAIN])}")

WORDS = ("it's", "$(TZ) $$ $HOME", "=ls", "two\nlines", 'a"b\\', "ünï", "")


def reported(output: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(next(line for line in output.splitlines() if line.startswith("{")))
    return found


def assert_is_the_users(found: dict[str, Any], laptop: Laptop, ssh_key: str) -> None:
    """Check a report: the words as they were typed, the user's identity, the secrets, of which one became a file."""
    environ = found["environ"]
    assert found["argv"] == list(WORDS)
    assert (found["user"], found["uid"], found["group"], found["gid"]) == (USER, UID, GROUP, GID)
    assert (found["cwd"], found["umask"]) == (laptop.working_dir, "0o7")
    assert (environ["HOME"], environ["TZ"]) == (f"/home/{USER}", "Europe/Zurich")
    assert environ["HF_TOKEN"] == "hf_of_this_test"
    assert environ["NOTE"] == 'two\nlines, ${literal} and "quoted"'
    assert (found["key"], found["key mode"]) == (ssh_key, "0o600")
    assert "SSH_PRIVATE_KEY_B64" not in environ
