"""Docker on this machine: the same job with no cluster, no registry and no account."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace as changed
from pathlib import Path

from mlo_submit import process, shell, units
from mlo_submit.errors import RefusedError, UnavailableError, note, warn
from mlo_submit.job import SECRETS_DIR, Job, Mount, container_environ
from mlo_submit.machine import Machine
from mlo_submit.secret import MANAGED_BY, OURS, Secret

REQUIRED: frozenset[str] = frozenset({"RUNAI_IMAGE"})

ANSWER = 15.0  # seconds that the engine may take to answer a question
PULL_ERRORS = re.compile(
    "pull access denied|manifest unknown|manifest for|No such image|failed to resolve|dial tcp|registry"
)
LARGE_SHM = 32 * 2**30  # bytes; taken from memory as it is used


def render(job: Job, secrets: Path | None) -> list[str]:
    """The `docker run` of a job. `secrets` is the directory with one file a secret, if it comes as files."""
    config = job.config
    argv = ["docker", "run", "--detach", "--name", job.name, "--hostname", job.name, "--user", f"{job.uid}:{job.gid}"]
    for key, value in job.labels.items():
        argv += ["--label", f"{key}={value}"]
    environ = container_environ(job)
    if not config.seed_user:
        # Local scratch is no root-squashed export: the user can make their own directories there.
        environ["SCRATCH_SEED_USER"] = job.env.get("SCRATCH_SEED_USER", config.username)
    for key, value in environ.items():
        argv += ["--env", f"{key}={value}"]
    mounts = [Mount(source=str(config.local_scratch), target=config.mount_path), *job.mounts]
    if job.secret_files is False:
        # Without a value docker takes the variable from its own environment: no value in argv.
        argv += [word for key in config.secret_keys if key not in job.env for word in ("--env", key)]
    elif secrets:
        mounts.append(Mount(source=str(secrets), target=SECRETS_DIR, read_only=True))
    for mount in mounts:
        argv += ["--mount", _mount(mount)]
    if job.training and job.retries:
        argv += ["--restart", f"on-failure:{job.retries}"]
    argv += ["--stop-timeout", str(job.grace)]
    if job.gpus:
        argv += ["--gpus", str(job.gpus)]
    if job.cpus:
        argv += ["--cpus", _cpus(job.cpus)]
    if job.memory:
        argv += ["--memory", f"{units.quantity(job.memory)}b"]
    if job.shm_size or job.large_shm:
        argv += ["--shm-size", f"{units.quantity(job.shm_size) if job.shm_size else LARGE_SHM}b"]
    if job.host_ipc:
        argv += ["--ipc", "host"]
    if job.port:
        argv += ["--publish", f"127.0.0.1:{job.port}:{job.port}"]
    if config.pull_policy:
        argv += ["--pull", {"Always": "always", "IfNotPresent": "missing", "Never": "never"}[config.pull_policy]]
    return [*argv, job.image, *job.argv(time_limit=True)]


def _mount(mount: Mount) -> str:
    """A mount as docker reads it: fields of CSV."""
    fields = [
        "type=bind",
        f"source={mount.source}",
        f"target={mount.target}",
        *(["readonly"] if mount.read_only else []),
    ]
    return ",".join('"' + field.replace('"', '""') + '"' if {",", '"'} & set(field) else field for field in fields)


def _cpus(cpus: str) -> str:
    return f"{int(cpus[:-1]) / 1000:g}" if cpus.endswith("m") else cpus


def preview(job: Job, machine: Machine) -> str:
    """The `docker run` as a shell line."""
    _check(job)
    return shell.join(render(_here(job, machine), _secrets(job, machine))) + "\n"


def _check(job: Job) -> None:
    if job.workers:
        raise RefusedError(
            "--workers needs run:ai: in Docker a job is one container. Choose --backend runai, or leave it out."
        )


def _here(job: Job, machine: Machine) -> Job:
    """The job as this machine can run it: without GPUs where there are none, its mounts as absolute paths."""
    if job.gpus and not machine.has_gpu:
        warn(f"this machine has no NVIDIA GPU: {job.name} runs without the {job.gpus} that it asks for.")
    mounts = tuple(changed(mount, source=str(machine.path(mount.source))) for mount in job.mounts)
    return changed(job, gpus=job.gpus if machine.has_gpu else 0, mounts=mounts)


def _secrets(job: Job, machine: Machine) -> Path | None:
    wanted = job.secret_files is not False and job.config.secret_keys
    return _secrets_root(machine) / job.name if wanted else None


def _secrets_root(machine: Machine) -> Path:
    return machine.state / "secrets"


def submit(job: Job, secret: Secret, machine: Machine, *, sync: bool, replace: bool) -> Mapping[str, str]:
    """Start the container, with its secrets in a directory of its own; there is no Secret to mirror."""
    _check(job)
    sweep(machine)
    job = _here(job, machine)
    for mount in job.mounts:
        if not Path(mount.source).exists():
            raise RefusedError(f"--mount {mount.source}:{mount.target}: there is no {mount.source} on this machine.")
    directory = _secrets(job, machine)
    values = {key: secret.values[key] for key in job.config.secret_keys}
    tool = changed(machine, environ={**machine.environ, **values}) if job.secret_files is False else machine
    with _locked(job, directory):
        _clear_name(job, machine, replace=replace)
        _make_scratch(job, machine)
        _pull(job, machine)
        _write_secrets(directory, values)
        result = process.run(tool, render(job, directory))
        if result.code:
            if "is already in use by container" not in result.stderr:  # else it is somebody else's
                _docker(machine, "rm", "--force", job.name)
            if directory:
                shutil.rmtree(directory)
            raise _refusal(job, result.stderr)
    return {
        "describe": f"docker inspect {job.name}",
        "logs": f"docker logs -f {job.name}",
        "shell": f"docker exec -it {job.name} zsh",
        "delete": f"docker rm -f {job.name}",
    }


def _docker(machine: Machine, *words: str) -> process.Result:
    """Ask the engine.

    Raises:
        UnavailableError: it does not run, or does not answer.
    """
    result = process.run(machine, ["docker", *words], timeout=ANSWER)
    if result.code and _down(result.stderr):
        raise UnavailableError(_no_engine(result.stderr))
    return result


def _down(stderr: str) -> bool:
    return any(
        sign in stderr for sign in ("Cannot connect to the Docker daemon", "error during connect", "docker.sock")
    )


def _no_engine(stderr: str) -> str:
    if "permission denied" in stderr:
        return (
            "Docker does not let you in: add yourself to its group (`sudo usermod -aG docker $USER`), and log in anew."
        )
    return "Docker is not running: start it (Docker Desktop, or `sudo systemctl start docker`), and try again."


def _refusal(job: Job, stderr: str) -> RefusedError | UnavailableError:
    if _down(stderr):
        return UnavailableError(_no_engine(stderr))
    # Docker says what it did first and why it failed then; the last line only points to --help.
    lines = [line for line in stderr.strip().splitlines() if line and "--help" not in line]
    reason = (lines or ["no reason given"])[-1].removeprefix("docker: ").removeprefix("Error response from daemon: ")
    if PULL_ERRORS.search(reason):
        return RefusedError(_no_image(job.image, reason))
    return RefusedError(f"Docker does not start {job.name}: {reason}")


def _no_image(image: str, reason: str) -> str:
    return (
        f"the image {image} cannot be pulled: {reason} Check its name, log in to its registry (`docker login`), "
        "or build it here."
    )


def _clear_name(job: Job, machine: Machine, *, replace: bool) -> None:
    """See that no container has the job's name, deleting a finished one of ours when asked."""
    template = f'{{{{.State.Status}}}} {{{{index .Config.Labels "{MANAGED_BY}"}}}}'
    found = _docker(machine, "container", "inspect", "--format", template, job.name)
    if found.code:
        return
    status, _, owner = found.stdout.strip().partition(" ")
    if owner != OURS:
        raise RefusedError(f"there is a container {job.name} already, not made by mlo-submit: choose another --name.")
    if status not in ("exited", "dead", "created"):
        raise RefusedError(f"a job {job.name} still runs: choose another --name, or `docker rm -f {job.name}` first.")
    if not replace:
        raise RefusedError(
            f"there is a finished job {job.name} already: replace it with --replace, or choose another --name."
        )
    _docker(machine, "rm", job.name)


