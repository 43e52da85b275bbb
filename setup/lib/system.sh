# shellcheck shell=bash
# Who we are on this machine, and the system packages: only what is missing is installed, nothing is ever asked.

if ((EUID == 0)); then
    RIGHTS=root
elif sudo -n true 2>/dev/null; then
    RIGHTS=sudo
else
    RIGHTS=none
fi

# package:program pairs; a program that is there, however it came, needs no package.
CONTAINER_PARTS=(
    podman:podman runc:runc conmon:conmon netavark:netavark aardvark-dns:aardvark-dns catatonit:catatonit
    nftables:nft iproute2:ip iptables:iptables mmdebstrap:mmdebstrap
)
DOCKER_PARTS=(nftables:nft iproute2:ip mmdebstrap:mmdebstrap)
TEST_PARTS=(
    chromium:chromium shellcheck:shellcheck fonts-wqy-zenhei:@chinese-font gcc:cc libc6-dev:@libc gnupg:gpg git:git
    postgresql:@postgresql nginx:nginx docker-registry:docker-registry openssl:openssl openssh-client:sftp
    prometheus:prometheus
)
OLD_PODMAN_PARTS=(docker.io:dockerd docker-buildx:@buildx)

PLACES="$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/lib/podman:/usr/libexec/podman:/usr/local/libexec/podman"

KEPT=MLABHUB_SITE,http_proxy,https_proxy,no_proxy,all_proxy,HTTP_PROXY,HTTPS_PROXY,NO_PROXY,ALL_PROXY,DEBIAN_FRONTEND

# The lock (descriptor 9) is not for what packages start.
as_root() {
    case $RIGHTS in
    root) "$@" 9>&- ;;
    sudo) sudo -n --preserve-env=$KEPT "$@" 9>&- ;;
    none) return 1 ;;
    esac
}

have() {
    case $1 in
    @chinese-font) command -v fc-list >/dev/null && [[ $(fc-list :lang=zh) ]] ;;
    @buildx) docker buildx version >/dev/null 2>&1 ;;
    @libc) [[ -e /usr/include/stdio.h ]] ;;
    @postgresql) compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || have_program initdb ;;
    @venv) python_works "$PYTHON" ;;
    runc) have_program runc || have_program crun ;;
    chromium) have_program chromium || have_program chromium-browser || have_program google-chrome ;;
    *) have_program "$1" ;;
    esac
}

have_program() { PATH=$PLACES command -v "$1" >/dev/null; }

docker_answers() {
    [[ -S /var/run/docker.sock || ${DOCKER_HOST:-} ]] && have_program docker &&
        timeout 5 docker version --format '{{.Server.Platform.Name}}' >/dev/null 2>&1
}

# The packages that are missing here, one a line.
missing_packages() {
    local part parts=(ca-certificates:update-ca-certificates)
    if [[ $WITH_CONTAINERS ]]; then
        if docker_answers; then parts+=("${DOCKER_PARTS[@]}"); else parts+=("${CONTAINER_PARTS[@]}"); fi
    fi
    [[ $WITH_TESTS ]] && parts+=("${TEST_PARTS[@]}")
    for part in "${parts[@]}"; do
        have "${part#*:}" || echo "${part%%:*}"
    done
    have @venv || echo python3-venv
}

packages_are_there() { [[ ! -e $CACHE/apt.unfinished && -z $(missing_packages) ]]; }

install_packages() {
    local packages
    export DEBIAN_FRONTEND=noninteractive
    command -v apt-get >/dev/null || {
        echo "This is neither Debian nor Ubuntu: install by hand what is missing: $(missing_packages | xargs)"
        return 1
    }
    touch "$CACHE/apt.unfinished"
    prepare_site_apt
    as_root dpkg --configure -a --force-confold # finishes what a killed run left behind
    as_root apt-get "${APT_OPTIONS[@]}" -q -y -o DPkg::Lock::Timeout=300 --fix-broken install
    refresh_lists
    mapfile -t packages < <(missing_packages | usable_packages)
    if ((${#packages[@]})); then
        echo "Installing: ${packages[*]}"
        [[ " ${packages[*]} " != *' postgresql '* ]] || keep_postgresql_quiet
        keep_quiet
        as_root apt-get "${APT_OPTIONS[@]}" -q -y --no-install-recommends -o DPkg::Lock::Timeout=300 \
            -o Dpkg::Options::=--force-confold install "${packages[@]}"
        [[ " ${packages[*]} " != *' postgresql '* ]] || let_postgresql_speak
        let_speak "${packages[@]}"
    fi
    rm -f "$CACHE/apt.unfinished"
}

# The distribution would start a server of its own with PostgreSQL; the tests want the programs alone.
CLUSTER_CONF=/etc/postgresql-common/createcluster.conf

keep_postgresql_quiet() {
    [[ -e $CLUSTER_CONF ]] || {
        as_root mkdir -p "${CLUSTER_CONF%/*}"
        echo 'create_main_cluster = false # while mlabhub installs PostgreSQL for its tests' |
            as_root tee "$CLUSTER_CONF" >/dev/null
    }
}

# What the package would have put there.
let_postgresql_speak() {
    if grep -q mlabhub "$CLUSTER_CONF" 2>/dev/null; then
        as_root cp /usr/share/postgresql-common/createcluster.conf "$CLUSTER_CONF"
    fi
}

# Nor does it start an nginx or a Prometheus, now or with the machine: a policy of the site's own stays as it is.
POLICY=/usr/sbin/policy-rc.d

keep_quiet() {
    [[ -e $POLICY ]] || {
        # shellcheck disable=SC2016 # the name is an argument of that script
        printf '%s\n' '#!/bin/sh' '# while mlabhub installs what its tests run themselves' \
            'case $1 in nginx | prometheus) exit 101 ;; esac' | as_root tee "$POLICY" >/dev/null
        as_root chmod +x "$POLICY"
    }
}

let_speak() {
    local package
    if grep -q mlabhub "$POLICY" 2>/dev/null; then as_root rm "$POLICY"; fi
    [[ -d /run/systemd/system ]] || return 0
    for package in "$@"; do
        case $package in nginx | prometheus) as_root systemctl --quiet disable "$package" || true ;; esac
    done
}

# Lists that are a day old may name versions that the mirror no longer has; a mirror of the site's may have none yet.
refresh_lists() {
    [[ ${#APT_OPTIONS[@]} == 0 && $(find /var/lib/apt/lists -name '*Packages*' -mmin -1440 2>/dev/null) ]] ||
        as_root apt-get "${APT_OPTIONS[@]}" -q -o DPkg::Lock::Timeout=300 update
}

# Podman before 4.0 (Ubuntu 22.04) cannot keep networks apart: Docker takes its place there.
usable_packages() {
    local version packages
    mapfile -t packages
    if [[ " ${packages[*]} " == *' podman '* ]]; then
        version=$(apt-cache "${APT_OPTIONS[@]}" show --no-all-versions podman 2>/dev/null |
            sed -n 's/^Version: \([0-9]*\).*/\1/p')
        if ((${version:-0} < 4)); then
            packages=("${OLD_PODMAN_PARTS[@]%%:*}" "${DOCKER_PARTS[@]%%:*}" ca-certificates python3-venv)
        fi
    fi
    printf '%s\n' "${packages[@]}"
}
