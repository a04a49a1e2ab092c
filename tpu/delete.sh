#!/usr/bin/env bash
# Delete a TPU VM or slice, and with it what is on its disks.
#
#   tpu/delete.sh --name=NAME --zone=ZONE [--spot] [--queued] [--project=PROJECT] [--dry_run]
#
# --spot, --queued: it was created so: delete its queued resource too. A data disk (--disk) stays
# --dry_run: print the commands only

source "$(dirname "$0")/common.sh"
parse "$@"
if ((queued)); then
    run gcloud compute tpus queued-resources delete "$name" "${where[@]}" --force --quiet
else
    run gcloud compute tpus tpu-vm delete "$name" "${where[@]}" --quiet
fi
