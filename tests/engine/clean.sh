#!/usr/bin/env bash
# Makes a Debian of a suite that has Python and nothing of ours, mlo-clean:SUITE, and prints its name: tests/engine/clean.sh SUITE
set -euo pipefail
# shellcheck source=../../docker/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../docker/lib.sh"

options=()
# Of a suite that moves, a mirror may have what is older than its own release files allow.
[ "$1" != forky ] || options=(--aptopt='Acquire::Check-Valid-Until "false"')
ensure_engine
ensure_base "mlo-base:$1" ${options[@]+"${options[@]}"}
"$DOCKER" build --network=host --quiet --tag "mlo-clean:$1" - >&2 <<END
FROM mlo-base:$1
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \\
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \\
    apt-get update && apt-get install -y --no-install-recommends ca-certificates python3-venv
END
echo "mlo-clean:$1"
