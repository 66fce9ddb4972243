#!/usr/bin/env bash
# One search on a Slurm cluster: sbatch deploy/slurm.sh SETTINGS.toml [OPTIONS of `ae-search run`]
# Submitted again, it goes on. The home folder is shared, and ~/ae is the virtual environment with ae-search[cluster].
#SBATCH --job-name=ae-search
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=12:00:00
#SBATCH --signal=B:TERM@60
# For GPUs: #SBATCH --gpus-per-node=1
set -euo pipefail

# shellcheck disable=SC1090
source ~/ae/bin/activate
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=$(getent ahostsv4 "${nodes[0]}" | awk 'NR == 1 { print $1 }')
port=$((20000 + SLURM_JOB_ID % 20000)) # two jobs may share a node
# Others on these machines reach Ray's ports, but have no token. It is a file of the user's own, not an argument.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$HOME/.ae-search-token-$SLURM_JOB_ID
(umask 077 && head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' > "$RAY_AUTH_TOKEN_PATH")
end() {
    mapfile -t running < <(jobs -p)
    kill "${running[@]}" 2> /dev/null && wait # Ray, on all nodes
    rm -f "$RAY_AUTH_TOKEN_PATH"
}
trap end EXIT

options=(--num-cpus="$SLURM_CPUS_PER_TASK" --disable-usage-stats --block)
srun --nodes=1 --ntasks=1 --nodelist="${nodes[0]}" --overlap \
    ray start --head --node-ip-address="$head" --port="$port" --include-dashboard=false "${options[@]}" &
until ray status --address="$head:$port" > /dev/null 2>&1; do
    kill -0 $! # ends the job where Ray could not start
    sleep 1
done
if ((${#nodes[@]} > 1)); then
    srun --nodes=$((${#nodes[@]} - 1)) --ntasks=$((${#nodes[@]} - 1)) --exclude="${nodes[0]}" --overlap \
        ray start --address="$head:$port" "${options[@]}" &
fi
# A minute before its time is over, Slurm sends SIGTERM: the search then ends as at Ctrl-C.
ae-search run "$@" --address "$head:$port" &
search=$!
trap 'kill -TERM "$search"' TERM
wait "$search" || wait "$search"
