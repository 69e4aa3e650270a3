#!/bin/sh
# Compares the protos with those of the last release: what was published stays readable for ever.
set -eu
cd "$(dirname "$0")/.."
tag=$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null) || exit 0
echo "buf breaking --against $tag"
exec .venv/bin/buf breaking --against ".git#tag=$tag"
