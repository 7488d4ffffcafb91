#!/bin/sh
# Makes sure that Node.js (18 or newer), npm, the clients of npm with what they
# are tested with, and curl are there for the client tests. Quiet when they are.
set -eu
cd "$(dirname "$0")/../test/clients"

oldest=18

have_node() {
	command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 &&
		[ "$(node -p 'process.versions.node.split(".")[0]')" -ge "$oldest" ]
}

have_curl() { command -v curl >/dev/null 2>&1; }

# root CMD…: run as root.
root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		echo "node.sh: become root to run: $*" >&2
		exit 1
	fi
}

# install PACKAGE…, by the names of Debian.
install() {
	if command -v brew >/dev/null; then
		[ "$1" != nodejs ] || set -- node # npm comes with it
		brew install --quiet "$@"
	elif command -v apt-get >/dev/null; then
		root apt-get update -qq
		# Debian's Node.js reads the certificates of the system.
		root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" ca-certificates
	elif command -v dnf >/dev/null; then
		root dnf install -y -q "$@"
	elif command -v apk >/dev/null; then
		root apk add --quiet "$@"
	fi
}

if ! have_node; then
	echo "node.sh: no Node.js $oldest or newer found, installing one" >&2
	install nodejs npm
	have_node || { echo "node.sh: please install Node.js $oldest or newer: https://nodejs.org" >&2; exit 1; }
fi

if ! have_curl; then
	echo "node.sh: no curl found, installing it" >&2
	install curl
	have_curl || { echo "node.sh: please install curl: https://curl.se" >&2; exit 1; }
fi

if [ ! -e node_modules/.installed ] || [ package-lock.json -nt node_modules/.installed ]; then
	npm ci --loglevel=error --no-audit --no-fund --no-update-notifier
	touch node_modules/.installed
fi
