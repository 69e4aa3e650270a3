#!/bin/sh
# Makes .venv exactly as uv.lock says. Needs Python 3.11 or newer, and nothing else: where `uv` is not
# on the PATH it is put into .venv first, with the standard library's venv and pip.
set -eu
cd "$(dirname "$0")/.."

find_python() {
    for name in python3 python3.11 python3.12 python3.13 python3.14 python; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            echo "$name"
            return 0
        fi
    done
    echo "setup: no Python 3.11 or newer on the PATH (tried python3, python3.11 to python3.14, python)." >&2
    echo "setup: install one (Debian 12, Ubuntu 24.04: apt install python3 python3-venv) and run make again." >&2
    return 1
}

if uv --version >/dev/null 2>&1; then
    if [ ! -x .venv/bin/python ]; then
        uv venv --quiet --python "$(find_python)" .venv
    fi
    exec uv sync --frozen --quiet
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
exec .venv/bin/uv sync --frozen --quiet --inexact --python .venv/bin/python
