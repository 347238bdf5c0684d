#!/bin/sh
# Builds everything and runs every test, from a fresh clone. What a machine lacks is installed where that is allowed
# (Debian, as root); what cannot be had is named and its tests are skipped aloud.
set -eu
cd "$(dirname "$0")/.."

missing=""
command -v chromium >/dev/null || missing="$missing chromium"
command -v chromedriver >/dev/null || missing="$missing chromium-driver"
if ! command -v pg_ctl >/dev/null && ! ls /usr/lib/postgresql/*/bin/pg_ctl >/dev/null 2>&1; then
  missing="$missing postgresql"
fi
if [ -n "$missing" ]; then
  # shellcheck disable=SC2086 # one word each
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null &&
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; } >/dev/null 2>&1; then
    echo "installed:$missing"
  else
    echo "not installed:$missing; the tests that need them are skipped"
  fi
fi

cargo build --release --workspace --locked
cargo test --release --workspace --locked
