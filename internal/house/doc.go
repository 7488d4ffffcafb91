// Package house is the rules of docs/ARCHITECTURE.md as a test: which room may
// import which, what a pure room must not contain, how long a file may be.
// It holds no code of the product.
package house
