#!/usr/bin/env bash
# Sets up Deep Image Prior in a private virtual environment. See ./install.sh --help.
set -euo pipefail

usage() {
  cat <<'TEXT'
Set up Deep Image Prior: dip-batch, dip-engine and the plug-in for GIMP 3.

  ./install.sh                    set up, or repair what is there
  ./install.sh --demo             set up, write noisy sample photos to ./photos, restore them
  ./install.sh --test             set up, then run every check and test
  ./install.sh --torch-index URL  take PyTorch from this package index (another build of it)
  ./install.sh --uninstall        remove all of it
  ./install.sh --help             show this text

Environment:
  DIP_HOME  where it lives              [~/.local/share/deep-image-prior]
  DIP_BIN   where the commands appear   [~/.local/bin]
  PYTHON    the Python to use, 3.11 or newer
TEXT
}

say() { printf '%s\n' "$*"; }
note() { printf '  note: %s\n' "$*"; }
die() { # STATUS TEXT
  printf 'install.sh: %s\n' "$2" >&2
  exit "$1"
}

find_folders() {
  here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
  if [[ -z ${HOME:-} && (-z ${DIP_HOME:-} || -z ${DIP_BIN:-}) ]]; then
    die 3 "HOME is not set: set DIP_HOME and DIP_BIN to say where the program shall live."
  fi
  home=$(absolute "${DIP_HOME:-${HOME:-}/.local/share/deep-image-prior}")
  bin=$(absolute "${DIP_BIN:-${XDG_BIN_HOME:-${HOME:-}/.local/bin}}")
  venv=$home/venv
  incomplete=$home/.incomplete # there from the first to the last moment of an installation
  installed=$home/.installed   # what was installed, see wanted()
  index_file=$home/.torch-index
}

absolute() {
  case $1 in
    /*) printf '%s' "$1" ;;
    *) printf '%s' "$PWD/$1" ;;
  esac
}

is_new_enough() { "$1" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() { # sets python
  local candidate
  for candidate in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11 python3.14; do
    if is_new_enough "$candidate"; then
      python=$candidate
      return
    fi
    if [[ $candidate == "${PYTHON:-}" ]]; then
      die 3 "PYTHON=$PYTHON is not a Python 3.11 or newer."
    fi
  done
  die 3 "Python 3.11 or newer is missing; on Debian and Ubuntu: sudo apt install python3 python3-venv"
}

# Debian splits the standard library: `venv` can be imported there, and fails for want of ensurepip.
check_venv_module() {
  if ! "$python" -I -c 'import ensurepip, venv' >/dev/null 2>&1; then
    local version
    version=$("$python" -I -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    die 3 "Python $version lacks its venv module; on Debian and Ubuntu: sudo apt install python$version-venv"
  fi
}

# A venv dies with the Python it was made from, for instance in an upgrade of the system.
venv_works() {
  [[ ! -e $incomplete ]] && is_new_enough "$venv/bin/python" || return 1
  [[ -z ${PYTHON:-} ]] || [[ $(version_of "$PYTHON") == "$(version_of "$venv/bin/python")" ]]
}

version_of() { "$1" -I -c 'import sys; print(sys.version_info[:2])' 2>/dev/null; }

has_nvidia() { [[ -e /proc/driver/nvidia/version ]] || nvidia-smi -L >/dev/null 2>&1; }

# Everything that decides what ends up in the venv, as one line. The code belongs to it: after
# `git pull` the same command brings the new version, and the tests never see a stale one.
wanted() {
  "$1" -I - "$here" "$torch_index" <<'PYTHON'
import hashlib, pathlib, sys

root, digest = pathlib.Path(sys.argv[1]), hashlib.sha256(sys.argv[2].encode())
files = [root / ".constraints.txt", root / "pyproject.toml", root / "README.md"]
for folder in ("dip_engine", "batch", "gimp_plugin"):
    files += sorted(f for f in (root / folder).rglob("*") if "__pycache__" not in f.parts)
for file in filter(pathlib.Path.is_file, files):
    digest.update(str(file.relative_to(root)).encode() + b"\0" + file.read_bytes() + b"\0")
print(digest.hexdigest())
PYTHON
}

check_places() {
  local name
  if [[ -e $venv && ! -e $installed && ! -e $incomplete ]]; then
    die 3 "$venv exists and is not from this program; set DIP_HOME to another folder."
  fi
  for name in dip-batch dip-engine; do
    if [[ (-e $bin/$name || -L $bin/$name) && $(readlink "$bin/$name" || true) != "$venv/bin/$name" ]]; then
      die 3 "$bin/$name exists and does not belong to $home; move it away, or set DIP_BIN to another folder."
    fi
  done
  mkdir -p "$home" "$bin" 2>/dev/null || die 3 "$home or $bin cannot be created; set DIP_HOME and DIP_BIN to other folders."
  [[ -w $home && -w $bin ]] || die 3 "$home or $bin is not writable; set DIP_HOME and DIP_BIN to other folders."
}

check_disk() {
  local need_gb=9 free_kb # CUDA builds: the downloads and what they unpack to
  if [[ $(uname) == Darwin || $torch_index == */cpu || $torch_index == */cpu/ ]]; then
    need_gb=3
  fi
  free_kb=$(df -Pk "$home" | awk 'NR == 2 { print $4 }')
  if [[ $free_kb =~ ^[0-9]+$ ]] && ((free_kb < need_gb * 1024 * 1024)); then
    die 3 "$home has $((free_kb / 1024 / 1024)) GB free and $need_gb GB are needed; set DIP_HOME to a folder on another disk."
  fi
}

