"""Checks of Docker on this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path

from mlo_submit import process, units
from mlo_submit.backends.docker.engine import ask, reason
from mlo_submit.checks.context import Context, Finding, UntoldError
from mlo_submit.errors import MloError, UnavailableError

REGISTRY = 6.0  # seconds that a registry may take
FREE = 2**30  # bytes, under which the next job fails
INODES = 10_000


def engine(context: Context) -> Finding:
    """The engine answers."""
    versions = "{{.Client.Version}} {{.Server.Version}}"
    answer = ask(context.machine, "version", "--format", versions)
    if answer.code:
        raise UnavailableError(f"Docker does not tell its version. {reason(answer.stderr)}")
    client, server = answer.stdout.split()
    return Finding(ok=True, found=f"client {client}, engine {server}")


def gpus(context: Context) -> Finding:
    """The engine can hand GPUs to a container, where there are any."""
    if not context.machine.has_gpu:
        raise UntoldError("this machine has no NVIDIA GPU: jobs run without")
    try:
        told = json.loads(ask(context.machine, "info", "--format", "{{json .}}").stdout)
    except (MloError, ValueError):
        raise UntoldError("not looked at: the engine comes first") from None
    if "nvidia" in (told.get("Runtimes") or {}) or any(
        "nvidia" in str(device) for device in told.get("DiscoveredDevices") or []
    ):
        return Finding(ok=True, found="the engine has NVIDIA's runtime")
    return Finding(
        ok=False,
        found="there is an NVIDIA GPU, and the engine has no runtime for it",
        remedy="Install the NVIDIA Container Toolkit, and `sudo nvidia-ctk runtime configure --runtime=docker`.",
    )


def image(context: Context) -> Finding:
    """The image is here, or can be had."""
    name, policy = context.config.image, context.config.pull_policy
    try:
        here = not ask(context.machine, "image", "inspect", "--format", "{{.Id}}", name).code
    except MloError:
        raise UntoldError("not looked at: the engine comes first") from None
    if here and policy != "Always":
        return Finding(ok=True, found=f"{name} is on this machine")
    if policy == "Never":
        remedy = "Build it, `docker pull` it, or set another MLO_IMAGE_PULL_POLICY."
        return Finding(ok=False, found=f"{name} is not on this machine, and is never pulled", remedy=remedy)
    try:
        answer = process.run(context.machine, ["docker", "manifest", "inspect", name], timeout=REGISTRY)
    except MloError:
        raise UntoldError(f"{name}: its registry does not answer in time") from None
    if answer.code:
        return Finding(
            ok=False,
            found=f"{name} cannot be pulled: {reason(answer.stderr)}",
            remedy="Check its name, log in to its registry (`docker login`), or build it here.",
        )
    return Finding(ok=True, found=f"{name}: the registry has it")


def scratch(context: Context) -> Finding:
    """There is room for what jobs write."""
    return _room(context.config.local_scratch, "Make room, or set MLO_LOCAL_SCRATCH to another place.")


def state(context: Context) -> Finding:
    """There is room for the secrets of jobs."""
    return _room(context.machine.state, "Make room, or set XDG_STATE_HOME to another place.")


def _room(wanted: Path, remedy: str) -> Finding:
    path = next(path for path in (wanted, *wanted.parents) if path.exists())
    if not os.access(path, os.W_OK | os.X_OK):
        return Finding(ok=False, found=f"you may not write in {path}", remedy=remedy)
    disk = os.statvfs(path)
    free = disk.f_bavail * disk.f_frsize
    found = f"{wanted}: {units.size(free)} free"
    if free < FREE:
        return Finding(ok=False, found=found, remedy=remedy)
    if disk.f_files and disk.f_favail < INODES:
        return Finding(ok=False, found=f"{wanted}: room for {disk.f_favail} more files", remedy=remedy)
    return Finding(ok=True, found=found)
