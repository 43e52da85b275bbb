# shellcheck shell=bash
# The image that people's servers run in; `mlabhub image build` knows how, and goes on where it was interrupted.

IMAGE=localhost/mlabhub/base:latest

# The stamp says which version the files of images/ and extensions/ make; the engine must have just that one.
image_is_there() {
    local files version
    read -r files version 2>/dev/null <"$CACHE/image.stamp" || return 1
    [[ $files == "$(images_hash)" && $version == "$(image_version)" ]]
}

images_hash() {
    find "$CHECKOUT"/{extensions,images,mlabhub/images} \( -name __pycache__ -o -name vendor -o -name '*.egg-info' \) -prune \
        -o -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1
}

image_version() {
    local engine=podman
    docker_answers && engine=docker
    as_root "$engine" image inspect --format '{{index .Config.Labels "mlabhub.version"}}' "$IMAGE" 2>/dev/null
}

build_image() {
    as_root "$VENV/bin/mlabhub" image build base
    echo "$(images_hash) $(image_version)" >"$CACHE/image.stamp"
}
