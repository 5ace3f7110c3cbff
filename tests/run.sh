#!/usr/bin/env bash
# Runs every test, on a fresh Debian or Ubuntu machine too: what is missing is installed. See --help.
# shellcheck disable=SC2329  # the stages are called by their names
set -euo pipefail
# shellcheck source=../docker/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../docker/lib.sh"
cd "$MLO_ROOT"

usage() {
    cat <<'END'
Usage: tests/run.sh [lint | unit | container | engine | cluster]...

Runs these stages, or all of them, as root or as a user with sudo. A stage that fails does not keep the next from running.
Engine and cluster run at the same time, since their tests mostly wait; the log of the second comes after that of the first.
A Docker Engine that is started for them ends with this run. Caches are in ${XDG_CACHE_HOME:-~/.cache}/mlo, and nothing is
written into the checkout. With CI=true a skipped test fails the run unless tests/allowed-skips.txt lists it.
END
}

stage_lint() {
    local failed=0 scripts
    ensure_packages git
    mapfile -t scripts < <(git ls-files -co --exclude-standard | xargs -d '\n' grep -slE '^#!.*\b(ba)?sh\b|^# shellcheck shell=')
    ruff check . || failed=1
    ruff format --check . || failed=1
    mypy || failed=1
    shellcheck --external-sources --source-path=SCRIPTDIR:. "${scripts[@]}" || failed=1
    docs/build.sh || failed=1
    return "$failed"
}

stage_unit() {
    ensure_packages fish git zsh
    pytest --numprocesses 2 -o "cache_dir=$MLO_CACHE/pytest" tests/unit
}

stage_container() { tests/container/run.sh; }

# A login server is no business of a machine that runs tests: its program is wanted, and not its service.
ensure_sshd() {
    if [ ! -x /usr/sbin/sshd ] && [ -d /run/systemd/system ]; then
        say "masking ssh.service, since the tests need openssh-server for its program alone"
        as_root systemctl mask ssh.service ssh.socket
    fi
    ensure_packages openssh-server
}

stage_engine() {
    ensure_sshd
    ensure_packages openssh-client rsync zsh
    MLO_IMAGE=$(docker/build.sh | tail -n 1)
    export MLO_IMAGE
    pytest -o "cache_dir=$MLO_CACHE/pytest" tests/engine
}

stage_cluster() { tests/cluster/run.sh; }

# However this run ends, the stages that run are ended first, as by Ctrl-C, which lets pytest clean up; then the engine goes.
# TERM is for a stage that ignores it, as all do that a shell without job control starts by `&`.
declare -A running=() started=()
end_stage() {
    local signal tries
    for signal in INT TERM KILL; do
        kill "-$signal" -- "-$1" 2>/dev/null || return 0
        for ((tries = 0; tries < 300; tries++)); do
            kill -0 -- "-$1" 2>/dev/null || return 0
            sleep 0.1
        done
    done
}
finish() {
    local code=$? stage
    trap - EXIT INT TERM HUP  # a second signal ends this at once
    for stage in "${!running[@]}"; do
        end_stage "${running[$stage]}"
    done
    [ ! -e "${later-}" ] || { cat "$later" && rm "$later"; }
    stop_engine
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

stages=()
for stage; do
    case $stage in
        --help | -h) usage; exit ;;
        lint | unit | container | engine | cluster) stages+=("$stage") ;;
        *) die "unknown stage $stage; see --help" ;;
    esac
done
[ ${#stages[@]} -gt 0 ] || stages=(lint unit container engine cluster)

ensure_venv
export RUFF_CACHE_DIR=$MLO_CACHE/ruff MYPY_CACHE_DIR=$MLO_CACHE/mypy PYTHONPYCACHEPREFIX=$MLO_CACHE/pycache
export HYPOTHESIS_STORAGE_DIRECTORY=$MLO_CACHE/hypothesis
[[ " ${stages[*]} " != *" "@(container|engine|cluster)" "* ]] || ensure_engine $$

summary=()
passed=0
first_failure=0

begin() {
    started[$1]=$SECONDS
    set -m  # a process group for the stage, in which an interrupt reaches all of it
    "stage_$1" </dev/null &
    running[$1]=$!
    set +m
}
await() {
    local code=0 result=passed seconds
    wait "${running[$1]}" || code=$?
    unset "running[$1]"
    seconds=$((SECONDS - started[$1]))
    if [ $code = 0 ]; then
        passed=$((passed + 1))
    else
        result="FAILED with exit code $code"
        [ $first_failure != 0 ] || first_failure=$code
    fi
    summary+=("$(printf '%-9s  %4d s  %s' "$1" "$seconds" "$result")")
    [ -z "${2-}" ] || { cat "$2" && : >"$2"; }
    printf '== %s: %s after %d s\n' "$1" "$result" "$seconds"
}

later=$(mktemp)
for stage in "${stages[@]}"; do
    [ -z "${started[$stage]-}" ] || continue
    printf '\n== %s\n' "$stage"
    begin "$stage"
    if [ "$stage" = engine ] && [[ " ${stages[*]} " == *" cluster "* ]]; then
        begin cluster >"$later" 2>&1
        await engine
        printf '\n== cluster\n'
        await cluster "$later"
    else
        await "$stage"
    fi
done

printf '\n'
printf '%s\n' "${summary[@]}"
printf 'stages: %d passed, %d failed\n' "$passed" $((${#stages[@]} - passed))
exit "$first_failure"
