#!/bin/bash
# unpack.sh PROGRAMS IMAGE: a containerd root that holds a Docker image, and the pause image; prints its directory.
# Made once for each image: unpacking takes longer than all the rest of a start. The node lays a writable root over it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source ../../docker/lib.sh
programs=$1 image=$2 pause=mlo.test/pause:latest

ensure_engine
id=$("$DOCKER" image inspect --format '{{.Id}}' "$image")
root=$MLO_CACHE/image-${id:7:12}
if [[ ! -d $root ]]; then
    tar -C "$programs" -c pause | "$DOCKER" import --change 'ENTRYPOINT ["/pause"]' - $pause >&2
    rm -rf "$MLO_CACHE"/image-* # nobody asks for an image again once there is a newer one
    state=$(mktemp -d)
    cat > "$state/config.toml" << 'END'
version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
END
    unshare --mount containerd --config "$state/config.toml" --log-level error \
        --root "$root.new" --state "$state" --address "$state/socket" >&2 &
    trap 'kill $!; wait $! || true; rm -rf "$state"' EXIT
    ctr=(ctr --address "$state/socket" --namespace k8s.io)
    until "${ctr[@]}" version &> /dev/null; do
        kill -0 $! # which fails, and ends this, when containerd has
        sleep 0.05
    done
    "$DOCKER" save $pause "$image" | "${ctr[@]}" images import - >&2
    kill $!
    wait $! || true
    mv "$root.new" "$root"
    rm -rf "$state"
    trap - EXIT
fi
echo "$root"
