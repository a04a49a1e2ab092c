#!/usr/bin/env bash
# On a host: run the program until it has ended; start it again after status 75 (saved, or another worker lost) and when a
# signal killed it, later and later if it ends within a minute. launch.sh starts it, in the home folder.
#
#   mpl_tf/tpu/supervise.sh --run=NAME [--workers=ADDRESS,ADDRESS] [--bucket=gs://BUCKET/FOLDER] -- FLAGS
#
# Files in runs/NAME: workdir/ (without --bucket), pid, and at the end status, the program's exit status.
# --workers: addresses of all hosts; where there are several, TF_CONFIG tells the program, and this host is the one
#     whose address it has. The first writes the run's files.
# --bucket: the workdir instead of runs/NAME/workdir; the program uploads what it leaves, and goes on from what is there
# SIGTERM: the program saves and ends, and so does this.

set -euo pipefail
port=20471 # libtpu has 8471 and others from 8431 to 8482 for itself.
pause=${SUPERVISE_PAUSE_SECONDS:-10}
run='' workers='' bucket=''
while (($#)); do
    case $1 in
        --run=*) run=${1#*=} ;;
        --workers=*) workers=${1#*=} ;;
        --bucket=*) bucket=${1#*=} ;;
        --) shift; break ;;
        *) echo "supervise.sh: error: expected the options at its head, got $1" >&2; exit 2 ;;
    esac
    shift
done
folder=runs/$run workdir=${bucket:-runs/$run/workdir}
mkdir -p "$folder"
exec 9> runs/lock
flock -n 9 || { echo "supervise.sh: error: a run is under way here; tpu/launch.sh --stop ends it" >&2; exit 2; }
echo $$ > "$folder/pid"
rm -f "$folder/status"

index=0
IFS=, read -ra addresses <<< "$workers"
if ((${#addresses[@]} > 1)); then
    index=''
    for number in "${!addresses[@]}"; do
        for own in $(hostname -I); do
            if [[ $own == "${addresses[number]}" ]]; then index=$number; fi
        done
    done
    [[ $index ]] || { echo "supervise.sh: error: --workers: none of $workers is this host" >&2; exit 2; }
    list=$(printf ',"%s:'$port'"' "${addresses[@]}")
    export TF_CONFIG="{\"cluster\": {\"worker\": [${list:1}]}, \"task\": {\"type\": \"worker\", \"index\": $index}}"
fi

finish() {
    echo "$1" > "$folder/status"
    exit "$1"
}

child='' stopped=0
trap 'stopped=1; if [[ $child ]]; then kill "$child" 2>/dev/null || true; fi' TERM

wait_or_stop() { # Seconds; a signal ends it early.
    sleep "$1" &
    wait $! || true
}

again=$pause
while :; do
    if ((stopped)); then finish 75; fi
    began=$SECONDS
    mpl_env/bin/python -m mpl_tf.main "$@" "--workdir=$workdir" 9>&- &
    child=$!
    while kill -0 "$child" 2> /dev/null && ((!stopped)); do
        wait_or_stop 1
    done
    until # A signal ends `wait` early.
        status=0
        wait "$child" || status=$?
        ! kill -0 "$child" 2> /dev/null
    do :; done
    child=''
    if ((stopped)); then finish 75; fi
    if ((status != 75 && status < 128)); then finish "$status"; fi
    if ((SECONDS - began > 60)); then again=$pause; fi
    echo "supervise.sh: the program ended with $status; again in $again s" >&2
    wait_or_stop "$again"
    again=$((again * 2 > 300 ? 300 : again * 2))
done
