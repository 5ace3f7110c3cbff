# shellcheck shell=bash
# Functions that the scripts of docker/ and tests/ share; for bash under `set -euo pipefail`. All that they say goes to stderr.
#
#   say, warn, die MESSAGE     one line each; die also ends the script
#   ensure_packages NAME…      installs those of these Debian or Ubuntu packages that are missing
#   ensure_uv                  puts uv on PATH, of the version that the image has
#   ensure_venv                puts a virtual environment on PATH that has this checkout, editable, and its development tools
#   ensure_submit              the same without these tools
#   ensure_engine [PID]        a Docker Engine that answers, and DOCKER, a client that can use BuildKit; installs and starts what is
#                              missing. An engine that it starts stays, or, given a PID, ends with that process, even a killed one.
#                              Call it first: a user whom the engine does not let in starts the script anew, by sudo, in its group
#   ensure_base IMAGE [OPTION...]  that image: mlo-base:SUITE is a small Debian, made when missing by mmdebstrap with these options; any
#                              other is pulled. After ensure_engine
#   stop_engine                ends the engine that ensure_engine started, and waits until it is gone
#   ca_bundle                  prints where this machine has its CA certificates; nothing if it has none

MLO_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
MLO_CACHE=${XDG_CACHE_HOME:-${HOME:?}/.cache}/mlo
MLO_COMMAND=(env -C "$PWD" "$0" "$@")  # the script that reads this file, to start it anew
ENGINE_LOG=/var/log/mlo-dockerd.log
ENGINE_STARTED=  # how: by systemd, by hand; empty if not by us

say() { printf '[mlo] %s\n' "$*" >&2; }
warn() { say "WARNING: $*"; }
die() {
    say "ERROR: $*"
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo -- "$@"
    else
        die "$1 needs root, and there is no sudo here: run this as root"
    fi
}

ensure_packages() {
    local name missing=() log
    for name; do
        [ "$(dpkg-query -Wf '${db:Status-Abbrev}' "$name" 2>/dev/null)" = 'ii ' ] || missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || die "missing: ${missing[*]}. This is no Debian or Ubuntu: install them, then run this again"
    say "installing ${missing[*]}"
    log=$(mktemp)
    mkdir -p "$MLO_CACHE"
    (
        flock 9  # apt-get does not wait for another one, and tests run at the same time
        as_root apt-get update -qq &&
            as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 \
                install -qq -y --no-install-recommends "${missing[@]}"
    ) >"$log" 2>&1 9>"$MLO_CACHE/apt.lock" || die "${missing[*]} cannot be installed: $(cat "$log")"
    rm "$log"
}

ca_bundle() {
    local bundle
    for bundle in "${SSL_CERT_FILE-}" /etc/ssl/certs/ca-certificates.crt; do
        if [ -r "$bundle" ]; then
            echo "$bundle"
            break
        fi
    done
}

ensure_uv() {
    local version bin bundle new
    version=$(sed -n 's/^ARG UV_VERSION=//p' "$MLO_ROOT/docker/Dockerfile")
    bin=$MLO_CACHE/uv-$version
    PATH=$bin:$PATH
    export UV_PYTHON_DOWNLOADS=never  # the machine's own interpreter: one thing less that may be out of reach
    bundle=$(ca_bundle)
    [ -z "$bundle" ] || export SSL_CERT_FILE=$bundle  # uv trusts the machine's CAs only when told
    python3 -c 'import ensurepip' 2>/dev/null || ensure_packages python3 python3-venv
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        die "$(python3 --version) is too old: install Python 3.10 or later, then run this again"
    [ ! -x "$bin/uv" ] || return 0
    say "installing uv $version into $bin"
    mkdir -p "$MLO_CACHE"
    new=$(mktemp -d "$MLO_CACHE/new.XXXXXX")
    python3 -m venv "$new"
    "$new/bin/pip" install -q --disable-pip-version-check ${bundle:+--cert "$bundle"} "uv==$version" >&2
    mkdir -p "$bin"
    mv "$new/bin/uv" "$new/bin/uvx" "$bin"
    rm -rf "$new"
}

ensure_submit() { install_checkout submit; }
ensure_venv() { install_checkout dev --group "$MLO_ROOT/pyproject.toml:dev"; }

# Outside of the checkout, so that a run as root leaves nothing of root's in it. The stamp saves a second, and the network.
# uv takes from a constraint the version and the hashes.
install_checkout() {
    local lock=$MLO_ROOT/requirements.lock stamp
    ensure_uv
    VIRTUAL_ENV=$MLO_CACHE/venv-$(cksum <<<"$MLO_ROOT" | cut -d ' ' -f 1)
    export VIRTUAL_ENV
    PATH=$VIRTUAL_ENV/bin:$PATH
    "$VIRTUAL_ENV/bin/python" -c '' 2>/dev/null || uv venv -q --clear --python python3 "$VIRTUAL_ENV"
    stamp=$VIRTUAL_ENV/installed-$1
    if [ ! "$stamp" -nt "$MLO_ROOT/pyproject.toml" ] || [ ! "$stamp" -nt "$lock" ]; then
        uv pip install -q --constraints "$lock" --build-constraints "$lock" "${@:2}" --editable "$MLO_ROOT"
        touch "$stamp"
    fi
}

