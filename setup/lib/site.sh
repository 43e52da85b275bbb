# shellcheck shell=bash
# The site's mirrors, HTTP proxy and company CA for what set-up itself fetches, from site.conf: parsed, never executed.
#
# mlabhub/site reads the same file by the same rules, and checks more; here a value need only be harmless.

SITE_KEYS=" DEBIAN_MIRROR DEBIAN_SECURITY_MIRROR UBUNTU_MIRROR UBUNTU_SECURITY_MIRROR APT_KEYRING PIP_INDEX_URL \
PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST NPM_REGISTRY CONDA_MIRROR CONDA_CHANNELS REGISTRY_MIRRORS GIT_REWRITES HTTP_PROXY \
HTTPS_PROXY NO_PROXY CA_FILE TIME_ZONE LANGUAGE "
SITE_SYSTEM_FILE=${SITE_SYSTEM_FILE:-/etc/mlabhub/site.conf}
SYSTEM_CA=/etc/ssl/certs/ca-certificates.crt
SITE_APT_CA=/run/mlabhub-site-ca.pem # apt fetches as a user of its own, who may not see this checkout
APT_OPTIONS=()
declare -A SITE=()

# The one file to use; nothing if there is none.
site_file() {
    local file
    for file in "${MLABHUB_SITE:-}" "$SITE_SYSTEM_FILE" "$CHECKOUT/site.conf"; do
        if [[ $file && (-e $file || -L $file || $file == "${MLABHUB_SITE:-}") ]]; then
            printf '%s\n' "$file"
            return
        fi
    done
}

