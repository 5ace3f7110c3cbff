#!/usr/bin/env bash
# Builds the image. The tag is the last line on stdout; all else goes to stderr.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    cat <<'END'
Usage: docker/build.sh [--tag TAG] [--base IMAGE] [--strict] [--build-arg KEY=VALUE]...

Builds the image and prints its tag. Installs and starts what it needs (Docker Engine, mmdebstrap) where that is missing.

  --tag TAG              name of the image (default: mlo:dev)
  --base IMAGE           build on this image. The default is the Dockerfile's GPU base; where that cannot be pulled, it is
                         mlo-base:bookworm. mlo-base:SUITE is a small Debian of that name, made by mmdebstrap when missing
  --strict               no such substitutes: fail where the default base or oh-my-zsh cannot be had
  --build-arg KEY=VALUE  another build argument of docker/Dockerfile, e.g. OHMYZSH=none

LDAP_USERNAME, LDAP_UID, LDAP_GROUPNAME and LDAP_GID are taken from the environment where they are set.
END
}

tag=mlo:dev
base=
strict=
arguments=()
while [ $# -gt 0 ]; do
    case $1 in
        --help | -h) usage; exit ;;
        --strict) strict=1; shift; continue ;;
        --tag | --base | --build-arg) [ -n "${2-}" ] || die "$1 needs a value; see --help" ;;
        *) die "unknown option $1; see --help" ;;
    esac
    case $1 in
        --tag) tag=$2 ;;
        --base) base=$2 ;;
        --build-arg) arguments+=("$2") ;;
    esac
    shift 2
done
for name in LDAP_USERNAME LDAP_UID LDAP_GROUPNAME LDAP_GID; do
    [ -z "${!name-}" ] || arguments+=("$name=${!name}")
done

ensure_engine
default=$(sed -n 's/^ARG BASE_IMAGE=//p' "$MLO_ROOT/docker/Dockerfile")
if ! ensure_base "${base:-$default}"; then
    [ -z "$base$strict" ] || die "there is no base ${base:-$default} (see above): log in to its registry, or choose another by --base"
    warn "$default cannot be pulled (see above): building on a small Debian, without GPU libraries"
    base=mlo-base:bookworm
    ensure_base $base
fi
base=${base:-$default}

if [[ " ${arguments[*]-}" != *" OHMYZSH="* ]]; then
    ensure_packages git ca-certificates
    if ! timeout 20 git ls-remote -q https://github.com/ohmyzsh/ohmyzsh.git HEAD >/dev/null; then
        [ -z "$strict" ] || die "GitHub cannot be reached for oh-my-zsh (see above)"
        warn "GitHub cannot be reached (see above): building without oh-my-zsh"
        arguments+=(OHMYZSH=none)
    fi
fi

command=("$DOCKER" build --network=host --file "$MLO_ROOT/docker/Dockerfile" --tag "$tag" --build-arg "BASE_IMAGE=$base")
for argument in ${arguments[@]+"${arguments[@]}"}; do
    command+=(--build-arg "$argument")
done
bundle=$(ca_bundle)
[ -z "$bundle" ] || command+=(--secret "id=ca,src=$bundle")
if revision=$(git -C "$MLO_ROOT" describe --always --dirty 2>/dev/null); then
    command+=(--label "org.opencontainers.image.revision=$revision")
fi
say "building $tag on $base"
"${command[@]}" "$MLO_ROOT" >&2
echo "$tag"
