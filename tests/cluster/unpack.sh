#!/bin/bash
# unpack.sh PROGRAMS IMAGE: a containerd root that holds a Docker image, and the pause image; prints its directory.
# Made once for each image: unpacking takes longer than all the rest of a start. The node lays a writable root over it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source ../../docker/lib.sh
programs=$1 image=$2 pause=mlo.test/pause:latest

ensure_engine
id=$("$DOCKER" image inspect --format '{{.Id}}' "$image")
root=$MLO_CACHE/image-$(sha256sum <<< "$id $image" | head -c 12)
mkdir -p "$MLO_CACHE"
exec 9> "$MLO_CACHE/images.lock"
flock 9
# The one of an older build may still be in use, but not for an hour.
find "$MLO_CACHE" -maxdepth 1 -name 'image-*' -mmin +60 -exec rm -rf {} +
if [[ ! -d $root ]]; then
    rm -rf "$root.new"
    state=$(mktemp -d)
    cat > "$state/config.toml" << 'END'
version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
END
    unshare --mount containerd --config "$state/config.toml" --log-level error \
        --root "$root.new" --state "$state" --address "$state/socket" >&2 &
    stop() {
        kill $!
        wait $! || true
        rm -rf "$state"
    }
    trap stop EXIT
    ctr=(ctr --address "$state/socket" --namespace k8s.io)
    until "${ctr[@]}" version &> /dev/null; do
        kill -0 $! # which ends this, when containerd has ended
        sleep 0.05
    done
    tar -C "$programs" -c pause | "$DOCKER" import --change 'ENTRYPOINT ["/pause"]' - $pause >&2
    "$DOCKER" save $pause "$image" | "${ctr[@]}" images import - >&2
    "$DOCKER" image rm $pause >&2
    trap - EXIT
    stop
    mv "$root.new" "$root"
fi
touch "$root"
echo "$root"
