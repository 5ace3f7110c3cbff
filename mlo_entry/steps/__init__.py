"""The boot, in order."""

from __future__ import annotations

from . import account, git, home, hooks, network, session, ssh, storage

STEPS = (
    ("account", account.plan),
    ("storage", storage.plan),
    ("home", home.plan),
    ("ssh", ssh.plan),
    ("git", git.plan),
    ("network", network.plan),
    ("session", session.plan),
    ("hooks", hooks.plan),
)
