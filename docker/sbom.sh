#!/usr/bin/env bash
# Prints what an image is made of, as a software bill of materials.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

SYFT=1.57.0

usage() {
    cat <<'END'
Usage: docker/sbom.sh [IMAGE [FORMAT]]

Prints the bill of materials of IMAGE (default: mlo:dev) as syft makes it: each package of Debian, Python and Rust that is in
the image, with its version and licence. FORMAT is spdx-json, the default, or another of syft, such as cyclonedx-json.
The first time builds syft from its Go module, in minutes, with the Go of this machine; the caches are in ~/.cache/mlo.
END
}

[[ ${1-} != -h && ${1-} != --help ]] || { usage; exit; }
image=${1:-mlo:dev}
bin=$MLO_CACHE/syft-$SYFT
ensure_engine
"$DOCKER" image inspect "$image" >/dev/null 2>&1 || die "there is no image $image here: docker/build.sh builds mlo:dev"
if [ ! -x "$bin/syft" ]; then
    command -v go >/dev/null || die "syft $SYFT is built with Go, which is not on PATH: install Go, then run this again"
    say "building syft $SYFT into $bin"
    GOBIN=$bin CGO_ENABLED=0 nice go install -trimpath -ldflags '-s -w' "github.com/anchore/syft/cmd/syft@v$SYFT" >&2
fi
SYFT_CHECK_FOR_APP_UPDATE=false "$bin/syft" scan --quiet --output "${2:-spdx-json}" "docker:$image"
