#!/bin/sh
# The first process of a box: builds its root file system, then becomes systemd.
#
# Runs as PID 1 of new pid, mount, ipc, uts, net and cgroup namespaces, so whatever it mounts is gone
# with it. Arguments: a directory to work in, then HOST=INSIDE pairs of directories to show in the
# box. All else of the files of $BOX_LOWER is seen as it is, and written to in memory only.
set -eu
place=$1
shift

ip link set lo up
mount -t tmpfs -o mode=755 box "$place"
cd "$place"
mkdir changes work root
mount -t overlay -o "lowerdir=$BOX_LOWER,upperdir=$place/changes,workdir=$place/work" box root
cd root

mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount --rbind /dev dev
mount -t tmpfs -o mode=755,nosuid,nodev run run
mount -t tmpfs -o mode=1777 tmp tmp
mount -t tmpfs -o mode=755 units etc/systemd/system   # the host's own services stay out
for pair in "$@"; do
    mkdir -p ".${pair#*=}"
    mount --bind "${pair%%=*}" ".${pair#*=}"
done

# Of the host's units only what a boot to basic.target takes; ours come from the usual places.
mkdir -p run/box/sysinit.target.wants run/systemd/journald.conf.d
for unit in basic final multi-user paths shutdown slices sockets sysinit timers umount; do
    cp "usr/lib/systemd/system/$unit.target" run/box/
done
cp usr/lib/systemd/system/systemd-journald*.service usr/lib/systemd/system/systemd-journald*.socket \
    run/box/
ln -s ../systemd-journald.service run/box/sysinit.target.wants/
# The limit of lines is low, so that a unit that does not lift it for itself is soon found out.
printf '[Journal]\nStorage=volatile\nReadKMsg=no\nRuntimeMaxUse=200M\nRateLimitBurst=200\n' \
    > run/systemd/journald.conf.d/box.conf
rm -rf var/log/journal
# They make units of what the host has, and all run again at each daemon-reload.
rm -rf usr/lib/systemd/system-generators
tr -d - < proc/sys/kernel/random/uuid > etc/machine-id

mkdir outside
pivot_root . outside
umount -l /outside
mount --make-rshared /   # in a container systemd leaves this out, and LoadCredential= needs it

exec env -i container=box PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    SYSTEMD_UNIT_PATH="$BOX_UNIT_PATH" \
    /lib/systemd/systemd --system --unit=basic.target --log-target=journal --log-level=info
