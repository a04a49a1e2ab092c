#!/usr/bin/env bash
# Create a TPU VM, or a slice of several.
#
#   tpu/create.sh --name=NAME --zone=ZONE [--type=v3-8] [--spot] [--queued] [--disk=DISK [--disk_size=GB]]
#       [--version=IMAGE] [--project=PROJECT] [--dry_run]
#
# --type: accelerator type: v2-8, v3-8 (one host), v3-32, v4-64, v5e-16 (gcloud's v5litepod-16), v5p-8, v6e-16 ...
# --queued: by a queued resource, which waits until there are such TPUs; so does this
# --spot: cheaper and pre-emptible; queued
# --disk: attach the data disk of that name in the zone, read-only; launch.sh with the same option mounts it
# --disk_size: create that disk first, of so many GB, where there is none, and attach it for writing; one host alone
# --disk_write: attach a disk that there is for writing; one host alone
# --version: system image; by default that of the type
# --dry_run: print the commands only

source "$(dirname "$0")/common.sh"
parse "$@"
of_type
attached=()
if [[ $disk_size ]] && { ((dry_run)) || ! gcloud compute disks describe "$disk" "${where[@]}" > /dev/null 2>&1; }; then
    run gcloud compute disks create "$disk" "${where[@]}" "--size=${disk_size}GB" "--type=$disk_type"
fi
if [[ $disk ]]; then
    [[ $project ]] || project=$(gcloud config get-value project 2> /dev/null) || true
    attached=("--data-disk=source=projects/${project:-PROJECT}/zones/$zone/disks/$disk,mode=$disk_mode")
fi
if ((!queued)); then
    run gcloud compute tpus tpu-vm create "$name" "${where[@]}" "--accelerator-type=$accelerator" "--version=$image" \
        "${attached[@]}"
    exit
fi
provisioning=()
if ((spot)); then provisioning=(--spot); fi
run gcloud compute tpus queued-resources create "$name" "--node-id=$name" "${where[@]}" \
    "--accelerator-type=$accelerator" "--runtime-version=$image" "${provisioning[@]}" "${attached[@]}"
while :; do
    granted=$(run gcloud compute tpus queued-resources describe "$name" "${where[@]}" '--format=value(state.state)')
    if ((dry_run)); then exit 0; fi
    case $granted in
        ACTIVE) exit 0 ;;
        FAILED | SUSPEND* | DELETING)
            die "--queued: the request for $name ended as $granted; tpu/delete.sh --queued, then try again"
            ;;
    esac
    echo "$name: $granted"
    sleep "${TPU_POLL_SECONDS:-30}"
done
