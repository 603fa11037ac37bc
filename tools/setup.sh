#!/usr/bin/env bash
# Make everything ready: system packages that are missing, and .venv exactly as requirements.lock
# says, with ahstore in it. Does nothing when all is in place. PYTHON chooses the interpreter.
#
#   tools/setup.sh
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
stamp=.venv/.made-from

say() { printf 'setup: %s\n' "$*" >&2; }

missing_packages() {
    command -v git >/dev/null || echo git
    command -v "$python" >/dev/null || echo python3
    # ensurepip is what Debian leaves out of python3 unless python3-venv is installed.
    "$python" -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
}

# Tests that kill at system calls need strace, those of stores on SFTP a server, those of runs on
# Slurm its daemons; where they can't be installed they say so and skip.
wanted_packages() {
    command -v strace >/dev/null || echo strace
    [ -x /usr/sbin/sshd ] || command -v sshd >/dev/null || echo openssh-server
    [ -x /usr/sbin/slurmctld ] && [ -x /usr/sbin/munged ] || echo slurm-wlm munge
}

apt_install() {
    [ $# -eq 0 ] || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >&2
}

install_system_packages() {
    local missing wanted='' can_install=yes
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null || can_install=no
    missing=$(missing_packages | tr '\n' ' ')
    [ "$can_install" = no ] || wanted=$(wanted_packages | tr '\n' ' ')
    [ -n "$missing$wanted" ] || return 0
    if [ "$can_install" = no ]; then
        say "please install these first, then try again: $missing"
        exit 1
    fi
    say "installing $missing$wanted"
    apt-get update -qq >&2 || true
    # shellcheck disable=SC2086  # a list of names
    apt_install $missing
    # One at a time: what there is of them is installed though another can't be.
    for package in $wanted; do
        apt_install "$package" || say "no $package here: the tests that need it are skipped"
    done
    missing=$(missing_packages | tr '\n' ' ')
    [ -z "$missing" ] || { say "still missing for $python: $missing"; exit 1; }
}

fingerprint() {
    "$python" - "$@" <<'PY'
import hashlib, pathlib, sys
parts = [pathlib.Path(name).read_bytes() for name in sys.argv[1:]]
parts += [sys.version.encode(), sys.executable.encode(), str(pathlib.Path.cwd()).encode()]
print(hashlib.sha256(b"\0".join(parts)).hexdigest())
PY
}

pip_install() {
    .venv/bin/python -m pip install -qq --disable-pip-version-check "$@"
}

make_venv() {
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
        say "$("$python" --version) is too old: Python 3.10 or newer is needed (PYTHON=… chooses)"
        exit 1
    }
    say "making .venv ($("$python" --version), requirements.lock): once, a minute or so"
    "$python" -m venv --clear .venv
    echo unfinished >"$stamp"
    pip_install --only-binary :all: --require-hashes -r requirements.lock
}

# Two makes started together wait for each other rather than write one .venv twice.
if command -v flock >/dev/null && [ "${AHSTORE_SETUP_LOCKED:-}" != 1 ]; then
    AHSTORE_SETUP_LOCKED=1 exec flock tools/setup.sh tools/setup.sh "$@"
fi

install_system_packages
if [ -d .venv ] && [ ! -e "$stamp" ]; then
    say "using the .venv that is here, which this script did not make (remove it to have it made)"
    exit 0
fi
lock=$(fingerprint requirements.lock)
project=$(fingerprint pyproject.toml)
made_from=$(cat "$stamp" 2>/dev/null || true)
[ "$made_from" != "$lock $project" ] || exit 0
[ "${made_from% *}" = "$lock" ] || make_venv
pip_install --no-deps --no-build-isolation -e .
echo "$lock $project" >"$stamp"