def _pull(job: Job, machine: Machine) -> None:
    """Pull an image that is not here, which may take a while, where the user sees how far it is."""
    if job.config.pull_policy == "Never" or not _docker(machine, "image", "inspect", job.image).code:
        return
    note(f"The image {job.image} is not on this machine: pulling it.")
    if process.stream(machine, ["docker", "pull", job.image], to_stderr=True):
        raise RefusedError(_no_image(job.image, "see above."))


def _make_scratch(job: Job, machine: Machine) -> None:
    """The local scratch: a directory where the pod's user, whose id may be nobody's here, can make their home.

    Ours is open to all like /tmp, in a parent that nobody else can enter.
    """
    scratch = job.config.local_scratch
    if scratch == machine.data / "scratch":
        machine.data.mkdir(parents=True, exist_ok=True)
        machine.data.chmod(0o700)
        scratch.mkdir(exist_ok=True)
        if scratch.stat().st_uid == machine.uid:
            scratch.chmod(0o1777)
        return
    scratch.mkdir(parents=True, exist_ok=True)
    state = scratch.stat()
    writable = state.st_mode & 0o002 or (state.st_uid, state.st_mode & 0o200) == (job.uid, 0o200)
    if not writable and (state.st_gid, state.st_mode & 0o020) != (job.gid, 0o020):
        warn(
            f"{scratch} (owner {state.st_uid}:{state.st_gid}, mode {state.st_mode & 0o7777:o}) does not let the pod's "
            f"user ({job.uid}:{job.gid}) write there: chmod 1777 {scratch}, or make LDAP_UID and LDAP_GID its owner's."
        )


