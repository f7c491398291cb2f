#!/bin/sh
# Run pytest with its temporary files in memory, where there is room for them: the stores of tests flush the
# disk at each commit, and no test cuts the power. `make test` needs 0.7 GB. The files go with the run.
room=3000000 # kB that must be free, of memory and of the file system
below=/dev/shm

free=$(df -Pk "$below" 2>/dev/null | awk 'NR == 2 { print $4 }')
memory=$(awk '$1 == "MemAvailable:" { print $2 }' /proc/meminfo)
if [ "${free:-0}" -lt $room ] || [ "${memory:-0}" -lt $room ]; then
    exec "$@"
fi
for left in "$below/amq-$(id -u)-"*; do # by one that was killed
    kill -0 "${left##*-}" 2>/dev/null || rm -rf "$left"
done
TMPDIR=$below/amq-$(id -u)-$$
mkdir -m 1777 "$TMPDIR" || exit # as /tmp is: some tests are other users
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
trap 'exit 129' HUP INT TERM
"$@" --basetemp="$TMPDIR/p" # pytest's own name for it is too long for the sockets in there
