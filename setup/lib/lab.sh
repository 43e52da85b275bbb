# shellcheck shell=bash
# Our extension of JupyterLab's page, built from its sources by JupyterLab's own builder.
#
# What the builder needs of npm is kept in .node/lab, where it also builds. What comes out lies beside the sources, for
# .venv and for images: a list of the sources is with it, so that both can tell whether it is theirs.

LAB=$CHECKOUT/extensions/lab
LAB_BUILD=$NODE_DIR/lab

lab_is_there() {
    [[ -e $LAB_BUILD/lib/src/index.js && -e $LAB/labextension/package.json && -e $LAB/labextension/install.json ]] &&
        lab_sources | cmp -s - "$LAB/labextension/sources.sha256"
}

# The sums of the sources, and the JupyterLab whose modules they are built for.
lab_sources() {
    (
        cd "$LAB" || return 1
        echo "# $(sha256sum <"$(lab_core)/package.json")"
        find package.json package-lock.json tsconfig.json src style tests -type f | LC_ALL=C sort | xargs sha256sum
    )
}

lab_core() { echo "$VENV"/lib/python3*/site-packages/jupyterlab/staging; }

build_lab() {
    local made=$LAB_BUILD/labextension
    find_node
    if ! cmp -s "$LAB/package-lock.json" "$LAB_BUILD/installed"; then
        rm -f "$LAB_BUILD/installed"
        npm_ci "$LAB" "$LAB_BUILD"
        cp "$LAB/package-lock.json" "$LAB_BUILD/installed"
    fi
    rm -rf "${LAB_BUILD:?}"/{src,style,tests,lib,labextension}
    cp -R "$LAB"/{package.json,tsconfig.json,src,style,tests} "$LAB_BUILD/"
    (
        cd "$LAB_BUILD" || exit
        "$NODE_DIR/bin/node" node_modules/typescript/bin/tsc
        "$NODE_DIR/bin/node" node_modules/@jupyterlab/builder/lib/build-labextension.js --core-path "$(lab_core)" .
    )
    cp "$LAB/install.json" "$made/"
    lab_sources >"$made/sources.sha256"
    rm -rf "$LAB/labextension"
    mv "$made" "$LAB/labextension"
}
