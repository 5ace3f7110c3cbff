#!/usr/bin/env bash
# Tries mlo on this machine: installs what is missing, builds a small image, and trains an example through mlo-submit.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[[ ${XDG_STATE_HOME-} = /* ]] || XDG_STATE_HOME=$HOME/.local/state
directory=$XDG_STATE_HOME/mlo/try
name=mlo-try
command=(uv run train.py)
example=1

usage() {
    cat <<END
Usage: docker/try.sh [--name NAME] [-- COMMAND...]

Trains a small model in a pod on this machine, as \`mlo-submit run --train --follow\` does on a cluster. Run it again, and the
training goes on from its checkpoint. COMMAND runs in the same place instead. The exit code is the job's own; a Ctrl-C stops the
job, which first writes its checkpoint. Root or sudo is needed where something is missing: Docker Engine, uv, a base image.

  --name NAME    name of the job (default: $name)
  MLO_IMAGE=TAG  in the environment: run this image, and build none

Everything is in $directory: the project (docker/example, yours to edit), scratch, and a .env.
To be rid of it all: docker rm -f $name; docker rmi mlo:try; rm -r $directory
END
}

while [ $# -gt 0 ]; do
    case $1 in
        --help | -h) usage; exit ;;
        --name)
            [ -n "${2-}" ] || die "--name needs a value; see --help"
            name=$2
            shift 2 ;;
        --)
            shift
            [ $# -gt 0 ] || die "-- is followed by no command; see --help"
            command=("$@")
            example=
            break ;;
        *) die "unknown option $1; see --help. A command follows --: docker/try.sh -- $*" ;;
    esac
done

# The GPU base has 20 GB: a trial takes Debian, as its registry has it, or else made here.
choose_base() {
    local base
    for base in debian:bookworm-slim mlo-base:bookworm; do
        if "$DOCKER" image inspect "$base" >/dev/null 2>&1; then
            echo "$base"
            return
        fi
    done
    if timeout 120 "$DOCKER" pull debian:bookworm-slim >&2; then echo debian:bookworm-slim; else echo mlo-base:bookworm; fi
}

build_image() {
    local log=$directory/build.log
    say "building the image mlo:try, which takes minutes the first time and then a second; its log: $log"
    "$MLO_ROOT/docker/build.sh" --tag mlo:try --base "$(choose_base 2>"$log")" --build-arg OHMYZSH=none >>"$log" 2>&1 ||
        die "the image cannot be built. The end of $log:"$'\n'"$(tail -n 20 "$log")"
}

# A name that a pod's account can have, or else another one.
account() { if [[ $1 =~ ^[A-Za-z_][A-Za-z0-9._-]{0,31}$ ]]; then echo "$1"; else echo "$2"; fi; }

ensure_engine
ensure_submit

umask 077
mkdir -p "$directory"
if [ "$(id -u)" = 0 ]; then
    user=jdoe uid=123456 group=mlo gid=83070  # a pod's user is never root
else
    user=$(id -un) uid=$(id -u) group=$(id -gn "$user") gid=$(id -g "$user")  # by name: sudo may have lent us another group
    user=$(account "$user" jdoe) group=$(account "$group" mlo)
fi
image=${MLO_IMAGE:-mlo:try}
[ -n "${MLO_IMAGE-}" ] || build_image

cd "$directory"
cat >.env <<END
LDAP_USERNAME=$user
LDAP_UID=$uid
LDAP_GROUPNAME=$group
LDAP_GID=$gid
RUNAI_IMAGE=$image
MLO_LOCAL_SCRATCH=scratch
WORKING_DIR=/mloscratch/homes/$user/example
END
project=scratch/homes/$user/example
if [ ! -e "$project" ]; then
    rm -rf new
    mkdir -p new "${project%/*}"
    cp "$MLO_ROOT"/docker/example/* new
    chown -R "$uid:$gid" new scratch/homes
    mv new "$project"
fi
chmod 1777 scratch

# A home of its own: mlo-submit would give the pod the SSH key that it finds in the user's.
interrupted=
trap 'interrupted=1' INT
code=0
export DOCKER_CONFIG=${DOCKER_CONFIG:-$HOME/.docker}
HOME=$directory mlo-submit --env-file .env --backend docker \
    run --name "$name" --train --replace --follow -- "${command[@]}" </dev/null || code=$?
if [ -n "$interrupted" ]; then
    trap - INT
    say "stopping $name, which has 30 s to write its checkpoint"
    "$DOCKER" stop "$name" >/dev/null 2>&1 || true
    "$DOCKER" logs --tail 3 "$name" || true
elif [ $code = 0 ] && [ -n "$example" ]; then
    say "the project and its checkpoint: $directory/$project"
    say "run docker/try.sh again, and the training goes on from there"
fi
exit "$code"
