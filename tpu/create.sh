#!/usr/bin/env bash
# Create a TPU VM, or a slice of several.
#
#   tpu/create.sh --name=NAME --zone=ZONE [--type=v3-8] [--spot] [--version=IMAGE] [--project=PROJECT] [--dry_run]
#
# --type: accelerator type: v2-8, v3-8 (one host), v3-32, v4-64, v5litepod-16, v6e-16 ... (slices)
# --spot: cheaper and pre-emptible, by a queued resource; waits until it is granted
# --version: system image; by default that of the type
# --dry_run: print the commands only

source "$(dirname "$0")/common.sh"
parse "$@"
if ((!spot)); then
    run gcloud compute tpus tpu-vm create "$name" "${where[@]}" "--accelerator-type=$type" "--version=$(image)"
    exit
fi
run gcloud compute tpus queued-resources create "$name" "--node-id=$name" "${where[@]}" "--accelerator-type=$type" \
    "--runtime-version=$(image)" --spot
while :; do
    granted=$(run gcloud compute tpus queued-resources describe "$name" "${where[@]}" '--format=value(state.state)')
    if ((dry_run)); then exit 0; fi
    case $granted in
        ACTIVE) exit 0 ;;
        FAILED | SUSPEND*) die "--spot: the request for $name ended as $granted; tpu/delete.sh --spot, then try again" ;;
    esac
    echo "$name: $granted"
    sleep "${TPU_POLL_SECONDS:-30}"
done
