#!/usr/bin/env bash
# Runs a command inside a folder that provision.sh made, and passes its exit code on:
#
#   ./enter.sh [--read FILE_OR_FOLDER]... [--write FOLDER]... ROOT COMMAND [ARGUMENT]...
#
# ROOT is the folder "root" in what provision.sh makes. What is named after --read and --write is
# there at the same path; all else is read-only or vanishes with the command, and so does every
# process that the command leaves behind. There is no network. Needs root.
set -euo pipefail

if [[ ${1:-} != inside ]]; then
  # Without a network two screens cannot fight for one number, and GIMP cannot look for updates.
  # With an IPC namespace the shared memory of a killed GIMP goes too.
  exec unshare --mount --pid --ipc --net --fork --kill-child "$BASH" "$0" inside "$@"
fi
shift

readable=() writable=()
while [[ $1 == --* ]]; do
  case $1 in
    --read) readable+=("$2") ;;
    --write) writable+=("$2") ;;
    *)
      printf 'enter.sh: unknown option %s\n' "$1" >&2
      exit 2
      ;;
  esac
  shift 2
done
root=$1
shift

make_place() { # for a mount
  if [[ -d $1 ]]; then
    mkdir -p "$root$1"
  else
    mkdir -p "$root${1%/*}"
    touch "$root$1"
  fi
}

mount --bind "$root" "$root"
for place in tmp var/tmp run root dev; do
  mount -t tmpfs -o mode=1777 tmpfs "$root/$place"
done
mkdir -m 1777 "$root/dev/shm"
ln -s /proc/self/fd "$root/dev/fd"
for device in /dev/null /dev/zero /dev/full /dev/random /dev/urandom; do
  make_place "$device"
  mount --bind "$device" "$root$device"
done
for place in "${readable[@]}" "${writable[@]}"; do
  make_place "$place"
done
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
for place in "${readable[@]}"; do
  mount --bind "$place" "$root$place"
  mount -o remount,bind,ro "$root$place"
done
for place in "${writable[@]}"; do
  mount --bind "$place" "$root$place"
done

# Process 1 stays a shell: it buries orphans, and no program finds itself in that special role. The
# command is not the last one, so that the shell does not turn into it.
# shellcheck disable=SC2016 # the dollar signs are the inner shell's
exec chroot "$root" /usr/bin/env -i HOME=/root LANG=C.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin \
  /bin/sh -c '"$@"; exit $?' sh "$@"
