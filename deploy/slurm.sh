#!/usr/bin/env bash
# One search on a Slurm cluster: sbatch deploy/slurm.sh SETTINGS.toml [OPTIONS of `ae-search run`]
# Submitted again, it goes on; Slurm itself does so when a node is lost.
# The home folder is shared, and ~/ae is the virtual environment with ae-search[cluster].
#SBATCH --job-name=ae-search
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=12:00:00
#SBATCH --signal=B:TERM@60
#SBATCH --requeue
#SBATCH --open-mode=append
# For GPUs: #SBATCH --gpus-per-node=1
set -euo pipefail

# shellcheck disable=SC1090
source ~/ae/bin/activate
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
# A node may know itself by a loopback address, which no other reaches.
head=$({ getent ahostsv4 "${nodes[0]}"; hostname -I; } | awk '!/^127\./ && !n++ { print $1 }')
# This one and the next: two jobs may share a node. From 32768 on, Linux hands out ports itself.
port=$((20000 + SLURM_JOB_ID % 6000 * 2))
# Others on these machines reach Ray's ports, but have no token. It is a file of the user's own, not an argument.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=~/.ae-search-token-$SLURM_JOB_ID
(umask 077 && head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' > "$RAY_AUTH_TOKEN_PATH")
export RAY_TMPDIR=/tmp/ae-search-$SLURM_JOB_ID # on each node: /tmp/ray may be another user's
end() {
    rm -f "$RAY_AUTH_TOKEN_PATH"
    { scancel --signal=TERM "$SLURM_JOB_ID" || jobs -p | xargs -r kill; } 2> /dev/null || true # Ray, on all nodes
    wait
}
trap end EXIT

export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK # Slurm's newer versions do not take it over
export RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=0 # Ray would take the 30 s that Slurm gives it to end
start() { # NODES, WHICH, OPTIONS of `ray start`
    exec srun --nodes="$1" --ntasks="$1" "$2=${nodes[0]}" --overlap --export=ALL bash -c "
        trap : TERM
        rm -rf $RAY_TMPDIR
        mkdir -m 700 $RAY_TMPDIR && ray start ${*:3} --num-cpus=$SLURM_CPUS_PER_TASK --dashboard-agent-listen-port=0 \
            --min-worker-port=0 --max-worker-port=0 --disable-usage-stats --block
        rm -rf $RAY_TMPDIR"
}
start 1 --nodelist --head --node-ip-address="$head" --port="$port" --ray-client-server-port=$((port + 1)) \
    --include-dashboard=false &
until ray status --address="$head:$port" > /dev/null 2>&1; do
    kill -0 $! # ends the job where Ray could not start
    sleep 1
done
if ((${#nodes[@]} > 1)); then
    start $((${#nodes[@]} - 1)) --exclude --address="$head:$port" &
fi
# A minute or two before its time is over, Slurm sends SIGTERM: the search then ends as at Ctrl-C.
ae-search run "$@" --address "$head:$port" &
search=$!
trap 'kill -TERM "$search"' TERM
wait "$search" || wait "$search"
