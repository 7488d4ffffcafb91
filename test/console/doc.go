// Package console tests the operators' pages in a real browser.
package console
