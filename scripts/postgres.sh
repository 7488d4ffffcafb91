#!/bin/sh
# Makes sure that a Postgres server (14 or newer) is installed: what
# "spillway dev" and the tests start copies of. Says nothing when it is there.
#
# It looks where internal/pgdev looks. SPILLWAY_PG_BIN or PG_BIN may name the
# directory that holds postgres and initdb.
set -eu

oldest=14

# usable DIR: a server new enough is there.
usable() {
	[ -x "$1/postgres" ] && [ -x "$1/initdb" ] || return 1
	v=$("$1/postgres" --version 2>/dev/null | sed -n 's/.*(PostgreSQL) \([0-9][0-9]*\).*/\1/p')
	[ -n "$v" ] && [ "$v" -ge "$oldest" ]
}

# found: some usable server is there. PATH may hold a link to postgres alone:
# the directory that counts is the one behind it.
found() {
	named=${SPILLWAY_PG_BIN:-${PG_BIN:-}}
	if [ -n "$named" ]; then
		usable "$named" && return 0
		echo "postgres.sh: SPILLWAY_PG_BIN or PG_BIN is set to $named, which holds no Postgres $oldest or newer" >&2
		exit 1
	fi
	if p=$(command -v postgres); then
		p=$(readlink -f "$p" 2>/dev/null || echo "$p")
		usable "$(dirname "$p")" && return 0
	fi
	if command -v pg_config >/dev/null && usable "$(pg_config --bindir)"; then
		return 0
	fi
	for dir in \
		/usr/lib/postgresql/*/bin \
		/usr/pgsql-*/bin \
		/usr/local/pgsql*/bin \
		/opt/homebrew/opt/postgresql*/bin \
		/usr/local/opt/postgresql*/bin \
		/home/linuxbrew/.linuxbrew/opt/postgresql*/bin \
		/Applications/Postgres.app/Contents/Versions/*/bin; do
		usable "$dir" && return 0
	done
	return 1
}

# root CMD…: run as root.
root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		echo "postgres.sh: become root to run: $*" >&2
		exit 1
	fi
}

install() {
	if command -v brew >/dev/null; then
		brew install postgresql@17
	elif command -v apt-get >/dev/null; then
		root apt-get update
		# Debian starts a server of its own after installing; we need none, but
		# it does no harm.
		root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends postgresql
	elif command -v dnf >/dev/null; then
		root dnf install -y postgresql-server postgresql-contrib
	elif command -v apk >/dev/null; then
		root apk add postgresql
	else
		echo "postgres.sh: install a Postgres server $oldest or newer, or set SPILLWAY_PG_BIN to the directory that holds postgres and initdb" >&2
		exit 1
	fi
}

found && exit 0
echo "postgres.sh: no Postgres server found, installing one" >&2
install
if ! found; then
	echo "postgres.sh: the package that was installed holds no Postgres $oldest or newer; set SPILLWAY_PG_BIN to the directory of one" >&2
	exit 1
fi
