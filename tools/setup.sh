#!/bin/sh
# Makes .venv exactly as uv.lock says; arguments are those of `uv sync`. Needs Python 3.11 or newer,
# and nothing else: where `uv` is not on the PATH it is put into .venv first, with the standard
# library's venv and pip.
set -eu
cd "$(dirname "$0")/.."

# The gateway embeds Python in Envoy, which takes libpython as a shared library: the first Python that
# has one is chosen, and otherwise the first of all, which can do everything but run a node.
find_python() {
    first=
    for name in python3 python3.11 python3.12 python3.13 python3.14 python; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            first=${first:-$name}
            if "$name" -c "$has_libpython" >/dev/null 2>&1; then
                echo "$name"
                return 0
            fi
        fi
    done
    if [ -z "$first" ]; then
        echo "setup: no Python 3.11 or newer on the PATH (tried python3, python3.11 to python3.14, python)." >&2
        echo "setup: install one (Debian 12, Ubuntu 24.04: apt install python3 python3-venv) and run make again." >&2
        return 1
    fi
    echo "setup: $first has no shared libpython, and so can't run a node's gateway." >&2
    echo "setup: install it (Debian, Ubuntu: apt install libpython3-dev), then 'make clean' and make again." >&2
    echo "$first"
}

has_libpython='
import sys, sysconfig
from pathlib import Path
variables = sysconfig.get_config_vars()
folders = [variables.get("LIBDIR"), variables.get("LIBPL"), "/usr/lib/%s" % variables.get("MULTIARCH")]
names = [variables.get("INSTSONAME"), "libpython%s.so.1.0" % variables.get("VERSION")]
found = [f for f in folders if f for n in names if n and ".a" not in n and Path(f, n).is_file()]
sys.exit(not found)
'

if uv --version >/dev/null 2>&1; then
    if [ ! -x .venv/bin/python ]; then
        uv venv --quiet --python "$(find_python)" .venv
    fi
    exec uv sync --frozen --quiet "$@"
fi

if [ ! -x .venv/bin/uv ]; then
    echo "setup: uv is not on the PATH, so it goes into .venv" >&2
    if [ ! -x .venv/bin/python ]; then
        python=$(find_python)
        "$python" -m venv .venv || {
            echo "setup: '$python -m venv' failed; on Debian and Ubuntu: apt install python3-venv" >&2
            exit 1
        }
    fi
    .venv/bin/python -m ensurepip --upgrade >/dev/null 2>&1 || true
    .venv/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.6'
fi
# --inexact: uv itself is no part of the lock, and would otherwise remove itself.
exec .venv/bin/uv sync --frozen --quiet --inexact --python .venv/bin/python "$@"
