#!/bin/sh
# Makes sure that Node.js (18 or newer), npm and the official Electric client
# are there for the client tests. Quiet when they are.
set -eu
cd "$(dirname "$0")/../test/clients"

have_node() {
  command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 &&
    [ "$(node -p 'process.versions.node.split(".")[0]')" -ge 18 ]
}

if ! have_node; then
  echo "installing Node.js"
  if command -v apt-get >/dev/null 2>&1; then
    sudo=""
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -qq
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nodejs npm
  elif command -v brew >/dev/null 2>&1; then
    brew install --quiet node
  fi
  have_node || { echo "please install Node.js 18 or newer: https://nodejs.org" >&2; exit 1; }
fi

if [ package-lock.json -nt node_modules/.installed ] || [ ! -e node_modules/.installed ]; then
  npm ci --silent --no-audit --no-fund
  touch node_modules/.installed
fi
