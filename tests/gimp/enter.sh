#!/usr/bin/env bash
# Runs a command inside a folder that provision.sh made, and passes its exit code on:
#
#   ./enter.sh [--read SOURCE PLACE]... [--write FOLDER]... ROOT COMMAND [ARGUMENT]...
#
# ROOT is the folder "root" in what provision.sh makes. SOURCE, a file or a folder, is to be read at
# PLACE, and FOLDER is there at the same path; all else cannot be changed or vanishes with the
# command, and so does every process that the command leaves behind. There is no network. Needs to
# be run by root.
set -euo pipefail

if [[ ${1:-} != inside ]]; then
  # Without a network two screens cannot fight for one number, and GIMP cannot look for updates.
  # With an IPC namespace the shared memory of a killed GIMP goes too.
  exec unshare --mount --pid --ipc --net --fork --kill-child "$BASH" "$0" inside "$@"
fi
shift

sources=() places=() folders=()
while [[ $1 == --* ]]; do
  case $1 in
    --read)
      sources+=("$2") places+=("$3")
      shift
      ;;
    --write) folders+=("$2") ;;
    *)
      printf 'enter.sh: unknown option %s\n' "$1" >&2
      exit 2
      ;;
  esac
  shift 2
done
root=$1
shift

make_place() { # SOURCE PLACE
  if [[ -d $1 ]]; then
    mkdir -p "$root$2"
  else
    mkdir -p "$root${2%/*}"
    touch "$root$2"
  fi
}

mount --bind "$root" "$root"
for place in tmp var/tmp run root dev; do
  mount -t tmpfs -o mode=1777 tmpfs "$root/$place"
done
mkdir -m 1777 "$root/dev/shm"
ln -s /proc/self/fd "$root/dev/fd"
for device in /dev/null /dev/zero /dev/full /dev/random /dev/urandom; do
  make_place "$device" "$device"
  mount --bind "$device" "$root$device"
done
for i in "${!places[@]}"; do
  make_place "${sources[i]}" "${places[i]}"
done
for folder in "${folders[@]}"; do
  make_place "$folder" "$folder"
done
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
for i in "${!places[@]}"; do
  mount --bind "${sources[i]}" "$root${places[i]}"
  mount -o remount,bind,ro "$root${places[i]}"
done
for folder in "${folders[@]}"; do
  mount --bind "$folder" "$root$folder"
done

# Process 1 stays a shell: it buries orphans, and no program finds itself in that special role. The
# command is not the last one, so that the shell does not turn into it.
# shellcheck disable=SC2016 # the dollar signs are the inner shell's
exec chroot "$root" /usr/bin/env -i HOME=/root LANG=C.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin \
  /bin/sh -c '"$@"; exit $?' sh "$@"
