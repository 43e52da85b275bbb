# shellcheck shell=bash
# The image that people's servers run in; `mlabhub image build` knows how, and goes on where it was interrupted.

IMAGE=localhost/mlabhub/base:latest

# The stamp says which version the files of images/ make; the engine must have just that one.
image_is_there() {
    local files version
    read -r files version 2>/dev/null <"$CACHE/image.stamp" || return 1
    [[ $files == "$(images_hash)" && $version == "$(image_version)" ]]
}

images_hash() { find "$CHECKOUT/images" "$CHECKOUT/mlabhub/images" -type f -not -path '*/__pycache__/*' -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1; }

image_version() {
    local engine=podman
    docker_answers && engine=docker
    as_root "$engine" image inspect --format '{{index .Config.Labels "mlabhub.version"}}' "$IMAGE" 2>/dev/null
}

build_image() {
    as_root "$VENV/bin/mlabhub" image build base
    echo "$(images_hash) $(image_version)" >"$CACHE/image.stamp"
}
