#!/usr/bin/env bash
# The tests on a real Kubernetes. Arguments go to pytest.
#
#   tests/cluster/run.sh                                all
#   tests/cluster/run.sh -k preempted -x                some
#   MLO_IMAGE=mlo:dev tests/cluster/run.sh              this image, without building it
#   MLO_TEST_KUBECONFIG=FILE tests/cluster/run.sh       on a cluster that exists; see conftest.py
#   tests/cluster/run.sh --shell [COMMAND…]             no tests: a shell, or COMMAND, with a cluster of its own
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source docker/lib.sh

ensure_venv
if [ -z "${MLO_TEST_KUBECONFIG-}" ]; then
    [ "$(id -u)" = 0 ] || die "the test cluster needs namespaces and cgroups: run this as root"
    # Docker's own packages bring these two under other names.
    { command -v containerd && command -v runc; } >/dev/null || ensure_packages containerd runc
    ensure_packages containernetworking-plugins fuse3 iproute2 openssl openssh-client
    ensure_engine $$
    MLO_IMAGE=${MLO_IMAGE:-$(docker/build.sh | tail -n 1)}
fi
export MLO_IMAGE=${MLO_IMAGE:?names the image of the jobs, which that cluster must be able to pull}
if [ "${1-}" = --shell ]; then
    exec python tests/cluster/cluster.py "$MLO_IMAGE" "${@:2}"
fi
export PYTHONPYCACHEPREFIX=$MLO_CACHE/pycache # nothing is written into the checkout
# They wait more than they work: three at a time, each with a cluster of its own.
exec python -m pytest --numprocesses 3 -o "cache_dir=$MLO_CACHE/pytest" tests/cluster "$@"
