#!/usr/bin/env bash
# Boots the image for real, in one container with the namespaces of many pods, and then a few times as an engine does.
# Arguments go to pytest.
#
#   tests/container/run.sh                          all
#   tests/container/run.sh -k ssh -x                some, by options of pytest
#   MLO_IMAGE=mlo:dev tests/container/run.sh        this image, without building it
#   tests/container/run.sh --bench                  tests/bench/boot.py instead of pytest; --bench --help lists its options
set -euo pipefail
# shellcheck source=../../docker/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../docker/lib.sh"
cd "$MLO_ROOT"

ensure_engine $$
trap stop_engine EXIT
image=${MLO_IMAGE:-$(docker/build.sh | tail -n 1)}
build=("$DOCKER" build --quiet --network=host --build-arg "IMAGE=$image" --tag "$image-test")
bundle=$(ca_bundle)
[ -z "$bundle" ] || build+=(--secret "id=ca,src=$bundle")
"${build[@]}" tests/container >&2

# What mounting, FUSE and strace take. Not --privileged: that fails where the machine itself lacks a capability.
run=("$DOCKER" run --rm --env CI --network=none --cap-add SYS_ADMIN --cap-add SYS_PTRACE --device /dev/fuse
    --security-opt seccomp=unconfined --security-opt apparmor=unconfined --volume "$MLO_ROOT:/src:ro")
if [ "${1-}" = --bench ]; then
    "${run[@]}" --entrypoint /opt/test/bin/python "$image-test" -B -m tests.bench.boot "${@:2}"
    exit
fi

# Exit code 5 is pytest's "no tests were chosen": the arguments may mean the other half.
inside=0 outside=0
"${run[@]}" "$image-test" tests/container --ignore tests/container/test_engine.py "$@" || inside=$?
ensure_venv
MLO_IMAGE=$image PYTHONDONTWRITEBYTECODE=1 pytest -p no:cacheprovider tests/container/test_engine.py "$@" || outside=$?
[ $inside != 5 ] || inside=$outside
[ $outside != 5 ] || outside=0
exit $((inside ? inside : outside))
