# Makes the namespaces of a machine and boots it: create.sh BOOT STATE NAME.
set -eu
for procs in $CGROUP_PROCS; do echo $$ >"$procs"; done
exec unshare --net --mount --pid --uts --cgroup --fork --propagation private -- sh "$@"
