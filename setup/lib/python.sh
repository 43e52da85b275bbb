# shellcheck shell=bash
# The Python environment in .venv: exactly what the lock files say, and this checkout itself.

OLDEST_PYTHON='(3, 10)'
VENV=$CHECKOUT/.venv
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

# The first Python that is new enough; plain python3 is preferred.
find_python() {
    local candidate
    for candidate in python3 python3.13 python3.12 python3.11 python3.10; do
        if command -v "$candidate" >/dev/null && "$candidate" -c "import sys; sys.exit(sys.version_info < $OLDEST_PYTHON)"; then
            command -v "$candidate"
            return
        fi
    done
}

# Whether this Python can make environments: Debian keeps that in a package of its own.
python_works() { [[ -x $VENV/bin/pip ]] || { [[ $1 ]] && "$1" -c 'import ensurepip, venv' 2>/dev/null; }; }

environment_locks() {
    echo "$CHECKOUT/requirements/main.lock"
    [[ $WITH_TESTS ]] && echo "$CHECKOUT/requirements/test.lock"
}

# A stamp is the lock's hash and the packages it brought; they must still be there, and whole.
lock_is_installed() {
    local stamp place name
    stamp=$VENV/mlabhub-$(basename "$1").stamp
    [[ -e $stamp && $(head -n 1 "$stamp") == "$(lock_hash "$1")" ]] || return 1
    place=$(sed -n 2p "$stamp")
    while read -r name; do
        [[ -e $place/$name/INSTALLER ]] || return 1
    done < <(tail -n +3 "$stamp")
}

lock_hash() { cat "$1" "$CHECKOUT"/{,extensions/proxies/,extensions/agent/,extensions/lab/}pyproject.toml | sha256sum | cut -d' ' -f1; }

environment_is_there() {
    local lock
    "$VENV/bin/python" -c '' 2>/dev/null || return 1
    while read -r lock; do
        lock_is_installed "$lock" || return 1
    done < <(environment_locks)
}

make_environment() {
    local unfinished=$CACHE/python.unfinished killed=
    [[ -e $unfinished ]] && killed=yes
    [[ $PYTHON ]] || { echo "Python 3.10 or newer is missing."; return 1; }
    touch "$unfinished"
    if ! "$VENV/bin/python" -c "import sys; sys.exit(sys.version_info < $OLDEST_PYTHON)" 2>/dev/null; then
        "$PYTHON" -m venv --clear "$VENV"
    elif ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
        "$VENV/bin/python" -m ensurepip --upgrade
    fi
    drop_damaged
    if ! { install_locks && environment_works; }; then
        # Without an earlier run that was killed, making it again would mend nothing: no network, say.
        [[ $killed ]] || return 1
        echo "What a killed run left behind cannot be mended: making the environment again."
        "$PYTHON" -m venv --clear "$VENV"
        install_locks && environment_works || return 1
    fi
    rm -f "$unfinished"
}

install_locks() {
    local lock
    while read -r lock; do
        install_lock "$lock" || return 1
    done < <(environment_locks)
}

environment_works() { "$VENV/bin/python" -m pip check && "$VENV/bin/mlabhub" --version; }

# What was being installed when a run was killed has no INSTALLER yet, what was being replaced is there twice or under a
# name with ~: pip would take it for complete.
drop_damaged() {
    local info twice place
    for place in "$VENV"/lib/python3*/site-packages; do
        rm -rf "$place"/~*
        for info in "$place"/*.dist-info; do
            [[ ! -d $info || -e $info/INSTALLER ]] || rm -rf "$info"
        done
        find "$place" -maxdepth 1 -name '*.dist-info' | sed 's/-[^-]*$//' | sort | uniq -d | while read -r twice; do
            rm -rf "$twice"-*.dist-info
        done
    done
}

install_lock() {
    local stamp place
    stamp=$VENV/mlabhub-$(basename "$1").stamp
    rm -f "$stamp"
    "$VENV/bin/python" -m pip install --require-hashes -r "$1" || return 1
    "$VENV/bin/python" -m pip install -q --no-deps --no-build-isolation --no-index -e "$CHECKOUT" \
        -e "$CHECKOUT/extensions/proxies" -e "$CHECKOUT/extensions/agent" || return 1
    # An editable installation leaves out what tells Jupyter servers about the extensions.
    install -Dm 644 -t "$VENV/etc/jupyter/jupyter_server_config.d" \
        "$CHECKOUT/extensions/proxies/mlabhub_proxies.json" "$CHECKOUT/extensions/agent/mlabhub_agent.json" || return 1
    mkdir -p "$VENV/share/jupyter/labextensions"
    ln -sfnr "$CHECKOUT/extensions/lab/labextension" "$VENV/share/jupyter/labextensions/mlabhub-lab" || return 1
    place=$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    { lock_hash "$1" && echo "$place" && cd "$place" && ls -d ./*.dist-info; } >"$stamp.new"
    mv "$stamp.new" "$stamp"
}
