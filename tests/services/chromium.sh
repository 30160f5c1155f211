#!/usr/bin/env bash
# Prints where Chromium is; installs Debian's package first if there is none, which only root can.
set -euo pipefail

die() { echo "chromium.sh: $*" >&2; exit 1; }
find_program() { command -v chromium || command -v chromium-browser || command -v google-chrome; }

find_program && exit 0
fix="install Chromium: apt-get install chromium"
[ "$(id -u)" = 0 ] || die "no Chromium, and only root can install it; $fix"
command -v apt-get > /dev/null || die "no Chromium, and no apt-get; $fix"
echo "chromium.sh: installing chromium" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } \
  > "$log" 2>&1 < /dev/null || { tail -5 "$log" >&2; die "apt-get failed; $fix"; }
find_program || die "chromium was installed, but is not on the path"
