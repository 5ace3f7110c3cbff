#!/usr/bin/env bash
# Builds the image for an account and pushes it to the lab's registry. Nothing is built with an identity left open.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    cat <<'END'
Usage: docker/publish.sh [--dry-run] [--sbom FILE] [OPTION OF docker/build.sh]...

Builds the image and pushes it to $REGISTRY/$IMAGE_PATH:$TAG. --dry-run prints the commands instead. --sbom writes what the
image is made of into FILE, by docker/sbom.sh, before anything is pushed.

  REGISTRY, IMAGE_PATH, TAG                             where it goes: registry.example.com, group/user/image, v1
  LDAP_USERNAME, LDAP_UID, LDAP_GROUPNAME, LDAP_GID     the account of the image, as id prints it on the lab's machines
END
}

dry_run=
bill=
options=()
while [ $# -gt 0 ]; do
    case $1 in
        --help | -h) usage; exit ;;
        --dry-run) dry_run=1 ;;
        --sbom)
            bill=${2-}
            [ -n "$bill" ] || die "--sbom needs a FILE; see --help"
            shift ;;
        --tag) die "--tag is made of REGISTRY, IMAGE_PATH and TAG; see --help" ;;
        *) options+=("$1") ;;
    esac
    shift
done

# check NAME PATTERN WHAT: a value that is missing, of a wrong form or left over from an example is one problem.
problems=()
check() {
    local value=${!1-}
    if [ -z "$value" ]; then
        problems+=("$1 is not set: $3")
    elif [[ ! $value =~ ^$2$ || ${value,,} =~ placeholder|^your|changeme|example ]]; then
        problems+=("$1=$value is no real value: $3")
    fi
}
part='[a-z0-9]+([._-]+[a-z0-9]+)*'
account='[A-Za-z_][A-Za-z0-9._-]{0,31}'
id='[1-9][0-9]{0,9}'
check REGISTRY '[A-Za-z0-9.-]+(:[0-9]+)?' 'the host of the registry'
check IMAGE_PATH "$part(/$part)*" 'the path in the registry, in lower case'
check TAG '[A-Za-z0-9_][A-Za-z0-9._-]{0,127}' 'a tag such as v1'
check LDAP_USERNAME "$account" 'what id -un prints on a machine of the lab'
check LDAP_UID "$id" 'what id -u prints there'
check LDAP_GROUPNAME "$account" 'what id -gn prints there'
check LDAP_GID "$id" 'what id -g prints there'
for name in LDAP_UID LDAP_GID; do
    [ "${!name-}" != "$(sed -n "s/^ARG $name=//p" "$MLO_ROOT/docker/Dockerfile")" ] ||
        problems+=("$name=${!name} is the Dockerfile's placeholder")
done
if [ ${#problems[@]} -gt 0 ]; then
    die "nothing was built:$(printf '\n  %s' "${problems[@]}")"
fi

image=$REGISTRY/$IMAGE_PATH:$TAG
build=(env "LDAP_USERNAME=$LDAP_USERNAME" "LDAP_UID=$LDAP_UID" "LDAP_GROUPNAME=$LDAP_GROUPNAME" "LDAP_GID=$LDAP_GID"
    "$MLO_ROOT/docker/build.sh" --strict --tag "$image" ${options[@]+"${options[@]}"})
if [ -n "$dry_run" ]; then
    printf '%q ' "${build[@]}"
    printf '\n'
    [ -z "$bill" ] || printf '%q %q >%q\n' "$MLO_ROOT/docker/sbom.sh" "$image" "$bill"
    printf 'docker push %q\n' "$image"
    exit
fi
"${build[@]}" >&2
[ -z "$bill" ] || "$MLO_ROOT/docker/sbom.sh" "$image" >"$bill"
find_client
"$DOCKER" push "$image" >&2
echo "$image"