@contextmanager
def _locked(job: Job, directory: Path | None) -> Iterator[None]:
    """Keep `sweep` and other submissions away from the secrets of a job whose container is not made yet."""
    if directory is None:
        yield
        return
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.parent.chmod(0o700)
    lock = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise RefusedError(f"another mlo-submit is submitting {job.name}: choose another --name.") from None
    finally:
        os.close(lock)


def _write_secrets(directory: Path | None, values: Mapping[str, str]) -> None:
    """One file a secret, for root in the container alone."""
    if directory is None:
        return
    for file in directory.iterdir():
        file.unlink()
    for key, value in values.items():
        file = directory / key
        file.touch(mode=0o600)
        file.write_bytes(value.encode())


def sweep(machine: Machine) -> None:
    """Remove the secrets of jobs that have ended or are gone."""
    root = _secrets_root(machine)
    left = sorted(path.name for path in root.iterdir()) if root.is_dir() else []
    if not left:
        return
    listed = _docker(
        machine, "ps", "--all", "--filter", f"label={MANAGED_BY}={OURS}", "--format", "{{.Names}} {{.State}}"
    )
    if listed.code:
        return
    states = dict(line.split(" ", 1) for line in listed.stdout.splitlines() if " " in line)
    for name in left:
        if states.get(name, "gone") in ("gone", "exited", "dead"):
            _remove_unlocked(root / name)


def _remove_unlocked(directory: Path) -> None:
    try:
        lock = os.open(directory, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(directory, ignore_errors=True)
    except BlockingIOError:
        pass  # a submission that has not made its container yet
    finally:
        os.close(lock)


def follow(job: Job, machine: Machine) -> int:
    """Print the container's output until it has ended, its restarts included."""
    template = "{{.State.Status}} {{.State.ExitCode}} {{.State.FinishedAt}}"
    since: list[str] = []
    while True:
        process.stream(machine, ["docker", "logs", "--follow", *since, job.name])
        found = _docker(machine, "container", "inspect", "--format", template, job.name)
        if found.code:
            raise RefusedError(f"the job {job.name} was deleted while it was followed.")
        status, code, finished = found.stdout.split()
        if status in ("exited", "dead"):
            sweep(machine)
            return int(code)
        since = ["--since", finished]