pip_install() {
  # Temporary files go next to the venv: /tmp is memory on many systems, and torch is larger.
  TMPDIR=$home/tmp "$venv/bin/python" -I -m pip --quiet --disable-pip-version-check \
    install --constraint .constraints.txt "$@" ||
    die 3 "pip failed, see above; run the same command again to go on."
}

make_venv() {
  find_python
  check_venv_module
  check_disk
  : >"$incomplete"
  rm -rf "$venv" "$installed"
  say "Making a private Python environment in $venv …"
  "$python" -I -m venv "$venv" || die 3 "$python could not make a virtual environment in $venv."
}

install_packages() ( # in a subshell: it changes the directory
  cd "$here"
  rm -rf "$home/tmp"
  mkdir "$home/tmp"
  if ! "$venv/bin/python" -I -c 'import torch' >/dev/null 2>&1; then
    if [[ -z $torch_index && $(uname) == Linux ]] && ! has_nvidia; then
      note "there is no NVIDIA GPU here; --torch-index with the CPU index listed on pytorch.org saves gigabytes."
    fi
    say "Installing PyTorch … this can take minutes."
    # Only torch itself comes from the named index; it rarely has the pinned versions of the rest.
    pip_install ${torch_index:+--no-deps --index-url "$torch_index"} torch
  fi
  say "Installing everything else …"
  # hatchling is installed by us, and not by pip in isolation, so that its version is pinned too.
  pip_install ${torch_index:+--extra-index-url "$torch_index"} hatchling setuptools torch
  # Not editable: the clone may be deleted afterwards, and the tests see what a user gets. Hence the
  # second line: pip takes an equal version number for the same code.
  pip_install ${torch_index:+--extra-index-url "$torch_index"} --no-build-isolation ".$extras"
  pip_install --no-build-isolation --no-deps --force-reinstall .
  rm -rf "$home/tmp"
)

link_commands() {
  local name
  for name in dip-batch dip-engine; do
    ln -sfn "$venv/bin/$name" "$bin/$name"
  done
  say "Commands: $bin/dip-batch, $bin/dip-engine"
  case :${PATH:-}: in
    *":$bin:"*) ;;
    *) note "$bin is not on your PATH; add this to your shell's profile: export PATH=\"$bin:\$PATH\"" ;;
  esac
}

set_up() {
  local want
  if [[ -n ${SUDO_USER:-} && $(id -u) == 0 ]]; then
    note "this installs for root; run it without sudo to install for $SUDO_USER."
  fi
  check_places
  if [[ -z $torch_index && -e $index_file ]]; then
    torch_index=$(cat "$index_file") # chosen once, kept in later runs
  elif [[ $torch_index != "$(cat "$index_file" 2>/dev/null || true)" ]]; then
    : >"$incomplete" # another build of torch: start afresh
  fi
  if ! venv_works; then
    if [[ -e $incomplete && -e $venv ]]; then
      say "The last installation is incomplete or of another kind; it is made anew."
    fi
    make_venv
  fi
  want=$(wanted "$venv/bin/python")
  if ! grep -qsF "$want $extras" "$installed"; then
    : >"$incomplete"
    install_packages
  fi
  link_commands
  "$venv/bin/dip-engine" install-gimp-plugin --all || note "the GIMP plug-in was not installed; the rest works without it."
  if [[ -n $torch_index ]]; then
    printf '%s\n' "$torch_index" >"$index_file"
  fi
  if [[ -e $incomplete ]]; then
    printf '%s %s\n' "$want" "$extras" >"$installed"
    rm -f "$incomplete"
  fi
  say
  "$venv/bin/dip-engine" doctor
}

run_demo() {
  say
  "$venv/bin/dip-engine" samples ./photos
  say
  "$venv/bin/dip-batch" ./photos --task denoise
  say
  say "Compare ./photos with ./photos-restored."
}

run_tests() {
  say
  cd "$here"
  PYTHON=$venv/bin/python ./.ci/check
}

uninstall() {
  local name
  if [[ ! -e $installed && ! -e $incomplete ]]; then
    die 3 "Nothing from this program is in $home."
  fi
  if [[ -x $venv/bin/dip-engine ]]; then
    "$venv/bin/dip-engine" install-gimp-plugin --uninstall ||
      note "the GIMP plug-in, if there is one, has to be deleted by hand."
  fi
  for name in dip-batch dip-engine; do
    if [[ $(readlink "$bin/$name" || true) == "$venv/bin/$name" ]]; then
      rm -f "$bin/$name"
    fi
  done
  : >"$incomplete" # so that an interrupted removal can be run again
  rm -rf "$venv" "$home/tmp"
  rm -f "$installed" "$index_file" "$incomplete"
  rmdir "$home" 2>/dev/null || note "$home holds other files and was kept."
  say "Deep Image Prior was removed."
}

main() {
  local action=set_up_only
  torch_index='' extras='[report,video]'
  while (($#)); do
    case $1 in
      --demo) action=run_demo ;;
      --test) action=run_tests extras='[report,video,test]' ;;
      --uninstall) action=uninstall ;;
      --torch-index)
        [[ -n ${2:-} ]] || die 2 "--torch-index needs a URL."
        torch_index=$2
        shift
        ;;
      -h | --help)
        usage
        exit 0
        ;;
      *) die 2 "unknown option $1; see ./install.sh --help" ;;
    esac
    shift
  done
  # Python's own variables would lead the private environment astray.
  unset PYTHONHOME PYTHONPATH PIP_TARGET PIP_PREFIX PIP_USER
  find_folders
  case $action in
    uninstall) uninstall ;;
    set_up_only) set_up ;;
    *)
      set_up
      "$action"
      ;;
  esac
}

main "$@"
