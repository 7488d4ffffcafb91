#!/bin/sh
# Makes sure that nginx is installed for the tests of caching (test/e2e).
# Quiet when it is. Debian has it in /usr/sbin, which is not in every PATH.
set -eu
PATH=$PATH:/usr/sbin:/usr/local/sbin

command -v nginx >/dev/null 2>&1 && exit 0
echo "installing nginx"
sudo=""
[ "$(id -u)" = 0 ] || sudo=sudo
if command -v apt-get >/dev/null 2>&1; then
  $sudo apt-get update -qq
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nginx-light
elif command -v dnf >/dev/null 2>&1; then
  $sudo dnf install -y -q nginx-core
elif command -v apk >/dev/null 2>&1; then
  $sudo apk add --quiet nginx
fi
command -v nginx >/dev/null 2>&1 || { echo "please install nginx and put it in PATH: the tests of caching need it" >&2; exit 1; }
