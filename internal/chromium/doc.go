// Package chromium steers a Chromium without a window over a pipe, for tests:
// of the operators' pages, and of clients that run in browsers. Without
// Chromium the tests fail and say how to get it (scripts/chromium.sh).
//
// Methods of a page end its test when the browser refuses.
package chromium
