#!/bin/sh
# Makes sure that Chromium (or Chrome) is in PATH for the tests of the console and
# of clients in browsers. Quiet when it is. internal/chromium looks for the same
# names.
set -eu

have_chromium() {
  for name in chromium chromium-browser google-chrome google-chrome-stable; do
    command -v "$name" >/dev/null 2>&1 && return 0
  done
  return 1
}

have_chromium && exit 0
echo "installing Chromium"
if command -v apt-get >/dev/null 2>&1; then
  sudo=""
  [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo apt-get update -qq
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium
elif command -v dnf >/dev/null 2>&1; then
  sudo=""
  [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo dnf install -y -q chromium
elif command -v apk >/dev/null 2>&1; then
  sudo=""
  [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo apk add --quiet chromium
fi
have_chromium || { echo "please install Chromium and put it in PATH: the tests of the console and of clients need it" >&2; exit 1; }
