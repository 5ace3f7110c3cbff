"""What runs in a pod when somebody enters it: their words as an argv, as the job's user, in the job's place. Pure.

    sh -c OUTER mlo                 as whoever the container starts as: waits for the boot, and stops being root
    └── sh -c INNER mlo FOLDER TERM the job's environment and working directory
        └── CMD…                    or a shell

Both become what follows, so that nothing stays between it and its terminal or its exit code. Images that are not ours
have no boot and no environment of a session: there a command runs where the image says.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlo_submit import submission
from mlo_submit.errors import BOOTING, RefusedError, warn
from mlo_submit.workload import Workload

BOOT = 120  # seconds; the first one copies a home to scratch

# A terminal or pipe that root was given is handed over too: programs open /dev/stderr, and tmux the terminal.
_OUTER = f"""\
mlo_tries=0
while [ ! -e /run/mlo/boot.json ] && grep -qs 'mlo.entry' /proc/1/cmdline; do
    [ "$mlo_tries" != 10 ] || echo 'The pod is booting.' >&2
    if [ "$mlo_tries" = {BOOT}0 ]; then
        echo 'The pod has been booting for {BOOT} seconds: see its log (`mlo-submit logs`), and try again later.' >&2
        exit {BOOTING}
    fi
    sleep 0.1
    mlo_tries=$((mlo_tries + 1))
done
if [ "$(id -u)" = 0 ] && [ -e /run/mlo/env.sh ]; then
    mlo_uid=$(stat -c %u /run/mlo/env.sh)
    for mlo_fd in 0 1 2; do
        if [ -t $mlo_fd ] || [ -p /proc/self/fd/$mlo_fd ]; then chown "$mlo_uid" /proc/self/fd/$mlo_fd; fi
    done
    exec setpriv --reuid "$mlo_uid" --regid "$(stat -c %g /run/mlo/env.sh)" --init-groups "$@"
fi
exec "$@"
"""

# Our variables have names of their own: those of the job stay. `exec --` is not POSIX: dash has no such thing.
_INNER = """\
mlo_folder=$1 mlo_term=$2 mlo_login= mlo_place=.
shift 2
if [ -r /run/mlo/env.sh ]; then
    . /run/mlo/env.sh
    mlo_login=-l mlo_place=$WORKING_DIR
fi
case $mlo_folder in
    '~' | '~/'*) mlo_folder=$HOME${mlo_folder#'~'} ;;
    '' | /*) ;;
    *) mlo_folder=./$mlo_folder ;;
esac
for mlo_place in "$mlo_place" "${mlo_folder:-.}"; do
    cd "$mlo_place" || [ $# = 0 ] || exit 73
done
if [ "$mlo_term" ] && tput -T "$mlo_term" longname >/dev/null 2>&1; then export TERM="$mlo_term"; fi
case ${1-} in
    -*) echo "$1: command not found" >&2; exit 127 ;;
esac
if [ $# = 0 ]; then
    for mlo_shell in zsh bash sh; do
        if command -v $mlo_shell >/dev/null; then exec $mlo_shell $mlo_login; fi
    done
fi
exec "$@"
"""


def argv(command: Sequence[str], *, folder: str, term: str = "") -> list[str]:
    """The argv that runs a command in a pod, or a shell where there is none.

    Args:
        command: words that reach the program as they are.
        folder: where it runs, relative to the working directory; `~` is the pod's home. A command does not run
            elsewhere (exit code 73); a shell opens all the same.
        term: the type of our terminal, if there is one; the pod's own holds where it does not know this one.
    """
    return ["sh", "-c", _OUTER, "mlo", "sh", "-c", _INNER, "mlo", folder, term, *command]


def folder_of(job: Workload) -> str:
    """The --exp-folder of the job's submission; empty where it has none."""
    if not job.submission:
        return ""
    try:
        return submission.decode(job.submission).exp_folder or ""
    except RefusedError as error:
        warn(f"{error.message} Going on in its working directory.")
        return ""