engine_answers() { "$DOCKER" version >/dev/null 2>&1; }

# BuildKit is part of the engine; a client up to version 22 reaches it by itself, later ones by the plugin buildx.
find_client() {
    local client version
    while read -r client; do
        version=$("$client" --version 2>/dev/null) || continue
        version=${version#Docker version }
        if [ "${version%%.*}" -lt 23 ] || "$client" buildx version >/dev/null 2>&1; then
            export DOCKER=$client DOCKER_BUILDKIT=1
            return
        fi
    done < <(type -aP docker; echo /usr/bin/docker)
    return 1
}

ensure_engine() {
    local clients
    find_client && engine_answers && return
    [ -z "${DOCKER_HOST-}" ] || die "no Docker Engine answers at DOCKER_HOST=$DOCKER_HOST: unset it to use one on this machine"
    open_socket
    [ -x /usr/sbin/dockerd ] || command -v dockerd >/dev/null || ensure_packages docker.io iptables
    if ! find_client; then
        # Debian bookworm has the client in docker.io; others have it, or its plugin, in packages of their own.
        mapfile -t clients < <(apt-cache pkgnames docker- | grep -xE 'docker-(cli|buildx)')
        ensure_packages "${clients[@]}"
        find_client || die "no docker client here can use BuildKit: install the plugin buildx, then run this again"
    fi
    engine_answers || start_engine "${1-}"
}

# The socket of an engine is open to root and to a group, docker, which a script can enter by sudo when it starts anew.
open_socket() {
    local socket=/run/docker.sock group
    if [ ! -S $socket ] || [ -w $socket ]; then return; fi
    group=$(stat -c %G $socket)
    if ! command -v sudo >/dev/null || [[ " $(id -nG) " = *" $group "* ]]; then
        die "$socket is not open to $(id -un): run this as root, or join the group $group"
    fi
    say "$socket is open to the group $group: going on as its member, by sudo"
    exec sudo --preserve-env --group="$group" -- "${MLO_COMMAND[@]}"
}

start_engine() {
    local owner=$1 tries
    if [ -d /run/systemd/system ]; then
        say "starting the Docker Engine${owner:+, which ends with this run}"
        as_root systemctl start docker
        ENGINE_STARTED=systemd
    else
        say "starting the Docker Engine${owner:+, which ends with this run}; its log: $ENGINE_LOG"
        # In a session of its own, out of reach of a Ctrl-C. With an owner, a keeper stays until either of them has ended.
        # shellcheck disable=SC2016  # expanded by the keeper
        as_root setsid --fork bash -c '
            exec </dev/null >"$1" 2>&1
            dockerd &
            if [ -n "$2" ]; then
                tail --pid="$2" -f /dev/null &
                wait -n
                kill $(jobs -p)
                wait
            fi' mlo-dockerd "$ENGINE_LOG" "$owner"
        ENGINE_STARTED=hand
    fi
    for ((tries = 0; tries < 300; tries++)); do
        ! engine_answers || return 0
        open_socket
        sleep 0.2
    done
    die "the Docker Engine did not answer within 60 s; its last words: $(tail -n 3 "$ENGINE_LOG" 2>/dev/null)"
}

# Like Debian's own images: without documentation and translations, also of what is installed on top.
make_debian() {
    say "making $1 with mmdebstrap"
    ensure_packages mmdebstrap debian-archive-keyring
    as_root mmdebstrap --quiet --variant=minbase \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        "${@:2}" "${1#mlo-base:}" - |
        "$DOCKER" import --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' - "$1" >&2 ||
        { "$DOCKER" rmi "$1" >&2; return 1; }  # an import of half a Debian
}

ensure_base() {
    ! "$DOCKER" image inspect "$1" >/dev/null 2>&1 || return 0
    if [[ $1 = mlo-base:* ]]; then make_debian "$@"; else "$DOCKER" pull "$1" >&2; fi
}

stop_engine() {
    local pid
    case $ENGINE_STARTED in
        systemd) as_root systemctl stop docker.socket docker ;;
        hand)
            if pid=$(cat /run/docker.pid 2>/dev/null) && as_root kill "$pid" 2>/dev/null; then
                tail --pid="$pid" -f /dev/null
            fi ;;
    esac
    ENGINE_STARTED=
}
