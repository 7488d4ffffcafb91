#!/bin/sh
# Fuzzes every target of every package, one after the other, each for the time
# given (default 30s). A second argument is a pattern of targets' names:
#
#   sh scripts/fuzz.sh 10s Decode
#
# What a target finds is kept in its package's testdata/fuzz and is a test from
# then on. All targets run, whatever one of them finds. At the end the property test
# (TestProperty) runs for the same time with random seeds, and names one that fails.
#
# The tests that compare random expressions with Postgres (TestDifferential…) are
# targets too: each of them compares for that time, and half a million pairs of
# expression and row (of powers, fifty thousand) at the least. SEED repeats a run.
set -eu
cd "$(dirname "$0")/.."
time=${1:-30s}
pattern=${2:-.}
go=${GO:-go}
seed=${SEED:-$(date +%s)}
pairs=500000

# "go test -list" prints the targets of a package and then a line "ok package".
# Packages without tests have a line of another form.
targets=$("$go" test -list '^(Fuzz|TestDifferential)' ./internal/... | awk -v pattern="$pattern" '
	/^(Fuzz|TestDifferential)/ && $1 ~ pattern { names[n++] = $1 }
	/^ok/ { for (i = 0; i < n; i++) print $2, names[i] }
	/^(ok|\?)/ { n = 0 }')
property=$(echo TestProperty | awk -v pattern="$pattern" '$1 ~ pattern')
if [ -z "$targets$property" ]; then
	echo "fuzz.sh: no target matches $pattern" >&2
	exit 1
fi

failed=""
while read -r package name; do
	[ -n "$name" ] || continue
	echo "== $package $name"
	case $name in
	TestDifferential*)
		"$go" test -count=1 -v -timeout 0 -run "^$name\$" "$package" -args -expr.seed="$seed" -expr.time="$time" -expr.pairs=$pairs ||
			failed="$failed $name"
		continue
		;;
	esac
	# A few attempts to make a finding smaller: with the default of a minute each
	# new path through the code costs more than finding it.
	"$go" test -run '^$' -fuzz "^$name\$" -fuzztime "$time" -fuzzminimizetime 20x "$package" || failed="$failed $name"
done <<LIST
$targets
LIST
if [ -n "$property" ]; then
	echo "== ./test/e2e TestProperty"
	"$go" test -count=1 -timeout 0 -run '^TestProperty$' ./test/e2e -args -property-for "$time" || failed="$failed TestProperty"
fi
[ -z "$failed" ] || { echo "fuzz.sh: found something:$failed" >&2; exit 1; }
