// Package console tests the operators' pages in a real browser: Chromium
// without a window, steered over a pipe. Without Chromium the tests fail and
// say how to get it (scripts/chromium.sh).
//
// Files: browser_test.go the browser · console_test.go what the pages must do.
package console
