# Becomes the first process of a machine: boot.sh STATE NAME.
# Runs in namespaces that are new, in the machine's own control group. Nothing that is mounted here is seen outside,
# and all of it goes when this process ends.
set -eu
state=$1 name=$2
# /proc is still the outer one, so this is the process as the outside knows it: its number and when it started.
read -r line </proc/self/stat
set -- $line
identity="$1 ${22}"

hostname "$name"
# What containers mount is shared among the machine's own processes, as the kubelet expects.
mount --make-rshared /
mount -t proc proc /proc
mount -t sysfs sysfs /sys

mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
for controller in $CONTROLLERS; do
  mkdir "/sys/fs/cgroup/$controller"
  case $controller in
    systemd) options=none,name=systemd ;;
    *) options=$controller ;;
  esac
  mount -t cgroup -o "$options" cgroup "/sys/fs/cgroup/$controller"
done

# The kubelet writes these, and they belong to the whole kernel: it writes to files of its own.
while read -r key value; do
  [ -e "/proc/sys/$key" ] || continue
  file=$state/sysctl/$(echo "$key" | tr / .)
  echo "$value" >"$file"
  mount --bind "$file" "/proc/sys/$key"
done <<S
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
S

# A node's state is where a node keeps it, and no other machine sees it.
mount -t overlay -o "lowerdir=/etc,upperdir=$state/etc,workdir=$state/etc-work" overlay /etc
mount --bind "$state/var-lib" /var/lib
mount --bind "$state/var-log" /var/log
mount --bind "$state/opt" /opt
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /opt/cni/bin
ln -sf /usr/lib/cni/* /opt/cni/bin/

echo "$identity" >"$state/init.new"
mv "$state/init.new" "$state/init"
exec tini -s -- sleep infinity
