# Starts a program in a machine: start.sh INIT IDENTITY-FILE PROGRAM...
set -eu
init=$1 file=$2
shift 2
for procs in $CGROUP_PROCS; do echo $$ >"$procs"; done
# The mount namespace comes last: before that, /proc tells the number by which the outside knows the program.
exec nsenter --target "$init" --pid --net --uts --cgroup -- sh -c '
  set -eu
  init=$1 file=$2
  shift 2
  read -r line </proc/self/stat
  identity=$(set -- $line; echo "$1 ${22}")
  echo "$identity" >"$file.new"
  mv "$file.new" "$file"
  exec nsenter --mount="/proc/$init/ns/mnt" --wd=/ -- "$@"
' sh "$init" "$file" "$@"
