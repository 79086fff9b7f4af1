#!/usr/bin/env bash
# Makes a folder with a real GIMP 3 in it, for the tests: ./provision.sh SUITE FOLDER
#
# SUITE is a release of Debian: trixie has GIMP 3.0, forky has 3.2. Needs root on Debian, touches
# nothing outside FOLDER, and does nothing when FOLDER is already what this very script makes.
# Packages come from the mirror that apt on this machine uses.
set -euo pipefail

suite=$1
folder=$2
packages=(
  gimp python3-gi-cairo                  # what a user installs
  xvfb xauth openbox xdotool x11-utils   # a screen, a window manager, hands
  imagemagick                            # screenshots
  procps fonts-dejavu-core adwaita-icon-theme dbus-x11
)

die() {
  printf 'provision.sh: %s\n' "$*" >&2
  exit 1
}

stamp=$suite-$(sha256sum "$0" | cut -d' ' -f1)
if [[ $(cat "$folder/.made-by" 2>/dev/null) == "$stamp" ]]; then
  exit 0
fi
[[ $(id -u) == 0 ]] || die "root is needed to make $folder"
# shellcheck disable=SC2016 # the dollar signs are apt's
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | sort | uniq -c |
  sort -rn | awk '$2 !~ /security/ { print $2; exit }')
[[ -n $mirror ]] || die "apt on this machine names no mirror of Debian"
keys=/usr/share/keyrings/debian-archive-keyring.gpg
[[ -r $keys ]] || die "$keys is missing: install debian-archive-keyring"

rm -rf "$folder"
mkdir -p "$folder/tools"
tool=$(command -v mmdebstrap || true)
if [[ -z $tool ]]; then # a script: unpacked here, it changes nothing on the machine
  (cd "$folder/tools" && apt-get -qq -o APT::Sandbox::User=root download mmdebstrap && dpkg -x mmdebstrap_*.deb .) ||
    die "the package mmdebstrap cannot be had; try apt-get update"
  tool=$folder/tools/usr/bin/mmdebstrap
fi

make_root() {
  rm -rf "$folder/root"
  # Snapshots of a mirror may be older than their Release file allows.
  "$tool" --quiet --mode=root --variant=apt \
    --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='Acquire::Retries "3"' \
    --include="$(IFS=,; printf '%s' "${packages[*]}")" \
    --setup-hook='mkdir -p "$1/proc" "$1/sys" "$1/dev"' \
    "$suite" "$folder/root" "deb [signed-by=$keys] $mirror $suite main"
}

for attempt in 1 2 3; do
  if make_root; then
    rm -rf "$folder/tools" "$folder/root/var/cache/apt/archives"/*.deb
    printf '%s\n' "$stamp" >"$folder/.made-by"
    exit 0
  fi
  printf 'provision.sh: attempt %s failed\n' "$attempt" >&2
done
die "a Debian $suite with GIMP could not be made from $mirror"
