# Sourced by up, test and bench: the virtual environment at the root, and what a local broker needs.
# Needs `root`, the repository's folder. Everything it says goes to standard error.

# Every worker, command and test is a process of its own that imports the same files, and uv leaves it to the first of
# them to compile each. Where Python is told to keep nothing of that, as images and CI do, each process compiles anew.
unset PYTHONDONTWRITEBYTECODE

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $*"; exit 78; }

# The first Python of a version that Refrain supports.
find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3.11 python3.12 python3 python; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail "no Python 3.11 or 3.12 found: install one (Debian, Ubuntu: apt-get install python3 python3-venv;" \
        "macOS: brew install python@3.12), or name it in PYTHON"
}

as_root_with_apt() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

# What runs the service, and what runs every test: the sets of packages that setup_venv takes. Without the second there
# is no PyTorch; docker and testcontainers start the broker in Docker.
service=("$root[light]" docker testcontainers)
everything=("$root[light,embed,learn,weights,plot,traces,test]")

# All that decides what is installed: the set, the pins, the project's needs, and where the folder lies.
wanted() { printf '%s\n' "$@"; cat "$root/infra/constraints.txt" "$root/pyproject.toml"; }

installed() { wanted "$@" | cmp -s - "$root/.venv/installed.txt"; }

# Whether uv would install from where pip does. It reads none of pip's settings: those that it has a name for are handed
# on, those that change nothing here are left, and with any other (an index of one's own, a proxy) pip installs.
uv_follows_pip() {
    local name value
    while IFS="=" read -r name value; do
        value=${value#\'}
        value=${value%\'}
        case ${name##*.} in
            cert) export SSL_CERT_FILE="${SSL_CERT_FILE:-$value}" ;;
            timeout | default-timeout) export UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-$value}" ;;
            find-links)
                value=${value//\\n/ }
                export UV_FIND_LINKS="${UV_FIND_LINKS:-${value// /,}}"
                ;;
            break-system-packages | cache-dir | disable-pip-version-check | no-cache-dir | no-input | no-warn-* | \
                progress-bar | quiet | require-virtualenv | retries | root-user-action | verbose) ;;
            *) return 1 ;;
        esac
    done < <("$root/.venv/bin/python" -m pip config list 2>/dev/null)
}

# Downloads and unpacks side by side, where pip takes one after the other: minutes, with PyTorch. Where uv cannot be had,
# or fails, pip installs. In a shell of its own: what it sets is uv's alone.
install_by_uv() (
    uv_follows_pip || exit 1
    "$root/.venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
        -c "$root/infra/constraints.txt" uv >&2 &&
        "$root/.venv/bin/uv" pip install --quiet --python "$root/.venv/bin/python" \
            -c "$root/infra/constraints.txt" -e "$@" >&2 && exit
    say "setup: uv could not install them; trying with pip"
    exit 1
)

# Installs a set of packages, unless it or everything is installed.
setup_venv() {
    local stamp="$root/.venv/installed.txt" python
    if { installed "$@" || installed "${everything[@]}"; } && "$root/.venv/bin/python" -c '' 2>/dev/null; then
        return
    fi
    if ! "$root/.venv/bin/python" -m pip --version >/dev/null 2>&1; then
        python=$(find_python)
        say "setup: making .venv with $("$python" --version)"
        "$python" -m venv --clear "$root/.venv" >&2 || fail "$python cannot make a virtual environment:" \
            "install its venv module (Debian, Ubuntu: apt-get install python3-venv)"
    fi
    say "setup: installing the pinned packages into .venv (up to a minute the first time; for tests 1-5 minutes," \
        "because PyTorch is large)"
    install_by_uv "$@" || "$root/.venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
        -c "$root/infra/constraints.txt" -e "$@" >&2 ||
        fail "pip could not install the packages: see above, and start again (what is done is kept)"
    wanted "$@" >"$stamp"
    say "setup: done"
}

# The engine, not only the client: asking it must answer quickly.
docker_runs() {
    command -v docker >/dev/null && timeout 5 docker info >/dev/null 2>&1
}

# On a bare machine of which we are root: a Java and Maven for the local broker.
setup_java() {
    if [ -n "${REFRAIN_KAFKA:-}" ] || { command -v java >/dev/null && command -v mvn >/dev/null; } || docker_runs; then
        return
    fi
    as_root_with_apt || return 0 # infra/local/broker.py says what is missing
    say "setup: no REFRAIN_KAFKA, Docker engine, or Java with Maven: installing a Java and Maven with apt-get"
    apt-get update -qq >&2 || say "setup: apt-get update failed; trying with what is known"
    local jre
    for jre in openjdk-21-jre-headless openjdk-17-jre-headless default-jre-headless; do
        if [ -n "$(apt-cache show "$jre" 2>/dev/null)" ]; then break; fi
    done
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$jre" maven >&2 ||
        say "setup: apt-get could not install $jre and maven"
}
