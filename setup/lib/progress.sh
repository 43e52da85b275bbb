# shellcheck shell=bash
# What is being done, and for how long: live on a terminal, plain lines in a log.
#
# step TITLE CHECK WORK runs the function WORK unless CHECK says that nothing is left to do. WORK's output goes to
# $LOG; when it fails, the end of the log is shown with one sentence from `explain`, and the script ends.

STEP_NUMBER=0
STEP_TOTAL=${STEP_TOTAL:-0}
STEP_PID=
STEP_FROM=0
STARTED=${EPOCHREALTIME/[!0-9]/}

if [[ -t 1 && ${TERM:-dumb} != dumb ]]; then
    LIVE=1 BOLD=$'\e[1m' DIM=$'\e[2m' RED=$'\e[31m' GREEN=$'\e[32m' YELLOW=$'\e[33m' PLAIN=$'\e[0m' CLEAR=$'\r\e[K'
else
    LIVE='' BOLD='' DIM='' RED='' GREEN='' YELLOW='' PLAIN='' CLEAR=''
fi

# Seconds since a time in microseconds, with one digit.
since() {
    local tenths=$(((${EPOCHREALTIME/[!0-9]/} - $1) / 100000))
    printf '%d.%d s' $((tenths / 10)) $((tenths % 10))
}

note() { printf '%s%s%s\n' "$YELLOW" "$*" "$PLAIN"; }

step() {
    local title=$1 check=$2 work=$3 begun=${EPOCHREALTIME/[!0-9]/} status=0
    STEP_NUMBER=$((STEP_NUMBER + 1))
    local label="[$STEP_NUMBER/$STEP_TOTAL] $title"
    if "$check"; then
        printf '%s%s  %sthere already%s\n' "$GREEN" "$label" "$PLAIN$DIM" "$PLAIN"
        return
    fi
    [[ $LIVE ]] || printf '%s ...\n' "$label"
    printf '\n== %s\n' "$label" >>"$LOG"
    STEP_FROM=$(wc -c <"$LOG")
    set -m # a group of its own, so that an interrupt ends all of it
    (
        set -e
        "$work"
    ) </dev/null >>"$LOG" 2>&1 & # it keeps the lock: should we be killed, the next run waits for its end
    STEP_PID=$!
    set +m
    while [[ $LIVE ]] && kill -0 "$STEP_PID" 2>/dev/null; do
        show_live "$label" "$begun"
        sleep 0.2
    done
    wait "$STEP_PID" || status=$?
    STEP_PID=
    if ((status)); then
        printf '%s%s%s  failed after %s%s\n' "$CLEAR" "$RED" "$label" "$(since "$begun")" "$PLAIN"
        fail_with_log
    fi
    printf '%s%s%s  %s%s%s\n' "$CLEAR" "$GREEN" "$label" "$PLAIN$DIM" "$(since "$begun")" "$PLAIN"
}

# One line: the step, its time, and the last thing that was said in the log.
show_live() {
    local columns=${COLUMNS:-$(tput cols 2>/dev/null || echo 80)} said
    said=$(tail -c "+$((STEP_FROM + 1))" "$LOG" | tail -n 1 | tr -cd '[:print:]')
    said="$1  $(since "$2")  $said"
    printf '%s%s' "$CLEAR" "${said:0:columns-1}"
}

total() { printf '%sset up in %s%s\n' "$DIM" "$(since "$STARTED")" "$PLAIN"; }

fail() {
    printf '%s%s%s\n' "$RED$BOLD" "$*" "$PLAIN" >&2
    exit 1
}

fail_with_log() {
    local tail
    tail=$(tail -c "+$((STEP_FROM + 1))" "$LOG" | grep -v '^ *$' | tail -n 15)
    printf '%s\n' "$tail" | cut -c1-220 | sed 's/^/    /' >&2
    fail "$(explain "$tail") What was said is in $LOG; run the same command again, it goes on where it stopped."
}

# One sentence for the end of a log.
explain() {
    case ${1,,} in
    *'no space left on device'* | *'not enough free space'* | *'disk quota exceeded'*)
        echo "The disk is full; make room first (\`df -h\` shows where)." ;;
    *'could not get lock'* | *'unable to acquire the dpkg'*)
        echo "Another program is installing packages; wait for its end." ;;
    *'do not match the hashes'*)
        echo "A package is not the one that was locked: the mirror serves something else, or a cache is damaged (\`pip cache purge\`)." ;;
    *'temporary failure resolving'* | *'could not resolve'* | *'network is unreachable'* | *'timed out'* | \
        *'connection refused'* | *'failed to establish a new connection'* | *'unable to connect'* | *'eai_again'* | \
        *' enotfound'* | *' econnrefused'* | *'name or service not known'* | *'network does not answer'*)
        echo "The network does not answer; check it, or the mirrors and the proxy in site.conf (docs/how-to/site.md)." ;;
    *'certificate verify failed'* | *'self-signed certificate'* | *'unable to get local issuer'*)
        echo "A certificate is not trusted; name your company's CA in site.conf: CA_FILE=... (docs/how-to/site.md)." ;;
    *) echo "This step did not succeed." ;;
    esac
}

interrupted() {
    trap - INT TERM
    if [[ $STEP_PID ]]; then
        kill -TERM -- "-$STEP_PID" 2>/dev/null || true
        wait "$STEP_PID" 2>/dev/null || true
    fi
    printf '%s%s\n' "$CLEAR" "Interrupted. Run the same command again: it goes on where it stopped." >&2
    exit 130
}

# One set-up at a time in this checkout. The lock is file descriptor 9; release it before becoming another program.
begin() {
    STEP_TOTAL=$1
    mkdir -p "$CACHE"
    exec 9>"$CACHE/lock"
    if ! flock -n 9; then
        note "Another set-up runs in this checkout; waiting for its end."
        flock 9
    fi
    [[ -e $LOG ]] && mv -f "$LOG" "$LOG.before"
    : >"$LOG"
    trap interrupted INT TERM
}
