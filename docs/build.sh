#!/usr/bin/env bash
# Builds the documentation as a site, and prints where: docs/build.sh [DIRECTORY]. A dead link ends it.
#
#   docs/build.sh --serve    shows it at http://127.0.0.1:8000 while the pages are edited
set -euo pipefail
# shellcheck source=../docker/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../docker/lib.sh"

ensure_venv
export NO_MKDOCS_2_WARNING=1 PYTHONPYCACHEPREFIX=$MLO_CACHE/pycache
config=$MLO_ROOT/mkdocs.yml
if [ "${1-}" = --serve ]; then
    exec mkdocs serve --config-file "$config"
fi
site=$(realpath -m "${1:-$MLO_CACHE/site}")
mkdocs build --clean --config-file "$config" --site-dir "$site" 2> >(grep -v "^INFO" >&2)
echo "$site/index.html"
