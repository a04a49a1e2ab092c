#!/usr/bin/env bash
# Install the committed code on all hosts of a TPU and start the same command on each, under tpu/supervise.sh.
#
#   tpu/launch.sh --name=NAME --zone=ZONE [--run=run] [--bucket=gs://BUCKET/FOLDER] [--disk=DISK] [--watch]
#       [--project=PROJECT] [--dry_run] -- --dataset=cifar10_4k ...
#   tpu/launch.sh --name=NAME --zone=ZONE [--run=run] --stop
#
# --run: name of the run; its files are in runs/NAME on the hosts (workdir, log, status)
# --bucket: the workdir; the program uploads what it leaves there, and goes on from it
# --disk: the data disk that create.sh attached is to be at /mnt/disks/data; an empty one gets a file system where it was
#     attached for writing (give --disk_size or --disk_write as for create.sh)
# --watch: stay; when the TPU is pre-empted, create it again (give --type, --spot and so on as for create.sh) and go on;
#     end with the run. Needs --bucket
# --stop: save and stop the run on all hosts
# --dry_run: print the commands only; --dry_run=N: those for N hosts
# After --: flags of mpl_tf.main, without --workdir

source "$(dirname "$0")/common.sh"
here=$(cd "$(dirname "$0")" && pwd)
options=("$@")
parse "$@"
poll=${TPU_POLL_SECONDS:-60}
if ((stop)); then
    # The hosts put in their own $(...).
    # shellcheck disable=SC2016
    everywhere 'kill "$(cat runs/'"$run"'/pid)"'
    exit
fi
((${#flags[@]})) || die "expected -- and the flags of the program, got none"
for flag in "${flags[@]}"; do
    case $flag in -workdir* | --workdir*) die "$flag: the workdir is runs/$run/workdir on the hosts; name it by --run" ;; esac
done
if ((watch)) && [[ ! $bucket ]]; then die "--watch: expected --bucket too: a pre-empted TPU loses its disks"; fi

# The data disk at its place on all hosts; whatever is on it stays.
mount_disk() {
    local device=/dev/disk/by-id/google-persistent-disk-1 how=ro,noload format=true
    if [[ $disk_mode == read-write ]]; then how=discard format="sudo mkfs.ext4 -q -m 0 $device"; fi
    everywhere "mountpoint -q $mounted || { sudo mkdir -p $mounted && { sudo blkid $device > /dev/null || $format; } && \
sudo mount -o $how $device $mounted && { [ $how != discard ] || sudo chmod a+w $mounted; }; }"
}

start() {
    local workers archive supervise
    if [[ $(git -C "$here" status --porcelain) ]]; then
        echo "uncommitted changes stay behind" >&2
    fi
    workers=$(addresses)
    archive=$(mktemp -d)/mpl_tf.tar.gz
    run git -C "$here/.." archive --format=tar.gz --prefix=mpl_tf/ "--output=$archive" HEAD
    run gcloud compute tpus tpu-vm scp "$archive" "$name:mpl_tf.tar.gz" "${where[@]}" --worker=all
    rm -rf "$(dirname "$archive")"
    if [[ $disk ]]; then mount_disk; fi
    # tpu/tensorflow stands for plain tensorflow, which pip would install over tensorflow-tpu. Ubuntu's Python comes without
    # venv; its own installer may be at work on a machine that has just started, and is waited for.
    everywhere "mkdir -p runs && { flock -n runs/lock true || { echo 'a run is under way here; --stop ends it' >&2; exit 1; }; } && \
rm -rf mpl_tf && tar -xzf mpl_tf.tar.gz && { python3 -m venv mpl_env || { sudo apt-get -q update && \
sudo apt-get -q -y -o DPkg::Lock::Timeout=600 install python3-venv && python3 -m venv mpl_env; }; } && \
mpl_env/bin/pip install --quiet ./mpl_tf/tpu/tensorflow './mpl_tf[tpu,gcs]'"
    supervise=$(printf ' %q' mpl_tf/tpu/supervise.sh "--run=$run" "--workers=$workers" "--bucket=$bucket" -- "${flags[@]}")
    everywhere "mkdir -p runs/$run && rm -f runs/$run/status && \
{ setsid nohup$supervise > runs/$run/log 2>&1 < /dev/null & }"
}

start
((watch)) || exit 0
if ((dry_run)); then
    echo "# every $poll s, until all hosts have ended:"
    state > /dev/null
    everywhere "cat runs/$run/status"
    echo "# when it is pre-empted:"
    "$here/delete.sh" "${options[@]}"
    "$here/create.sh" "${options[@]}"
    start
    exit
fi
while :; do
    sleep "$poll"
    case $(state) in
        READY)
            found=$(everywhere "cat runs/$run/status 2>/dev/null || echo running" 2>/dev/null) || continue
            if grep -qx '[1-9][0-9]*' <<< "$found"; then die "the run has failed; see tpu/status.sh --run=$run"; fi
            if ! grep -qvx 0 <<< "$found"; then
                echo "the run has ended; its files are in $bucket"
                exit 0
            fi
            ;;
        PREEMPTED | TERMINATED | STOPPED | GONE)
            echo "$name was pre-empted: it is created again" >&2
            "$here/delete.sh" "${options[@]}" || true
            until "$here/create.sh" "${options[@]}"; do
                "$here/delete.sh" "${options[@]}" || true
                sleep "$poll"
            done
            start
            ;;
    esac
done
