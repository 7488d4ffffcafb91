// Package e2e tests the real binary against a real Postgres, with the official
// client and with a strict follower of our own. It holds no code of the product.
package e2e
