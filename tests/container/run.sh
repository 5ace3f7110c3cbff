#!/usr/bin/env bash
# Boots the image for real, in one privileged container, and then a few times as an engine does. Arguments go to pytest.
#
#   tests/container/run.sh                          all
#   tests/container/run.sh -k ssh -x                some
#   MLO_IMAGE=mlo:dev tests/container/run.sh        this image, without building it
#   tests/container/run.sh --bench                  tests/bench/boot.py instead of pytest; see its --help
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source docker/lib.sh

ensure_engine $$
image=${MLO_IMAGE:-$(docker/build.sh | tail -n 1)}
secret=()
if bundle=$(ca_bundle) && [ -n "$bundle" ]; then
    secret=(--secret "id=ca,src=$bundle")
fi
"$DOCKER" build --quiet --network=host "${secret[@]}" --build-arg "IMAGE=$image" --tag "$image-test" tests/container >&2

run=("$DOCKER" run --rm --privileged --network=none --volume "$PWD:/src:ro")
if [ "${1-}" = --bench ]; then
    exec "${run[@]}" --entrypoint /opt/test/bin/python "$image-test" -B -m tests.bench.boot "${@:2}"
fi

# 5 is pytest's "no tests were chosen": the arguments may mean the other half.
inside=0 engine=0
"${run[@]}" "$image-test" tests/container --ignore tests/container/test_engine.py "$@" || inside=$?
ensure_uv
MLO_IMAGE=$image PYTHONDONTWRITEBYTECODE=1 "$UV" run --quiet --frozen --only-group dev \
    python -m pytest -p no:cacheprovider -p no:tests.container.conftest --noconftest tests/container/test_engine.py "$@" || engine=$?
[ $inside = 5 ] && inside=$engine
[ $engine = 5 ] && engine=0
exit $((inside ? inside : engine))
