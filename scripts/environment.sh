# Finds Pythons and makes virtual environments below .venv/. Sourced by the other scripts, not run.
#
# An environment holds the digest of what it was made from (lock files, the project's metadata, interpreter); when that
# differs, it is made anew. Nothing is installed outside .venv/, and no root is needed.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
export PIP_DISABLE_PIP_VERSION_CHECK=1

# die MESSAGE: one line on stderr, exit code 1.
die() {
  echo "$*" >&2
  exit 1
}

# probe COMMAND: prints "<major>.<minor> <path of the interpreter>" if COMMAND is a CPython, else fails. Asking the
# interpreter itself sees through pyenv's shims, which exist also for versions that are not selected.
probe() {
  "$1" -I -c '
import sys
if sys.implementation.name != "cpython":
    sys.exit(1)
print("%d.%d" % sys.version_info[:2], sys._base_executable if sys.version_info > (3, 7) else sys.executable)
' 2>/dev/null </dev/null
}

# interpreters: one line "<version> <path>" for each CPython found, first found first.
interpreters() {
  local name candidate
  for name in python3.11 python3.12 python3.13 python3 python; do
    if candidate="$(command -v "$name")"; then probe "$candidate" || true; fi
  done
  for candidate in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*/bin/python3; do
    if [ -x "$candidate" ]; then probe "$candidate" || true; fi
  done
}

INTERPRETERS="$(interpreters)"

# find_python VERSION: prints the path of the first CPython of that version, or fails.
find_python() {
  local version path
  while read -r version path; do
    if [ "$version" = "$1" ]; then
      echo "$path"
      return 0
    fi
  done <<<"$INTERPRETERS"
  return 1
}

# any_python: prints the path of a CPython to run with. 3.11 and 3.12 come first: for them there is a ready-made
# package with a Redis server in it.
any_python() {
  local version
  for version in 3.11 3.12 3.13 3.14; do
    if find_python "$version"; then return 0; fi
  done
  die "No CPython 3.11 or newer was found. Install Python 3.11, 3.12 or 3.13 (or put it on PATH) and run this again."
}

# environment NAME PYTHON LOCK: makes .venv/NAME with PYTHON from the lock file LOCK unless it is there and current.
environment() {
  local folder="$ROOT/.venv/$1" python="$2" lock="$ROOT/$3" digest
  mkdir -p "$ROOT/.venv"
  digest="$({
    cat "$ROOT"/requirements*.lock
    # Of pyproject.toml what is installed: the settings of the tools, below, may change without a new environment.
    sed '/^\[tool\./,$d' "$ROOT/pyproject.toml"
    echo "$ROOT $python $3"
  } | cksum)"
  (
    # Two scripts started at once must not build the same environment into each other.
    if command -v flock >/dev/null; then flock 9; fi
    if [ "$(cat "$folder/made-from" 2>/dev/null)" != "$digest" ]; then
      make_environment "$folder" "$python" "$lock"
      echo "$digest" >"$folder/made-from"
    fi
  ) 9>"$ROOT/.venv/$1.lock"
}

make_environment() {
  local folder="$1" python="$2" lock="$3"
  echo "Making ${folder#"$ROOT"/} with $("$python" --version) (once; a minute or less)" >&2
  rm -rf "$folder"
  if ! "$python" -m venv "$folder" >&2; then
    rm -rf "$folder"
    die "$python cannot make virtual environments. On Debian and Ubuntu install python3-venv, or use another Python."
  fi
  "$folder/bin/python" -m pip install --quiet --quiet --no-input --requirement "$lock" >&2 ||
    die "Installing ${lock#"$ROOT"/} failed (above). Check that pip reaches its package index, then run this again."
  "$folder/bin/python" -m pip install --quiet --quiet --no-input --no-deps --no-build-isolation --editable "$ROOT" >&2 ||
    die "Installing the project itself failed (above)."
}