# Read a site's file into SITE. Faults go to stderr, without the values, which may hold passwords.
read_site() {
    local file=$1 number=0 line name value fault failed=''
    # No dash in the middle of the last part: it is itself one of the characters.
    local forbidden='[^]A-Za-z0-9._~:/@[,+=% -]' LC_ALL=C
    SITE=()
    if [[ ! -r $file || -d $file ]]; then
        echo "$file:1: cannot be read" >&2
        return 1
    fi
    while IFS= read -r line || [[ $line ]]; do
        number=$((number + 1)) fault=''
        line=$(trim "$line")
        [[ -z $line || $line == '#'* ]] && continue
        name=$(trim "${line%%=*}") value=$(trim "${line#*=}")
        if [[ $line != *=* ]]; then
            name='' fault='is no setting; write KEY=VALUE, or begin a remark with #'
        elif [[ $name == *[!A-Z_]* || $SITE_KEYS != *" $name "* ]]; then
            name='' fault="is not a key that is known here: there are$SITE_KEYS"
        elif [[ -v SITE[$name] ]]; then
            fault='is set twice; keep one'
        elif [[ $value =~ $forbidden ]]; then
            fault='has a character that it cannot have: no value needs quotes; in an URL, write it as %XX'
        elif [[ $value && $name =~ (_MIRROR|_URL|_REGISTRY|_PROXY)$ && $name != NO_PROXY && ! $value =~ ^https?://[^/] ]]; then
            fault='must be an address that begins with http:// or https:// and names a host'
        elif [[ $value && $name =~ (_FILE|_KEYRING)$ && ! -r $value ]]; then
            fault='names a file that cannot be read'
        else
            SITE[$name]=$value
        fi
        if [[ $fault ]]; then
            echo "$file:$number: ${name:+$name: }$fault" >&2
            failed=1
        fi
    done <"$file"
    [[ -z $failed ]]
}

trim() {
    local text=$1
    text=${text#"${text%%[![:space:]]*}"}
    printf '%s' "${text%"${text##*[![:space:]]}"}"
}

# Make apt, pip, npm and all they start use the site's settings; for this set-up only, nothing of the machine's changes.
use_site() {
    local file
    rm -rf "$CACHE/apt" "$CACHE/ca.pem" # of an earlier run
    file=$(site_file)
    [[ $file ]] || return 0
    read_site "$file" || fail "The site's file has faults (above); docs/how-to/site.md says what it may hold."
    use_site_proxy
    use_site_indexes
    if [[ ${SITE[CA_FILE]:-} ]]; then
        { cat "$SYSTEM_CA" 2>/dev/null || true; } | cat - "${SITE[CA_FILE]}" >"$CACHE/ca.pem"
        export PIP_CERT=$CACHE/ca.pem SSL_CERT_FILE=$CACHE/ca.pem REQUESTS_CA_BUNDLE=$CACHE/ca.pem
        export NODE_EXTRA_CA_CERTS=$CACHE/ca.pem npm_config_cafile=$CACHE/ca.pem
    fi
    use_site_apt
}

use_site_proxy() {
    [[ ${SITE[HTTP_PROXY]:-}${SITE[HTTPS_PROXY]:-} ]] || return 0
    unset http_proxy https_proxy no_proxy all_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY
    export no_proxy=localhost,127.0.0.1,::1${SITE[NO_PROXY]:+,${SITE[NO_PROXY]// /,}}
    export NO_PROXY=$no_proxy
    [[ ${SITE[HTTP_PROXY]:-} ]] && export http_proxy=${SITE[HTTP_PROXY]} HTTP_PROXY=${SITE[HTTP_PROXY]}
    [[ ${SITE[HTTPS_PROXY]:-} ]] && export https_proxy=${SITE[HTTPS_PROXY]} HTTPS_PROXY=${SITE[HTTPS_PROXY]}
    return 0
}

use_site_indexes() {
    if [[ ${SITE[PIP_INDEX_URL]:-}${SITE[PIP_EXTRA_INDEX_URL]:-}${SITE[PIP_TRUSTED_HOST]:-} ]]; then
        unset PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST
        [[ ${SITE[PIP_INDEX_URL]:-} ]] && export PIP_INDEX_URL=${SITE[PIP_INDEX_URL]}
        [[ ${SITE[PIP_EXTRA_INDEX_URL]:-} ]] && export PIP_EXTRA_INDEX_URL=${SITE[PIP_EXTRA_INDEX_URL]//,/ }
        [[ ${SITE[PIP_TRUSTED_HOST]:-} ]] && export PIP_TRUSTED_HOST=${SITE[PIP_TRUSTED_HOST]//,/ }
    fi
    [[ ${SITE[NPM_REGISTRY]:-} ]] && export npm_config_registry=${SITE[NPM_REGISTRY]}
    return 0
}

# What only root can prepare; called when apt is really needed.
prepare_site_apt() {
    if [[ ${SITE[CA_FILE]:-} ]]; then as_root install -m 0644 "$CACHE/ca.pem" "$SITE_APT_CA"; fi
}

# apt's part is a file that only our calls of apt-get read. Lists of the machine's own sources stay where they are.
use_site_apt() {
    local id codename main security option='' folder=$CACHE/apt
    # shellcheck source=/dev/null
    id=$(. "${OS_RELEASE:-/etc/os-release}" && echo "${ID:-}") codename=$(. "${OS_RELEASE:-/etc/os-release}" && echo "${VERSION_CODENAME:-}")
    mkdir -p "$folder"
    chmod 700 "$folder"
    site_apt_conf >"$folder/apt.conf"
    case $id in
    debian)
        main=${SITE[DEBIAN_MIRROR]:-http://deb.debian.org/debian}
        security=${SITE[DEBIAN_SECURITY_MIRROR]:-http://deb.debian.org/debian-security}
        ;;
    ubuntu)
        main=${SITE[UBUNTU_MIRROR]:-http://archive.ubuntu.com/ubuntu}
        security=${SITE[UBUNTU_SECURITY_MIRROR]:-${SITE[UBUNTU_MIRROR]:-http://security.ubuntu.com/ubuntu}}
        ;;
    esac
    if [[ ($id == debian && ${SITE[DEBIAN_MIRROR]:-}${SITE[DEBIAN_SECURITY_MIRROR]:-}) ||
        ($id == ubuntu && ${SITE[UBUNTU_MIRROR]:-}${SITE[UBUNTU_SECURITY_MIRROR]:-}) ]]; then
        [[ ${SITE[APT_KEYRING]:-} ]] && option="[signed-by=${SITE[APT_KEYRING]}] "
        printf 'deb %s%s %s main%s\n' "$option" "$main" "$codename" "$([[ $id == debian ]] || echo ' universe')" \
            "$option" "$main" "$codename-updates" "$([[ $id == debian ]] || echo ' universe')" \
            "$option" "$security" "$codename-security" "$([[ $id == debian ]] || echo ' universe')" >"$folder/sources.list"
        printf '%s\n' "Dir::Etc::sourcelist \"$folder/sources.list\";" 'Dir::Etc::sourceparts "/dev/null";' \
            'APT::Get::List-Cleanup "false";' >>"$folder/apt.conf"
    fi
    # shellcheck disable=SC2034 # system.sh uses it
    [[ -s $folder/apt.conf ]] && APT_OPTIONS=(-c "$folder/apt.conf")
    return 0
}

site_apt_conf() {
    if [[ ${SITE[HTTP_PROXY]:-}${SITE[HTTPS_PROXY]:-} ]]; then
        printf 'Acquire::%s::Proxy "%s";\n' http "${SITE[HTTP_PROXY]:-DIRECT}" https "${SITE[HTTPS_PROXY]:-DIRECT}"
        site_direct_hosts
    fi
    if [[ ${SITE[CA_FILE]:-} ]]; then printf 'Acquire::https::CaInfo "%s";\n' "$SITE_APT_CA"; fi
}

# apt wants each host that is reached without the proxy by its name.
site_direct_hosts() {
    local key host entry direct=${SITE[NO_PROXY]:-}
    for key in DEBIAN_MIRROR DEBIAN_SECURITY_MIRROR UBUNTU_MIRROR UBUNTU_SECURITY_MIRROR; do
        host=${SITE[$key]:-}
        host=${host#*://} host=${host%%/*} host=${host##*@} host=${host%:*}
        for entry in localhost 127.0.0.1 ${direct//,/ }; do
            entry=${entry#.}
            if [[ $host && ($host == "$entry" || $host == *".$entry") ]]; then
                printf 'Acquire::%s::Proxy::%s "DIRECT";\n' http "$host" https "$host"
                break
            fi
        done
    done
}
