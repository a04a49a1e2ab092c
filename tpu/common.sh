# shellcheck shell=bash
# The scripts that read this file use what it sets.
# shellcheck disable=SC2034
# Shared by the scripts of this folder: their options, and `run`, which prints each command before it is run.
set -euo pipefail

name='' zone='' project='' type=v3-8 version='' run=run bucket='' logs='' disk='' disk_size='' disk_mode=read-only
spot=0 queued=0 watch=0 stop=0 dry_run=0 hosts=1 flags=()
mounted=/mnt/disks/data # Where the hosts have the data disk.

die() {
    printf '%s: error: %s\n' "$(basename "$0")" "$*" >&2
    exit 2
}

# The comment at the head of the calling script.
usage() {
    sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
}

parse() {
    while (($#)); do
        case $1 in
            --help) usage; exit 0 ;;
            --name=*) name=${1#*=} ;;
            --zone=*) zone=${1#*=} ;;
            --project=*) project=${1#*=} ;;
            --type=*) type=${1#*=} ;;
            --version=*) version=${1#*=} ;;
            --run=*) run=${1#*=} ;;
            --bucket=*) bucket=${1#*=} ;;
            --logs=*) logs=${1#*=} ;;
            --disk=*) disk=${1#*=} ;;
            --disk_size=*) disk_size=${1#*=} disk_mode=read-write ;;
            --disk_write) disk_mode=read-write ;;
            --spot) spot=1 queued=1 ;;
            --queued) queued=1 ;;
            --watch) watch=1 ;;
            --stop) stop=1 ;;
            --dry_run) dry_run=1 ;;
            --dry_run=*) dry_run=1 hosts=${1#*=} ;;
            --) shift; flags=("$@"); break ;;
            *) die "expected one of the options in --help, got $1; flags of the program follow --" ;;
        esac
        shift
    done
    [[ $name ]] || die "--name: expected the name of the TPU, got nothing"
    [[ $zone ]] || die "--zone: expected a zone, such as europe-west4-a, got nothing"
    [[ $hosts =~ ^[1-9][0-9]*$ ]] || die "--dry_run: expected a number of hosts, got $hosts"
    [[ $run =~ ^[A-Za-z0-9_.-]+$ ]] || die "--run: expected a name of letters, digits, _ . -, got $run"
    [[ -z $disk_size || $disk_size =~ ^[1-9][0-9]*$ ]] || die "--disk_size: expected a number of GB, got $disk_size"
    if [[ $disk_mode == read-write && ! $disk ]]; then die "--disk: expected the name of the data disk, got nothing"; fi
    [[ -z $bucket || $bucket == gs://?* ]] || die "--bucket: expected gs://BUCKET/FOLDER, got $bucket"
    bucket=${bucket%/}
    where=("--zone=$zone")
    if [[ $project ]]; then where+=("--project=$project"); fi
}

# Sets accelerator, gcloud's name of --type, image, the system image that goes with it, and disk_type, of its data disks:
# https://cloud.google.com/tpu/docs/runtimes and .../storage-options. TensorFlow itself comes by pip.
of_type() {
    accelerator=$type disk_type=pd-balanced
    case $type in
        v2-[1-9]* | v3-[1-9]* | v4-[1-9]*) image=tpu-ubuntu2204-base ;;
        v5e-[1-9]*) accelerator=v5litepod-${type#v5e-} image=v2-alpha-tpuv5-lite ;;
        v5litepod-[1-9]*) image=v2-alpha-tpuv5-lite ;;
        v5p-[1-9]*) image=v2-alpha-tpuv5 ;;
        v6e-[1-9]*) image=v2-alpha-tpuv6e disk_type=hyperdisk-balanced ;;
        tpu7* | v7*) die "--type: TPU7x takes no TensorFlow and is not created by gcloud compute tpus, got $type" ;;
        *) [[ $version ]] || die "--type: expected v2-, v3-, v4-, v5e-, v5litepod-, v5p- or v6e- and a number, or an image \
by --version, got $type" ;;
    esac
    image=${version:-$image}
}

show() {
    printf '+'
    printf ' %q' "$@"
    printf '\n'
}

# Print a command; run it unless --dry_run.
run() {
    show "$@" >&2
    ((dry_run)) || "$@"
}

# State of the TPU: READY, CREATING, PREEMPTED ...; GONE where there is none of that name; UNKNOWN where it was not told.
state() {
    local found command=(gcloud compute tpus tpu-vm describe "$name" "${where[@]}" '--format=value(state)')
    show "${command[@]}" >&2
    if ((dry_run)); then
        echo UNKNOWN
    elif found=$("${command[@]}" 2>&1); then
        echo "${found##*$'\n'}"
    elif [[ $found == *NOT_FOUND* ]]; then
        echo GONE
    else
        echo "$found" >&2
        echo UNKNOWN
    fi
}

# Internal addresses of the hosts, comma-separated, in the order of their numbers.
addresses() {
    local found
    found=$(run gcloud compute tpus tpu-vm describe "$name" "${where[@]}" '--flatten=networkEndpoints[]' \
        '--format=value(networkEndpoints.ipAddress)')
    if ((dry_run)); then found=$(seq -f 'HOST%g' 0 $((hosts - 1))); fi
    paste -sd, <<< "$found"
}

# A command on all hosts.
everywhere() {
    run gcloud compute tpus tpu-vm ssh "$name" "${where[@]}" --worker=all "--command=$1"
}
