#!/usr/bin/env bash
# State of a TPU and of the run on each of its hosts, with the last lines of its log.
#
#   tpu/status.sh --name=NAME --zone=ZONE [--run=run] [--logs=FOLDER] [--project=PROJECT] [--dry_run]
#
# --run: name of the run, as given to launch.sh
# --logs: copy the whole logs to FOLDER/workerN.log
# --dry_run: print the commands only; --dry_run=N: those for N hosts

source "$(dirname "$0")/common.sh"
parse "$@"
echo "$name: $(state)"
# The hosts put in their own $(...).
# shellcheck disable=SC2016
everywhere "cd runs/$run"' && echo "$(hostname): $(cat status 2>/dev/null || echo running)" && tail -n 5 log'
if [[ $logs ]]; then
    run mkdir -p "$logs"
    worker=0
    for _ in $(addresses | tr , ' '); do
        run gcloud compute tpus tpu-vm scp "$name:runs/$run/log" "$logs/worker$worker.log" "${where[@]}" \
            "--worker=$worker"
        worker=$((worker + 1))
    done
fi
