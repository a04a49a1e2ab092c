#!/usr/bin/env bash
# Delete a TPU VM or slice, and with it what is on its disks.
#
#   tpu/delete.sh --name=NAME --zone=ZONE [--spot] [--project=PROJECT] [--dry_run]
#
# --spot: it was created with --spot: delete its queued resource too
# --dry_run: print the commands only

source "$(dirname "$0")/common.sh"
parse "$@"
if ((spot)); then
    run gcloud compute tpus queued-resources delete "$name" "${where[@]}" --force --quiet
else
    run gcloud compute tpus tpu-vm delete "$name" "${where[@]}" --quiet
fi
