// Package demo is the little shop that `spillway dev` shows when it is given no
// database of one's own: three tables, some rows, and a hand that keeps writing
// to them gently.
//
// It owns its schema "public.projects, issues, comments" in a private database
// and never touches any other.
//
// Files: demo.go fill and write.
package demo
